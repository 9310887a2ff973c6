"""Installs that cannot begin say why, and write nothing."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from console.lib.denials import Denied, Wrong
from console.lib.jobs.rows import JobState
from console.models import AuditEntry
from servers.agents import enrol
from servers.agents.models import Agent
from servers.installs import install
from servers.installs.models import Install, InstallBatch
from servers.models import Server
from tests.conftest import People
from tests.installs.hosts import at, begin, is_over, row_of, work
from tests.processes import wait
from tests.sshd import Sshd, make_key

pytestmark = pytest.mark.django_db(transaction=True)


def test_servers_on_which_it_makes_no_sense_get_a_row_that_says_why(people: People, host: Sshd, server: Server) -> None:
    managed, busy = at("192.0.2.1", people), at("192.0.2.2", people)
    agent = enrol.enrol(enrol.issue(managed, people.alice), "attempt", "0.1.0", {})
    Agent.objects.filter(pk=agent.pk).update(first_seen_at=timezone.now(), last_seen_at=timezone.now())
    begin(people, host, busy)
    bare, stopped = at("", people), at("192.0.2.3", people, state="stopped")
    gone = at("192.0.2.4", people, missing_since=timezone.now())
    batch = begin(people, host, server, managed, busy, bare, stopped, gone)
    said = {row.server: row for row in batch.installs.all()}
    assert said[server].state == "queued"
    for which, words in ((managed, "reports already"), (busy, "under way"), (bare, "no address"),
                         (stopped, "stopped"), (gone, "no longer lists")):  # fmt: skip
        row = said[which]
        assert row.state == "failed" and words in row.cause and row.fix and row.ended_at
    assert not is_over(batch)
    only = begin(people, host, bare)
    assert is_over(only)


def test_a_silent_agent_may_be_installed_anew(people: People, host: Sshd, server: Server) -> None:
    agent = enrol.enrol(enrol.issue(server, people.alice), "attempt", "0.1.0", {})
    long_ago = timezone.now() - timedelta(days=1)
    Agent.objects.filter(pk=agent.pk).update(first_seen_at=long_ago, last_seen_at=long_ago, enrolled_at=long_ago)
    batch = begin(people, host, server, trust_new_host_keys=True)
    work(batch)
    wait(lambda: row_of(batch).state == JobState.DONE)
    assert Agent.objects.live().get(server=server).pk != agent.pk


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"user": ""}, "user", "name of a user"),
        ({"user": "root; rm"}, "user", "name of a user"),
        ({"port": 0}, "port", "1 to 65535"),
        ({"private_key": ""}, "private_key", "either"),
        ({"password": "both"}, "private_key", "either"),
        ({"private_key": "ssh-ed25519 AAAAC3Nza alice"}, "private_key", "public key"),
    ],
)
def test_what_cannot_work_is_refused_at_once_and_writes_nothing(
    people: People, server: Server, change: dict[str, Any], field: str, words: str, tmp_path: Path
) -> None:
    given = {"user": "root", "private_key": make_key(tmp_path / "key").read_text(), "port": 22} | change
    with pytest.raises(Wrong) as wrong:
        install.start([server], by=people.alice, customer=people.customer, **given)
    assert words in wrong.value.fields[field][0]
    assert not InstallBatch.objects.exists() and not AuditEntry.objects.filter(verb="install.started").exists()


def test_nobody_reaches_servers_of_another_customer(people: People, server: Server) -> None:
    with pytest.raises(Wrong):
        install.start([server], by=people.charlie, customer=people.elsewhere, user="root", password="x")
    assert not Install.objects.exists()


def test_too_many_and_none_and_a_suspended_customer_are_refused(people: People, server: Server) -> None:
    def ask(servers: list[Server]) -> None:
        install.start(servers, by=people.alice, customer=people.customer, user="root", password="x")

    with pytest.raises(Wrong):
        ask([])
    with pytest.raises(Wrong, match="fields"):
        ask([Server(name=str(number)) for number in range(1001)])
    people.customer.status = "suspended"
    with pytest.raises(Denied, match="suspended"):
        ask([server])
