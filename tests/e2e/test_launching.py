"""A server that is launched at its cloud host appears in the console, managed by itself: the trial's page, pressed."""

from __future__ import annotations

import json
import re

import pytest

from tests.e2e.console import Console, browser
from tests.processes import wait

pytestmark = [pytest.mark.timeout(420)]


def test_a_server_launched_from_the_hosts_image_is_managed_by_itself_and_gone_when_it_is_deleted(
    console: Console,
) -> None:
    with browser() as chromium:
        site = json.loads((console.home / "demo" / "site.json").read_text())
        host, mine = chromium.new_context().new_page(), chromium.new_context().new_page()
        mine.goto(console.links()[0])
        mine.get_by_role("button").first.click()
        mine.wait_for_url("**/servers/")

        host.goto(site["page"])
        assert host.get_by_text("None was launched yet.").is_visible()
        host.get_by_role("button", name="Launch a server").click()
        host.locator("li").filter(has_text="running").wait_for(timeout=30_000)
        name = host.locator("li strong").inner_text()
        assert host.locator("li code").inner_text() == "127.0.0.15"

        mine.goto(host.get_by_role("link", name=re.compile("its row")).get_attribute("href"))
        row = mine.locator("tr").filter(has_text=name)
        wait(lambda: row.count() or mine.reload() and False, 90, "it is in the list")
        row.get_by_text("managed").wait_for(timeout=90_000)

        # Its place is free again once it is deleted.
        instances = console.home / "demo" / "instances"
        [disk] = [one for one in instances.iterdir() if one.name not in site["ssh_instances"]]
        host.get_by_role("button", name=f"Delete {name}").click()
        host.get_by_text("None was launched yet.").wait_for(timeout=30_000)
        wait(lambda: not disk.exists(), 20, "its disk is gone")
