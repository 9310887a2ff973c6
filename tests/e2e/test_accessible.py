"""axe-core over the pages of a provider, of a customer and of staff: by day and by night, on a desk and on a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.e2e.console import Console, browser, running
from tests.e2e.test_whole_story import mailed_link, until
from tests.processes import folder

pytestmark = [pytest.mark.timeout(300)]

NORTH = "/provider/north-cloud/"
PROVIDER = ("", "customers/", "keys/", "keys/issue", "webhooks/", "webhooks/add", "calls/", "mail/", "mail/welcome/-/",
            "brand/", "members/")  # fmt: skip
CUSTOMER = ("/servers/", "/accounts/", "/activity/", "/me/", "/me/tokens/")
STAFF = ("/admin/", "/admin/providers/provider/", "/admin/providers/customer/", "/admin/providers/mail/",
         "/admin/health/", "/admin/providers/apicall/", "/admin/accounts/cloudaccount/",
         "/admin/console/auditentry/")  # fmt: skip


@pytest.fixture(scope="module")
def console() -> Iterator[Console]:
    with folder() as home, running(home / "home") as started:
        yield started


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as started:
        yield started


def came(page: Any, address: str) -> Any:
    page.goto(address)
    page.wait_for_url(re.compile("/(servers|provider|admin)/"))
    return page


def violations(page: Any, address: str) -> list[str]:
    """What axe-core finds at this address, by theme and width."""
    found = []
    for width, height in ((1440, 900), (390, 844)):
        page.set_viewport_size({"width": width, "height": height})
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.goto(address, wait_until="load")
            page.wait_for_function("document.readyState === 'complete'")
            wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            if wide > 1:
                found.append(f"{address} at {width}: {wide} px too wide")
            for one in Axe().run(page).response["violations"]:
                where = one["nodes"][0]
                found.append(f"{address} {width} {scheme}: {one['id']}: {where['target']} {where['html'][:120]}")
    return found


def test_a_providers_pages_have_no_violation(console: Console, chromium: Any) -> None:
    console.command("add_provider_member", "north-cloud", "ada@north.example")
    page = chromium.new_context().new_page()
    page.goto(until(lambda: mailed_link(console.home, "ada@north.example")))
    page.locator("input[type=password]").fill("orchard-42-lane")
    page.get_by_role("button", name=re.compile("password", re.I)).last.click()
    page.wait_for_url(f"**{NORTH}")
    page.locator("a.rail-link", has_text="Keys").click()
    page.get_by_role("link", name="Issue a key").first.click()
    page.get_by_label("Name").fill("Billing")
    page.get_by_role("button", name="Issue key").click()
    assert page.locator(".secret code").inner_text().startswith("mst_live_")
    page.get_by_role("link", name="I have copied it").click()
    assert "mst_live_" in page.locator("main").inner_text() and page.locator(".secret").count() == 0
    page.goto(f"{console.url}{NORTH}brand/")
    page.get_by_label("Accent").fill("#ffd500")
    page.get_by_role("button", name="Save as a draft").click()
    page.frame_locator("iframe").first.get_by_role("button", name="Sign in").wait_for()
    page.goto(f"{console.url}{NORTH}mail/welcome/-/")
    page.get_by_label("Subject").fill("Ahoy from {{ provider }}")
    page.locator("#preview", has_text="Ahoy from North Cloud").wait_for()
    found = [words for path in PROVIDER for words in violations(page, f"{console.url}{NORTH}{path}")]
    page.goto(f"{console.url}{NORTH}customers/")
    customer = page.locator("td.cell-name a").first.get_attribute("href")
    found += violations(page, f"{console.url}{customer}") + violations(page, f"{console.url}{customer}close")
    assert found == []


@pytest.mark.parametrize(("link", "paths"), [(0, CUSTOMER), (1, STAFF)], ids=["customer", "staff"])
def test_the_main_pages_have_no_violation(console: Console, chromium: Any, link: int, paths: tuple[str, ...]) -> None:
    page = came(chromium.new_context().new_page(), console.links[link])
    assert [words for path in paths for words in violations(page, f"{console.url}{path}")] == []
