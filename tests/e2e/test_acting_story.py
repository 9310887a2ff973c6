"""Staff act for a customer, in a browser: reason, time limit, banner, both names in the activity, and the end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.console import Console, browser

pytestmark = [pytest.mark.timeout(300)]

WHY = "Ticket 4711: the list stays empty"
STAFF = "staff@muster.example"
OVER = """
from django.utils import timezone
from providers.models import ActingFor
print(ActingFor.objects.filter(ended_at=None).update(ends_at=timezone.now()))
"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def staff(console: Console, chromium: Any) -> Any:
    return came(chromium, console.links()[1])


@pytest.fixture(scope="module")
def alice(console: Console, chromium: Any) -> Any:
    return came(chromium, console.links()[0])


@pytest.fixture
def acting(console: Console, staff: Any) -> Any:
    """The browser of a member of staff, who acts for Orchard of North Cloud."""
    begin(console, staff, WHY)
    staff.wait_for_url("**/servers/")
    return staff


def came(chromium: Any, link: str) -> Any:
    page = chromium.new_context(reduced_motion="reduce").new_page()
    page.goto(link)
    page.wait_for_url(re.compile("/(servers|admin)/"))
    return page


def begin(console: Console, page: Any, reason: str, minutes: str = "5") -> None:
    """From the staff's list of customers to the form, and send it."""
    page.goto(f"{console.url}/admin/providers/customer/?q=alice@orchard.example")
    follow(console, page, '#result_list a[href*="/change/"]')
    follow(console, page, 'a[href$="/act_for/"]')
    page.get_by_label("Reason").fill(reason)
    page.get_by_label("Minutes").fill(minutes)
    page.get_by_role("button", name="Act for it").click()


def follow(console: Console, page: Any, link: str) -> None:
    page.goto(f"{console.url}{page.locator(link).first.get_attribute('href')}")


def banner(page: Any) -> Any:
    return page.get_by_role("form", name="Acting for a customer")


def test_without_a_reason_that_says_something_it_does_not_begin(console: Console, staff: Any) -> None:
    begin(console, staff, "because")
    staff.get_by_text("Say why in 10 to 500 characters").wait_for()
    begin(console, staff, WHY, minutes="61")
    assert staff.url.endswith("/act_for/")  # the browser itself takes no more than 60
    staff.goto(f"{console.url}/servers/")
    assert banner(staff).count() == 0


def test_a_banner_stays_in_sight_and_what_is_done_stands_under_both_names(
    console: Console, acting: Any, alice: Any
) -> None:
    for path in ("/servers/", "/accounts/", "/activity/"):
        acting.goto(f"{console.url}{path}")
        words = banner(acting).inner_text()
        assert "You act for Orchard Ltd until" in words and f"Reason: {WHY}" in words
        for width, height in ((1440, 900), (390, 844)):
            acting.set_viewport_size({"width": width, "height": height})
            acting.evaluate("window.scrollTo(0, document.body.scrollHeight)")
            assert banner(acting).bounding_box()["y"] >= 0
    acting.set_viewport_size({"width": 1440, "height": 900})
    acting.goto(f"{console.url}/me/")
    acting.get_by_text("Closed while you act for Orchard Ltd").wait_for()

    acting.goto(f"{console.url}/accounts/")
    follow(console, acting, 'main a[href^="/accounts/"]')
    acting.get_by_role("button", name=re.compile("sync", re.I)).first.click()
    acting.wait_for_load_state()

    alice.goto(f"{console.url}/activity/")
    line = alice.locator("main li").filter(has_text=STAFF).filter(has_text="Orchard Ltd").filter(has_text=WHY)
    line.filter(has_text="Asked to read").first.wait_for()
    line.filter(has_text="Staff began to act for").first.wait_for()
    assert banner(alice).count() == 0


def test_leaving_ends_it(console: Console, acting: Any, alice: Any) -> None:
    acting.goto(f"{console.url}/servers/")
    banner(acting).get_by_role("button", name="Stop").click()
    acting.wait_for_url("**/admin/providers/customer/**")
    acting.get_by_text("You act for Orchard Ltd no longer").wait_for()
    acting.goto(f"{console.url}/servers/")
    assert banner(acting).count() == 0 and acting.locator("td.cell-name a").count() == 0
    assert acting.goto(f"{console.url}/me/").status == 200  # their own pages are open again
    alice.goto(f"{console.url}/activity/")
    alice.locator("main li").filter(has_text="Staff stopped acting for").filter(has_text=STAFF).first.wait_for()


def test_after_the_time_limit_the_pages_are_closed(console: Console, acting: Any) -> None:
    acting.goto(f"{console.url}/servers/")
    server = acting.locator("td.cell-name a").first.get_attribute("href")
    assert acting.goto(f"{console.url}{server}").status == 200
    assert console.command("shell", "-v", "0", "-c", OVER) == "1"
    assert acting.goto(f"{console.url}{server}").status == 404
    acting.get_by_text("Your time to act for the customer is over").wait_for()
    acting.goto(f"{console.url}/servers/")
    assert banner(acting).count() == 0 and acting.locator("td.cell-name a").count() == 0
