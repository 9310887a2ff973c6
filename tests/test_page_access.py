"""Every address of the customer's pages × everybody × every method: own, foreign, and nobody's."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from servers.agents.models import Claim
from servers.installs import install
from servers.installs.models import InstallBatch
from servers.installs.through import Jump
from tests.conftest import People
from tests.factories import ServerFactory
from tests.test_server_list import agent

APPS = ("servers", "accounts", "installs", "agents")
METHODS = {  # each address, with the methods that it answers; a new one without a line here fails the walk
    "servers:list": "get", "servers:server": "get", "servers:row": "get", "servers:remove-agent": "get post",
    "servers:samples": "get",
    "servers:activity": "get", "accounts:list": "get", "accounts:account": "get", "accounts:sync": "post",
    "installs:new": "get post", "installs:batch": "get", "installs:confirm-host-keys": "post",
    "installs:retry": "get post", "installs:cancel": "get post", "installs:host": "get",
    "installs:forget-host-key": "get post", "installs:go-on": "post", "installs:forget-jump-key": "get post",
    "installs:command": "get post", "installs:account-command": "get post",
    "agents:machines": "get", "agents:approve": "get post", "agents:refuse": "post", "agents:by-network": "post",
}  # fmt: skip
OPEN_TO_ALL = (
    "servers:list",
    "servers:activity",
    "accounts:list",
    "installs:new",
    "agents:machines",
)  # each shows only what is one's own


def names(patterns: list[URLPattern | URLResolver], app: str = "") -> Iterator[str]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from names(pattern.url_patterns, pattern.app_name or app)
        elif app in APPS:
            yield f"{app}:{pattern.name}"


def test_every_address_has_a_case() -> None:
    assert sorted(names(get_resolver().url_patterns)) == sorted(METHODS)


@pytest.fixture
def addresses(people: People) -> dict[str, str]:
    """Alice's own: a server with an agent, its account, an install and its line."""
    server = ServerFactory(account=people.account, addresses=[{"ip": "192.0.2.7", "version": 4, "kind": "fixed"}])
    jump = Jump("bastion.example.com")
    batch = install.start([server], by=people.alice, customer=people.customer, user="root", password="x", jump=jump)
    agent(server)
    waiting = Claim.objects.create(
        provider=people.customer.provider, public_key="k", code="ABCD-2345", state="pending", version="0.2.0",
        address="192.0.2.9", customers=[people.customer.pk], expires_at=timezone.now() + timedelta(days=1),
    )  # fmt: skip
    ids = {"servers": server.pk, "accounts": people.account.pk, "installs": batch.pk, "hosts": batch.installs.get().pk,
           "agents": waiting.pk, "workspaces": people.customer.pk}  # fmt: skip

    def address(name: str) -> str:
        if name in OPEN_TO_ALL:
            return reverse(name)
        kind = {"installs:host": "hosts", "installs:forget-host-key": "hosts", "agents:by-network": "workspaces",
                "installs:command": "servers", "installs:account-command": "accounts"}  # fmt: skip
        return reverse(name, args=[ids[kind.get(name, name.split(":")[0])]])

    return {name: address(name) for name in METHODS}


@pytest.mark.parametrize("name", METHODS)
def test_her_team_may_charlie_finds_nothing_and_a_stranger_must_sign_in(
    people: People, addresses: dict[str, str], name: str
) -> None:
    address = addresses[name]
    for method in ("get", "post"):
        allowed = method in METHODS[name].split()
        mine = getattr(people.browser(people.bob), method)(address)
        theirs = getattr(people.browser(people.charlie), method)(address)
        nobody = getattr(Client(), method)(address)
        assert nobody.status_code == 302
        assert nobody["Location"].startswith("/auth/login/?next=")
        if not allowed:
            assert (mine.status_code, theirs.status_code) == (405, 405)
            continue
        assert mine.status_code in ((200,) if method == "get" else (200, 302, 422))
        if name in OPEN_TO_ALL:
            assert str(people.account.pk) not in theirs.content.decode()
        else:
            assert theirs.status_code == 404


@pytest.mark.parametrize("name", METHODS)
def test_a_fragment_for_a_stranger_is_refused_and_not_redirected(addresses: dict[str, str], name: str) -> None:
    for method in METHODS[name].split():
        assert getattr(Client(headers={"HX-Request": "true"}), method)(addresses[name]).status_code == 401


@pytest.mark.parametrize("name", [name for name, methods in METHODS.items() if "post" in methods])
def test_a_post_without_the_token_of_the_page_changes_nothing(
    people: People, addresses: dict[str, str], name: str
) -> None:
    before = list(InstallBatch.objects.values_list("pk", "ended_at"))
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(people.alice, backend="django.contrib.auth.backends.ModelBackend")
    assert browser.post(addresses[name]).status_code == 403
    assert list(InstallBatch.objects.values_list("pk", "ended_at")) == before
