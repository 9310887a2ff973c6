"""The charts of a server's page in a real browser, under the real content security policy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.utils import timezone

from servers.agents.samples import MINUTE, SIX_HOURS
from servers.models import Server
from servers.web.charts import RANGES
from tests.conftest import People
from tests.e2e.test_scripts import Far, Site, opened, serving
from tests.factories import ServerFactory
from tests.sampled import steadily
from tests.test_server_list import agent

pytestmark = pytest.mark.django_db
OF_AXE = 2  # complaints of the browser that the looking itself causes: it styles, and fetches what the site has not


@pytest.fixture
def server(people: People) -> Server:
    made: Server = ServerFactory(account=people.account, name="web-1")
    agent(made, load1=0.4, cpu_percent=12, recent_load=[0.1, 0.4])
    return made


@contextmanager
def looked_at(people: People, server: Server, complaints: int = 0) -> Iterator[tuple[Any, Far, Site]]:
    """The page as it is served now, each range's answer as it is now, and a browser in front of them."""
    client = people.browser(people.alice)
    page = client.get(f"/servers/{server.pk}/")
    site = Site(page.content.decode(), page["Content-Security-Policy"])
    answered(site, client, server)
    with serving(site) as served, opened(served, complaints) as (browser, far):
        yield browser, far, site


def answered(site: Site, client: Any, server: Server) -> None:
    html = client.get(f"/servers/{server.pk}/").content
    site.answers[f"/servers/{server.pk}/"] = (200, "text/html", html)
    for value in RANGES:
        address = f"/servers/{server.pk}/samples?range={value}"
        site.answers[address] = (200, "application/json", client.get(address).content)


def inked(page: Any) -> list[int]:
    """How many pixels of each canvas have a colour."""
    return page.evaluate(  # type: ignore[no-any-return]
        """[...document.querySelectorAll('#charts canvas')].map((canvas) => {
            const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            let inked = 0;
            for (let at = 3; at < data.length; at += 4) inked += data[at] > 0;
            return inked;
        })"""
    )


def test_each_chart_has_drawn_its_points_and_tells_them_in_words(people: People, server: Server) -> None:
    steadily(MINUTE, server.pk, timezone.now(), 60)
    with looked_at(people, server, OF_AXE) as (page, _, _):
        page.locator("#charts canvas").nth(5).wait_for()
        titles = page.locator("#charts h3").all_inner_texts()
        assert titles == ["Processor", "Load", "Memory", "Swap", "Disk /", "Network eth0"]
        assert all(drawn > 500 for drawn in inked(page))
        words = [one.get_attribute("aria-label") for one in page.locator(".chart-plot").all()]
        assert all("last" in one and "lowest" in one and "highest" in one for one in words)
        assert Axe().run(page, "#charts").response["violations"] == []


def test_a_range_is_chosen_by_a_click_and_stays_in_the_address(people: People, server: Server) -> None:
    steadily(MINUTE, server.pk, timezone.now(), 60)
    steadily(SIX_HOURS, server.pk, timezone.now(), 400)
    with looked_at(people, server) as (page, _, site):
        page.locator("#charts canvas").first.wait_for()
        first = page.locator("#charts canvas").first.element_handle()
        page.get_by_role("link", name="Year").click()
        page.wait_for_function("() => !document.querySelector('[data-charts-room][aria-busy]')")
        assert page.url.endswith("?range=year")
        assert page.locator("#charts [aria-current]").inner_text() == "Year"
        assert first.evaluate("(canvas) => canvas.isConnected"), "the chart is changed in place"
        assert site.fetched.count(f"/servers/{server.pk}/samples?range=year") == 1


def test_the_keyboard_tells_moment_by_moment(people: People, server: Server) -> None:
    steadily(MINUTE, server.pk, timezone.now(), 60)
    with looked_at(people, server) as (page, _, _):
        plot = page.locator(".chart-plot").first
        plot.wait_for()
        plot.focus()
        page.keyboard.press("End")
        told = page.locator("[data-charts-at]").inner_text()
        page.keyboard.press("ArrowLeft")
        assert "Busy" in told and page.locator("[data-charts-at]").inner_text() != told


def test_a_refresh_of_the_page_keeps_the_charts_and_reads_them_anew(people: People, server: Server) -> None:
    steadily(MINUTE, server.pk, timezone.now(), 60)
    with looked_at(people, server) as (page, _, site):
        page.clock.install()
        page.goto(f"{site.url}/servers/{server.pk}/")
        page.locator("#charts canvas").nth(5).wait_for()
        mark = "document.querySelector('#charts canvas').dataset.mark = 'kept'"
        page.evaluate(mark)
        before = site.fetched.count(f"/servers/{server.pk}/samples?range=hour")
        html = site.answers[f"/servers/{server.pk}/"][2].replace(b"<h1>web-1</h1>", b"<h1>web-2</h1>")
        site.answers[f"/servers/{server.pk}/"] = (200, "text/html", html)
        page.evaluate(f"htmx.trigger(document.getElementById('server-{server.pk}'), 'hint')")
        page.get_by_role("heading", name="web-2").wait_for()
        with page.expect_response("**/samples?range=hour"):
            page.clock.run_for(21_000)
        page.wait_for_function("() => document.querySelector('#charts canvas').dataset.mark === 'kept'")
        assert site.fetched.count(f"/servers/{server.pk}/samples?range=hour") == before + 1


def test_no_samples_and_no_answer_are_said_in_words(people: People, server: Server) -> None:
    with looked_at(people, server, complaints=1) as (page, _, _):
        page.get_by_text("Nothing was heard in this time.").wait_for()
        assert page.locator("#charts canvas").count() == 0
        page.route("**/samples?range=day", lambda route: route.abort())
        page.get_by_role("link", name="Day").click()
        page.get_by_text("Could not reach Muster to read the charts.").wait_for()
        page.unroute("**/samples?range=day")
        page.get_by_role("button", name="Try again").click()
        page.get_by_role("alert").wait_for(state="hidden")


def test_it_fits_a_phone_by_night_and_nothing_is_drawn_through_a_silence(people: People, server: Server) -> None:
    steadily(MINUTE, server.pk, timezone.now(), 60, but=range(20, 40))
    with looked_at(people, server, OF_AXE) as (page, _, _):
        page.set_viewport_size({"width": 390, "height": 844})
        page.emulate_media(color_scheme="dark")
        page.locator("#charts canvas").nth(5).wait_for()
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 1
        assert Axe().run(page, "#charts").response["violations"] == []
        # Where nothing was heard the processor's chart has at most its grid; left of it a line and what is below it.
        assert colours(page, 0.45) <= 1 < colours(page, 0.15)


def colours(page: Any, across: float) -> int:
    """How many opaque or half-transparent colours a narrow strip of the first plot has, so far across it."""
    return page.evaluate(  # type: ignore[no-any-return]
        """(across) => {
            const canvas = document.querySelector('#charts canvas');
            const { left, width } = canvas.parentElement.querySelector('.u-over').getBoundingClientRect();
            const scale = canvas.width / canvas.clientWidth;
            const from = (left - canvas.getBoundingClientRect().left + width * across) * scale;
            const { data } = canvas.getContext('2d').getImageData(from, 12 * scale, 3, 80 * scale);
            const found = new Set();
            for (let at = 0; at < data.length; at += 4) if (data[at + 3]) found.add(data.slice(at, at + 4).join());
            return found.size;
        }""",
        across,
    )
