"""Installs from the deed to the first heartbeat: real PostgreSQL, real OpenSSH, the real agent, a live console."""

from __future__ import annotations

import pytest

from console.demo.openstack import Cloud, Nic, serve
from console.lib.denials import Denied
from console.lib.jobs.rows import JobState
from servers.agents import checkin
from servers.agents.models import Agent
from servers.installs import install, trusting
from servers.installs.models import HostKey, Install
from servers.models import Server
from tests.conftest import People
from tests.installs.hosts import begin, is_over, row_of, verbs, work
from tests.processes import wait
from tests.sshd import Sshd

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_host_key_is_confirmed_by_a_person_and_the_install_is_done_at_the_first_heartbeat(
    people: People, host: Sshd, server: Server
) -> None:
    batch = begin(people, host, server)
    assert host.private_key not in batch.sealed and batch.credentials()["private_key"] == host.private_key
    work(batch)
    row = row_of(batch)
    assert (row.state, row.stage, row.fingerprint) == ("waiting", "verify_host", host.host_key())
    assert row.host_key_type == "ssh-ed25519" and row.fingerprint in row.cause and row.fix
    counts = install.progress(batch)
    assert (counts["total"], counts["waiting_for_you"], sum(counts.values())) == (1, 1, 2)
    assert not is_over(batch)

    with pytest.raises(Denied):
        trusting.confirm(batch, by=people.bob, fingerprints=["SHA256:of-another-key"])
    assert trusting.confirm(batch, by=people.bob, fingerprints=[host.host_key()]) == 1
    assert row_of(batch).state == "queued"
    work(batch)
    row = wait(lambda: Install.objects.filter(batch=batch, state=JobState.DONE).first())
    assert (row.stage, row.cause, row.fix, row.address) == ("first_heartbeat", "", "", "127.0.0.1")
    assert [(stage["stage"], stage["ok"]) for stage in row.stages] == [(name, True) for name in Install.Stage.values]
    assert all(stage["seconds"] >= 0 and stage["started_at"] for stage in row.stages)
    assert is_over(batch)
    agent = Agent.objects.live().get(server=server)
    assert agent.first_seen_at
    wait(lambda: Agent.objects.live().get(server=server).memory_total)
    known = HostKey.objects.get(server=server)
    assert (known.fingerprint, known.source, known.confirmed_by) == (host.host_key(), "person", people.bob)
    said = verbs()
    for entry in (("alice@example.com", "install.started"), ("bob@example.com", "install.host_keys_confirmed"),
                  ("Muster", "install.done")):  # fmt: skip
        assert entry in said
    counts = install.progress(batch)
    assert (counts["total"], counts["done"], sum(counts.values())) == (1, 1, 2)


def test_the_clouds_console_vouches_for_a_host_key_and_for_the_new_one_after_a_rebuild(
    people: People, host: Sshd, server: Server
) -> None:
    cloud = Cloud(generation="modern")
    from console.demo.population import stock

    stock(cloud)
    line = (host.folder / "host_ed25519.pub").read_text()
    text = f"booting\n-----BEGIN SSH HOST KEY KEYS-----\n{line}-----END SSH HOST KEY KEYS-----\nlogin: "
    instance = cloud.add("reachable", addresses={"private": [Nic("127.0.0.1")]}, console=text)
    Server.objects.filter(pk=server.pk).update(external_id=instance.id)
    with serve(cloud) as site:
        endpoint = people.account.endpoint
        endpoint.url = site.auth_url
        endpoint.save()
        people.account.close_pending(dict(cloud.credentials), 1)
        people.account.promote_pending()
        people.account.save()
        batch = begin(people, host, server)
        work(batch)
        wait(lambda: row_of(batch).state == JobState.DONE)
        known = HostKey.objects.get(server=server)
        assert (known.fingerprint, known.source, known.confirmed_by) == (host.host_key(), "console", None)

        # It is rebuilt: another key on record now than the one that it shows, and its console shows the new one too.
        checkin.remove(Agent.objects.live().get(server=server), people.alice)
        HostKey.objects.update(fingerprint="SHA256:" + "A" * 43, key="AAAA")
        batch = begin(people, host, server)
        work(batch)
        wait(lambda: row_of(batch).state == JobState.DONE)
        assert HostKey.objects.get(server=server).fingerprint == host.host_key()


def test_a_changed_host_key_stops_that_install_until_a_person_forgets_the_old_one(
    people: People, host: Sshd, server: Server
) -> None:
    HostKey.objects.create(server=server, key_type="ssh-ed25519", key="AAAA", fingerprint="SHA256:" + "A" * 43,
                           source="person")  # fmt: skip
    batch = begin(people, host, server, trust_new_host_keys=True)
    work(batch)
    row = row_of(batch)
    assert (row.state, row.stage, row.fingerprint) == ("failed", "verify_host", host.host_key())
    assert "changed" in row.cause and "rebuilt" in row.fix and is_over(batch)
    assert trusting.forget(server, by=people.alice) == 1
    batch = begin(people, host, server, trust_new_host_keys=True)
    work(batch)
    wait(lambda: row_of(batch).state == JobState.DONE)
    known = HostKey.objects.get(server=server)
    assert (known.fingerprint, known.source, known.confirmed_by) == (host.host_key(), "person", people.alice)
