"""The main job, told once from the provider's PUT to the managed row, on the processes that `make run` starts."""

from __future__ import annotations

import base64
import email
import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from email import policy
from pathlib import Path
from typing import Any

import pytest

from console.demo.openstack import Cloud, Nic, serve
from tests.e2e.console import Console, browser, running
from tests.homes import ready_home
from tests.processes import wait
from tests.sshd import Sshd

pytestmark = [pytest.mark.timeout(420)]
PASSWORD = "a long enough password"


def call(console: Console, key: str, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
    request = urllib.request.Request(
        f"{console.url}/api/provider/v1/{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as reply:
        return reply.status, json.loads(reply.read() or b"{}")


def mailed_link(home: Path, to: str) -> str:
    """The newest single-use link that was mailed to `to`."""
    for path in sorted((home / "mail").glob("*.eml"), reverse=True):
        message = email.message_from_bytes(path.read_bytes(), policy=policy.default)
        if to in message["To"]:
            return re.search(r"http://\S+/welcome/\S+", message.get_body(("plain",)).get_content()).group()
    return ""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Sshd]:
    with Sshd(tmp_path / "host") as sshd:
        yield sshd
        agent = sshd.prefix / "opt/muster-agent/current/muster-agent.pyz"
        if agent.exists():  # what it installed runs on: take it off again
            subprocess.run(
                [sys.executable, agent, "uninstall"], env={"MUSTER_AGENT_PREFIX": str(sshd.prefix)}, check=True
            )


@pytest.fixture
def home() -> Iterator[Path]:
    with ready_home() as found:
        yield found


def test_from_the_providers_put_to_the_managed_row_and_after_a_restart(home: Path, host: Sshd) -> None:
    cloud = Cloud(generation="modern")
    from console.demo.population import stock

    stock(cloud)
    for number in range(1, 8):
        cloud.add(f"web-{number}", addresses={"private": [Nic(f"192.0.2.{number}")]})
    cloud.add("reachable", addresses={"private": [Nic("127.0.0.1")]})
    with serve(cloud) as site:
        with running(home) as console, browser() as chromium:
            # The provider's side: staff enabled it, it creates a customer and pushes credentials.
            console.command("add_provider", "acme", "--name", "Acme Cloud")
            key = console.command("add_provider_key", "acme")
            console.command(
                "add_endpoint",
                "acme",
                "nova",
                "openstack",
                site.auth_url,
                "--allow-http",
                "--allow-network",
                "127.0.0.0/8",
            )
            person = {"email": "ada@example.com", "first_name": "Ada", "last_name": "Byron", "organization": "Engines"}
            status, made = call(console, key, "PUT", "customers/c-1", person)
            assert status == 201
            assert call(console, key, "PUT", "customers/c-1", person)[0] == 200
            assert "password" not in json.dumps(made).lower()
            status, _ = call(
                console,
                key,
                "PUT",
                "customers/c-1/accounts/main",
                {"endpoint": "nova", "name": "Engines at Acme", "version": 1, "credentials": dict(cloud.credentials)},
            )
            assert status == 202

            def account() -> dict[str, Any]:
                return call(console, key, "GET", "customers/c-1/accounts/main")[1]

            wait(lambda: account()["status"] == "ok" and account()["server_count"] == 8)

            # The customer's side: a mail, a password, the list.
            page = chromium.new_context().new_page()
            page.goto(wait(lambda: mailed_link(home, "ada@example.com")))
            for field in page.locator("input[type=password]").all():
                field.fill(PASSWORD)
            page.get_by_role("button").filter(has_text=re.compile("password", re.I)).first.click()
            page.wait_for_url("**/servers/")
            page.get_by_text("reachable").first.wait_for()
            assert page.get_by_text("web-7").first.is_visible()

            # Tick one, say who signs in, and watch.
            page.get_by_role("checkbox", name="Select reachable").check()
            page.get_by_role("link", name="Install agent").or_(
                page.get_by_role("button", name="Install agent")
            ).first.click()
            page.get_by_label("SSH user", exact=True).fill(host.user)
            page.get_by_label("Port", exact=True).fill(str(host.port))
            page.get_by_role("textbox", name=re.compile("^Private key")).fill(host.private_key)
            page.get_by_role("button", name="Install agent").click()
            page.wait_for_url("**/installs/**")

            # The host's key is unknown to the cloud's console: the page shows it, and a person confirms it.
            from servers.installs import hostkeys

            shown = (host.folder / "host_ed25519.pub").read_text().split()[1]
            page.get_by_text(hostkeys.fingerprint(base64.b64decode(shown))).first.wait_for(timeout=60_000)

            # The list stands open in a second tab while the install goes on: its row changes without a reload.
            lister = page.context.new_page()
            lister.goto(f"{console.url}/servers/")
            lister.evaluate("window.stayed = true")
            row = lister.locator("tr", has_text="reachable")
            assert "Managed" not in row.inner_text()
            page.get_by_role("button", name=re.compile("trust|confirm", re.I)).first.click()
            row.get_by_text("Managed").wait_for(timeout=90_000)
            wait(lambda: re.search(r"\d", row.locator("[data-metric=load]").inner_text() or ""), 60)
            assert lister.evaluate("window.stayed") is True
            for metric in ("load", "memory", "disk"):
                assert re.search(r"\d", row.locator(f"[data-metric={metric}]").inner_text()), metric
            page.get_by_text("Done").first.wait_for(timeout=30_000)

        # A second start on the same state finds everything as it was: the agent reports again, the person signs in.
        with running(home, port=int(console.url.rsplit(":", 1)[1])) as console, browser() as chromium:
            page = chromium.new_context().new_page()
            page.goto(f"{console.url}/servers/")
            page.get_by_label("E-mail", exact=False).first.fill("ada@example.com")
            page.locator("input[type=password]").first.fill(PASSWORD)
            page.get_by_role("button", name=re.compile("sign in", re.I)).first.click()
            page.locator("tr", has_text="reachable").get_by_text("Managed").wait_for(timeout=60_000)
            assert page.locator("tr", has_text="web-7").count() == 1
            assert call(console, key, "PUT", "customers/c-1", person)[0] == 200
