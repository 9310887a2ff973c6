"""A new server, from the list's button to its first password, in a browser and on the processes of `make run`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from console.demo.openstack import Cloud, serve
from tests.e2e.console import browser, running
from tests.e2e.test_whole_story import PASSWORD, call, mailed_link
from tests.homes import ready_home
from tests.processes import wait

pytestmark = [pytest.mark.timeout(300)]


@pytest.fixture
def home() -> Iterator[Path]:
    with ready_home() as found:
        yield found


def test_a_server_is_ordered_made_and_its_first_password_shown_once(home: Path) -> None:
    cloud = Cloud.sized(1)
    with serve(cloud) as site, running(home, demo=False) as console, browser() as chromium:
        console.command("add_provider", "acme", "--name", "Acme Cloud")
        key = console.command("add_provider_key", "acme")
        console.command("add_endpoint", "acme", "nova", "openstack", site.auth_url, "--allow-http",
                        "--allow-network", "127.0.0.0/8")  # fmt: skip
        person = {"email": "ada@example.com", "first_name": "Ada", "last_name": "Byron", "organization": "Engines"}
        call(console, key, "PUT", "customers/c-1", person)
        linked: dict[str, Any] = {"endpoint": "nova", "name": "Engines at Acme", "version": 1}
        call(console, key, "PUT", "customers/c-1/accounts/main", linked | {"credentials": dict(cloud.credentials)})
        wait(lambda: call(console, key, "GET", "customers/c-1/accounts/main")[1]["server_count"] == 1)

        page = chromium.new_context().new_page()
        complaints: list[str] = []
        page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
        page.goto(wait(lambda: mailed_link(home, "ada@example.com")))
        for field in page.locator("input[type=password]").all():
            field.fill(PASSWORD)
        page.get_by_role("button").filter(has_text=re.compile("password", re.I)).first.click()
        page.wait_for_url("**/servers/")
        page.get_by_role("link", name="New server").click()
        page.get_by_label("Name", exact=True).fill("shop-1")  # the form came by itself, when the cloud had answered
        page.get_by_label("Image").select_option(index=1)
        page.locator("label.choice", has_text="m1.small").click()
        page.get_by_role("button", name="Create server").click()
        page.wait_for_url("**/actions/*/")
        page.get_by_role("link", name="shop-1").wait_for(timeout=60_000)

        page.get_by_role("button", name="Show first password").click()
        page.get_by_role("heading", name="First password of shop-1").wait_for()
        password = page.locator(".secret code").inner_text()
        assert len(password) > 8
        assert password not in page.url
        page.get_by_role("link", name="I have copied it").click()
        page.get_by_text("Done").first.wait_for(timeout=60_000)
        assert page.get_by_role("button", name="Show first password").count() == 0
        assert password not in page.content()
        lister = page.context.new_page()
        lister.goto(f"{console.url}/servers/?q=shop")
        lister.locator("tr", has_text="shop-1").get_by_text("Running").wait_for(timeout=60_000)
        assert complaints == []
        assert [one.name for one in cloud.instances.values() if one.name.startswith("shop")] == ["shop-1"]

        from playwright.sync_api import Error

        with pytest.raises(Error, match="ERR_CACHE_MISS"):  # the browser has not kept it either
            page.go_back()
