"""axe-core over the pages of a provider, of a customer and of staff: by day and by night, on a desk and on a phone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import TimeoutError as TimedOut

from tests.e2e.console import Console, browser
from tests.e2e.test_whole_story import mailed_link
from tests.processes import wait

pytestmark = [pytest.mark.timeout(600)]

Looks = dict[str, tuple[tuple[int, int], ...]]
Walk = Callable[[Any, list[str]], list[str]]
DESK, PHONE = (1440, 900), (390, 844)
SOUTH = "/provider/south-host/"
CUSTOMER = ("/servers/", "/accounts/", "/activity/", "/me/", "/me/tokens/")
# Words of each violation, and nothing else of what axe-core tells, which is megabytes. Frames are pages of their own.
LOOK = """axe.run(document, {resultTypes: ["violations"], iframes: false}).then(told => told.violations.map(
    one => `${one.id}: ${one.nodes[0].target} ${one.nodes[0].html.slice(0, 120)}`))"""
# The innermost elements that reach over the edge.
WIDEST = """[...document.querySelectorAll("main *, #main *, body *")]
    .filter(one => one.getBoundingClientRect().right > innerWidth + 1 && !one.children.length)
    .slice(0, 3).map(one => one.outerHTML.slice(0, 200))"""
FURNISH = "from tests.e2e import furnished; furnished.furnish()"


@pytest.fixture(scope="module")
def furnished(console: Console) -> dict[str, Any]:
    """Rows of every kind at North; the addresses of the pages that show them."""
    told: dict[str, Any] = json.loads(console.command("shell", "-v", "0", "-c", FURNISH))
    return told


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as started:
        yield started


def came(chromium: Any, address: str) -> Any:
    """A page of somebody who came in by this link. Nothing moves on it: a colour on its way is nobody's colour."""
    page = chromium.new_context(reduced_motion="reduce").new_page()
    page.goto(address)
    page.wait_for_url(re.compile("/(servers|provider|admin)/"))
    return page


@pytest.fixture
def walk(full_or: Callable[[Any, Any], Any]) -> Walk:
    """What is found at these addresses: on a desk by day and on a phone by night in turn; with --full each in all."""
    both = (DESK, PHONE)
    turns: tuple[Looks, ...] = full_or(({"light": both, "dark": both},), ({"light": both[:1]}, {"dark": both[1:]}))

    def walked(page: Any, addresses: list[str]) -> list[str]:
        return [words for address, looks in zip(addresses, cycle(turns)) for words in violations(page, address, looks)]

    return walked


def violations(page: Any, address: str, looks: Looks) -> list[str]:
    """What axe-core finds at this address, by theme and width; and how much wider than the screen it is.

    Pages of ours change their theme where they stand, as their reader's machine does; those of staff are loaded again.
    """
    found, loaded = [], False
    for scheme, sizes in looks.items():
        page.emulate_media(color_scheme=scheme)
        if not loaded or "/admin/" in address:
            reply = page.goto(address, wait_until="load")
            if reply.status != 200:
                return [f"{address}: {reply.status}"]
            page.evaluate(AXE_SCRIPT)
            loaded = True
        for width, height in sizes:
            page.set_viewport_size({"width": width, "height": height})
            if not fits(page):
                found.append(f"{address} at {width}: wider than the screen: {page.evaluate(WIDEST)}")
            found += [f"{address} {width} {scheme}: {words}" for words in page.evaluate(LOOK)]
    return found


def fits(page: Any) -> bool:
    """Whether nothing makes the page wider than its screen, once its scripts have moved what they move on a resize."""
    try:
        page.wait_for_function("() => document.documentElement.scrollWidth <= innerWidth + 1", timeout=3000)
    except TimedOut:
        return False
    return True


def test_a_provider_gets_in_issues_a_key_and_sees_its_brand_and_its_mail(console: Console, chromium: Any) -> None:
    console.command("add_provider_member", "south-host", "sue@south.example")
    page = chromium.new_context(reduced_motion="reduce").new_page()
    page.goto(wait(lambda: mailed_link(console.home, "sue@south.example")))
    page.locator("input[type=password]").fill("orchard-42-lane")
    page.get_by_role("button", name=re.compile("password", re.I)).last.click()
    page.wait_for_url(f"**{SOUTH}")
    page.locator("a.rail-link", has_text="Keys").click()
    page.get_by_role("link", name="Issue a key").first.click()
    page.get_by_label("Name").fill("Billing")
    page.get_by_role("button", name="Issue key").click()
    assert page.locator(".secret code").inner_text().startswith("mst_live_")
    assert violations_here(page) == []
    page.get_by_role("link", name="I have copied it").click()
    page.wait_for_load_state()
    assert "mst_live_" in page.locator("main").inner_text() and page.locator(".secret").count() == 0
    page.goto(f"{console.url}{SOUTH}brand/")
    page.get_by_label("Accent").fill("#ffd500")
    page.get_by_role("button", name="Save as a draft").click()
    page.frame_locator("iframe").first.get_by_role("button", name="Sign in").wait_for()
    page.goto(f"{console.url}{SOUTH}mail/welcome/-/")
    page.get_by_label("Subject").fill("Ahoy from {{ provider }}")
    page.locator("#preview", has_text="Ahoy from South Host").wait_for()
    page.get_by_role("link", name="Sandbox", exact=True).click()
    page.wait_for_load_state()
    assert violations_here(page) == []
    page.get_by_role("button", name="Make the sandbox").click()
    page.get_by_role("heading", name="South Host (sandbox)").wait_for()
    page.get_by_role("link", name="Live", exact=True).click()
    page.get_by_role("heading", name="South Host", exact=True).wait_for()


def violations_here(page: Any) -> list[str]:
    """Of what stands there now and comes once."""
    page.evaluate(AXE_SCRIPT)
    found: list[str] = page.evaluate(LOOK)
    return found


def test_a_providers_pages_have_no_violation(
    console: Console, furnished: dict[str, Any], chromium: Any, walk: Walk
) -> None:
    page = came(chromium, furnished["door"])
    assert walk(page, [f"{console.url}{path}" for path in furnished["own"]]) == []


def test_what_a_viewer_sees_has_no_violation(console: Console, furnished: dict[str, Any], chromium: Any) -> None:
    """By day and on a desk: what is other for viewers are words and buttons, not colours and widths."""
    page = came(chromium, furnished["viewer"])
    found, denied = [], 0
    for path in furnished["viewed"]:
        status = page.request.get(f"{console.url}{path}").status
        assert status in (200, 403), path
        denied += status == 403
        if status == 200:
            found += violations(page, f"{console.url}{path}", {"light": (DESK,)})
    page.goto(f"{console.url}/provider/north-cloud/keys/issue")  # what stands in place of each form
    assert page.get_by_role("heading", name="administrators").or_(page.get_by_text("for administrators")).count()
    assert (found, violations_here(page)) == ([], []) and denied > 5


def test_the_guide_has_no_violation(console: Console, furnished: dict[str, Any], chromium: Any, walk: Walk) -> None:
    page = chromium.new_context(reduced_motion="reduce").new_page()
    assert walk(page, [f"{console.url}{path}" for path in furnished["guide"]]) == []


def test_the_staffs_pages_have_no_violation(
    console: Console, furnished: dict[str, Any], chromium: Any, walk: Walk
) -> None:
    page = came(chromium, console.links()[1])
    assert walk(page, [f"{console.url}{path}" for path in furnished["staff"]]) == []


def test_a_customers_main_pages_have_no_violation(console: Console, chromium: Any, walk: Walk) -> None:
    page = came(chromium, console.links()[0])
    assert walk(page, [f"{console.url}{path}" for path in CUSTOMER]) == []
