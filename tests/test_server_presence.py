"""A power-off by us or by the cloud is not "offline": in the list, its facet, the query, the API and staff's health."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.utils import timezone

from console.portal import providerhealth
from providers import tokens
from servers.actions.models import Action, ActionBatch
from servers.models import Server
from tests.conftest import People
from tests.factories import ServerFactory
from tests.pages import rows, text
from tests.test_server_list import agent

LONG_AGO = timedelta(hours=3)


def silent(people: People, name: str, **fields: object) -> Server:
    server: Server = ServerFactory(account=people.account, name=name, **fields)
    agent(server, last_seen_at=timezone.now() - LONG_AGO)
    return server


def act(people: People, server: Server, **fields: object) -> None:
    batch = ActionBatch.objects.create(customer=people.customer, by=people.alice, kind="stop")
    Action.objects.create(batch=batch, customer=people.customer, account=people.account, server=server, name="x",
                          kind="stop", **fields)  # fmt: skip


@pytest.fixture
def fleet(people: People) -> People:
    """One of each: nobody knows why; the cloud stopped it; we are at it; we just ended; we ended long ago."""
    silent(people, "lost")
    silent(people, "stopped", state="stopped")
    act(people, silent(people, "stopping"), state="waiting")
    now = timezone.now()
    act(people, silent(people, "just-done"), state="done", ended_at=now)
    act(people, silent(people, "long-done"), state="done", ended_at=now - LONG_AGO)
    return people


OFFLINE, OFF = ["long-done", "lost"], ["just-done", "stopped", "stopping"]


def test_the_query_finds_each_under_its_word(fleet: People) -> None:
    browser = fleet.browser(fleet.alice)
    assert rows(browser.get("/servers/?q=agent:offline")) == OFFLINE
    assert rows(browser.get("/servers/?q=agent:off")) == OFF
    assert rows(browser.get("/servers/?q=-agent:offline")) == OFF


def test_the_facets_and_the_rows_say_so(fleet: People) -> None:
    said = text(fleet.browser(fleet.alice).get("/servers/"))
    assert "Agent offline 2" in said
    assert "Server off 3" in said
    stopped = Server.objects.get(name="stopped")
    row = text(fleet.browser(fleet.alice).get(f"/servers/{stopped.pk}/row"))
    assert "Server off" in row and "Offline" not in row


def test_the_api_says_so(fleet: People) -> None:
    until = timezone.now() + timedelta(days=1)
    _, token = tokens.issue(fleet.customer, by=fleet.alice, name="x", scopes=["servers:read"], expires_at=until)
    browser = fleet.browser(fleet.alice)
    told: Callable[[str], list[str]] = lambda q: [  # noqa: E731
        f"{one['name']} {one['agent_state']}"
        for one in browser.get(f"/api/v1/servers{q}", headers={"Authorization": f"Bearer {token}"}).json()["results"]
    ]
    assert told("") == sorted([*(f"{name} off" for name in OFF), *(f"{name} offline" for name in OFFLINE)])
    assert told("?q=agent:off") == [f"{name} off" for name in OFF]


def test_staff_count_only_those_that_nobody_switched_off(fleet: People) -> None:
    provider = fleet.customer.provider
    assert provider is not None
    [health] = providerhealth.of([provider])
    assert (health.agents, health.agents_offline) == (5, 2)
