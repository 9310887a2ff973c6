"""Installs from the deed to the first heartbeat: real PostgreSQL, real OpenSSH, the real agent, a live console."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from accounts.signals import account_removed
from console.demo.openstack import Cloud, Nic, serve
from console.lib.denials import Denied, Wrong
from console.lib.jobs import leases, sweeping
from console.lib.jobs.rows import JobState
from console.models import AuditEntry
from providers.signals import customer_closing, customer_suspended
from servers.agents import checkin, enrol, reports
from servers.agents.models import Agent
from servers.installs import heartbeat, install, ssh, tasks, working
from servers.installs.models import HostKey, Install, InstallBatch
from servers.models import Server
from tests import farside
from tests.conftest import People
from tests.factories import ServerFactory
from tests.sshd import Sshd, make_key

pytestmark = pytest.mark.django_db(transaction=True)

QUICK = ssh.Limits(connect=3, banner=1, auth=5, step=20, total=60)
METRICS = reports.metrics({})


@pytest.fixture(autouse=True)
def console(live_server: Any, settings: Any) -> str:
    """The console that agents report to; they do it every second here."""
    settings.PUBLIC_URL, settings.AGENT_INTERVAL = live_server.url, 1
    return str(live_server.url)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Sshd]:
    with Sshd(tmp_path / "host") as sshd:
        yield sshd
        take_off(sshd)


def take_off(sshd: Sshd) -> None:
    """The agent that was installed runs on after the test's console is gone: uninstall it."""
    agent = sshd.prefix / "opt/muster-agent/current/muster-agent.pyz"
    if agent.exists():
        environment = {"MUSTER_AGENT_PREFIX": str(sshd.prefix), "PATH": os.environ["PATH"]}
        subprocess.run([sys.executable, str(agent), "uninstall"], env=environment, check=True, capture_output=True)


@pytest.fixture
def server(people: People) -> Server:
    return at("127.0.0.1", people, name="reachable")


def at(ip: str, people: People, **more: Any) -> Server:
    addresses = [{"ip": ip, "version": 4, "kind": "fixed", "network": "private", "mac": ""}] if ip else []
    return ServerFactory(account=people.account, addresses=addresses, ips=[ip] if ip else [], **more)


def begin(people: People, host: Sshd, *servers: Server, **more: Any) -> InstallBatch:
    given = {"user": host.user, "private_key": host.private_key, "port": host.port} | more
    return install.start(servers, by=people.alice, customer=people.customer, **given)


def work(batch: InstallBatch) -> None:
    working.work(batch.pk, limits=QUICK)


def until(true: Callable[[], Any], seconds: float = 30) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, f"did not happen within {seconds} s"
        threading.Event().wait(0.02)
    return found


def row_of(batch: InstallBatch) -> Install:
    return Install.objects.get(batch=batch)


def is_over(batch: InstallBatch) -> bool:
    """It ended, and its credentials went with it."""
    batch.refresh_from_db()
    return batch.ended_at is not None and batch.sealed == "" and batch.sealed_until is None


def verbs() -> list[tuple[str, str]]:
    return list(AuditEntry.objects.order_by("pk").values_list("actor_name", "verb"))


# --- the main job


def test_a_host_key_is_confirmed_by_a_person_and_the_install_is_done_at_the_first_heartbeat(
    people: People, host: Sshd, server: Server
) -> None:
    batch = begin(people, host, server)
    assert host.private_key not in batch.sealed and batch.credentials()["private_key"] == host.private_key
    work(batch)
    row = row_of(batch)
    assert (row.state, row.stage, row.fingerprint) == ("waiting", "verify_host", host.host_key())
    assert row.host_key_type == "ssh-ed25519" and row.fingerprint in row.cause and row.fix
    assert install.progress(batch) == {"total": 1, "active": 0, "waiting_for_you": 1, "done": 0, "failed": 0}
    assert not is_over(batch)

    with pytest.raises(Denied):
        install.confirm_host_keys(batch, by=people.bob, fingerprints=["SHA256:of-another-key"])
    assert install.confirm_host_keys(batch, by=people.bob, fingerprints=[host.host_key()]) == 1
    assert row_of(batch).state == "queued"
    work(batch)
    row = until(lambda: Install.objects.filter(batch=batch, state=JobState.DONE).first())
    assert (row.stage, row.cause, row.fix, row.address) == ("first_heartbeat", "", "", "127.0.0.1")
    assert [(stage["stage"], stage["ok"]) for stage in row.stages] == [(name, True) for name in Install.Stage.values]
    assert all(stage["seconds"] >= 0 and stage["started_at"] for stage in row.stages)
    assert is_over(batch)
    agent = Agent.objects.live().get(server=server)
    assert agent.first_seen_at and agent.memory_total
    known = HostKey.objects.get(server=server)
    assert (known.fingerprint, known.source, known.confirmed_by) == (host.host_key(), "person", people.bob)
    said = verbs()
    for entry in (("alice@example.com", "install.started"), ("bob@example.com", "install.host_keys_confirmed"),
                  ("Muster", "install.done")):  # fmt: skip
        assert entry in said
    assert install.progress(batch) == {"total": 1, "active": 0, "waiting_for_you": 0, "done": 1, "failed": 0}


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
        until(lambda: row_of(batch).state == JobState.DONE)
        known = HostKey.objects.get(server=server)
        assert (known.fingerprint, known.source, known.confirmed_by) == (host.host_key(), "console", None)

        # It is rebuilt: another key on record now than the one that it shows, and its console shows the new one too.
        checkin.remove(Agent.objects.live().get(server=server), people.alice)
        HostKey.objects.update(fingerprint="SHA256:" + "A" * 43, key="AAAA")
        batch = begin(people, host, server)
        work(batch)
        until(lambda: row_of(batch).state == JobState.DONE)
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
    assert install.forget_host_keys(server, by=people.alice) == 1
    batch = begin(people, host, server, trust_new_host_keys=True)
    work(batch)
    until(lambda: row_of(batch).state == JobState.DONE)
    known = HostKey.objects.get(server=server)
    assert (known.fingerprint, known.source, known.confirmed_by) == (host.host_key(), "person", people.alice)


# --- what cannot begin


def test_servers_on_which_it_makes_no_sense_get_a_row_that_says_why(people: People, host: Sshd, server: Server) -> None:
    managed, busy = at("192.0.2.1", people), at("192.0.2.2", people)
    agent = enrol.enrol(enrol.issue(managed, people.alice), "attempt", "0.1.0", {}).agent
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
    agent = enrol.enrol(enrol.issue(server, people.alice), "attempt", "0.1.0", {}).agent
    long_ago = timezone.now() - timedelta(days=1)
    Agent.objects.filter(pk=agent.pk).update(first_seen_at=long_ago, last_seen_at=long_ago, enrolled_at=long_ago)
    batch = begin(people, host, server, trust_new_host_keys=True)
    work(batch)
    until(lambda: row_of(batch).state == JobState.DONE)
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


# --- what goes wrong


def test_a_wrong_key_fails_in_words_and_is_tried_again_with_a_better_one(
    people: People, host: Sshd, server: Server, tmp_path: Path
) -> None:
    wrong = make_key(tmp_path / "other").read_text()
    batch = begin(people, host, server, private_key=wrong, trust_new_host_keys=True)
    work(batch)
    row = row_of(batch)
    assert (row.state, row.stage) == ("failed", "sign_in")
    assert "did not accept this key" in row.cause and "authorized_keys" in row.fix and row.outcome == row.cause
    assert row.stages[-1]["stage"] == "sign_in" and row.stages[-1]["ok"] is False
    assert is_over(batch)
    again = install.retry_failed(batch, by=people.bob, private_key=host.private_key)
    work(again)
    until(lambda: row_of(again).state == JobState.DONE)
    with pytest.raises(Denied, match="Nothing failed"):
        install.retry_failed(again, by=people.bob, private_key=host.private_key)


def test_each_of_many_rows_ends_with_its_own_reason(people: People, host: Sshd) -> None:
    here = [at("127.0.0.1", people) for _ in range(40)]
    with farside.listener(lambda line: line.recv(1)) as tarpit:
        batch = begin(people, host, *here, port=tarpit)
        started = time.monotonic()
        work(batch)
        assert time.monotonic() - started < 15
    states = set(batch.installs.values_list("state", "stage"))
    assert states == {("failed", "connect")} and batch.installs.filter(cause__contains="said nothing").count() == 40
    assert is_over(batch)


def test_an_agent_that_is_never_heard_fails_the_install_after_three_minutes(
    people: People, host: Sshd, server: Server
) -> None:
    batch = begin(people, host, server)
    [(row, lease)] = leases.claim(batch.installs.all(), 30)
    heartbeat.expect(row, lease, [])
    work(batch)
    assert row_of(batch).state == "running", "it has time left, and nobody touches it"
    Install.objects.update(leased_until=timezone.now() - timedelta(seconds=1))
    work(batch)
    row = row_of(batch)
    assert row.state == "running" and row.leased_until > timezone.now() + timedelta(minutes=2), "looked too early"

    [last] = row.stages
    last["started_at"] = (timezone.now() - timedelta(minutes=3)).isoformat()
    Install.objects.update(leased_until=timezone.now() - timedelta(seconds=1), stages=[last])
    assert sweeping.sweep()["given_up"] == 0
    work(batch)
    row = row_of(batch)
    assert (row.state, row.stage) == ("failed", "first_heartbeat")
    assert "did not enrol within 3 minutes" in row.cause and "muster-agent.pyz status" in row.fix
    assert row.stages[-1]["ok"] is False and row.stages[-1]["seconds"] >= 180 and is_over(batch)


def test_a_heartbeat_that_was_faster_than_the_worker_counts(people: People, host: Sshd, server: Server) -> None:
    batch = begin(people, host, server)
    [(row, lease)] = leases.claim(batch.installs.all(), 30)
    agent = enrol.enrol(enrol.issue(server, people.alice), "attempt", "0.1.0", {})
    checkin.beat(agent.secret, "0.1.0", METRICS, None)
    assert row_of(batch).state == "running"
    heartbeat.expect(row, lease, [])
    assert row_of(batch).state == "done" and is_over(batch)


def test_a_heartbeat_and_a_worker_at_the_same_moment_never_miss_each_other(people: People, host: Sshd) -> None:
    for number in range(8):
        server = at("127.0.0.1", people)
        batch = begin(people, host, server)
        [(row, lease)] = leases.claim(batch.installs.all(), 30)
        agent = enrol.enrol(enrol.issue(server, people.alice), f"attempt-{number}", "0.1.0", {})
        gate = threading.Barrier(2)

        def beat(gate: threading.Barrier = gate, secret: str = agent.secret) -> None:
            gate.wait()
            checkin.beat(secret, "0.1.0", METRICS, None)
            connection.close()

        thread = threading.Thread(target=beat)
        thread.start()
        gate.wait()
        heartbeat.expect(row, lease, [])
        thread.join()
        assert row_of(batch).state == "done"


# --- workers, cancels, and time


def slow(tmp_path: Path) -> Sshd:
    """A server on which the probe never ends."""
    return Sshd(tmp_path / "slow", forced="exec sleep 120")


def test_a_killed_worker_loses_nothing(people: People, host: Sshd, server: Server, tmp_path: Path) -> None:
    with slow(tmp_path) as stuck:
        batch = begin(people, stuck, server, trust_new_host_keys=True)
        text = f"import django; django.setup(); from servers.installs import working; working.work('{batch.pk}')"
        environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "console.settings",
            "DATABASE_URL": os.environ["DATABASE_URL"].rpartition("/")[0] + "/" + connection.settings_dict["NAME"],
        }
        worker = subprocess.Popen([sys.executable, "-c", text], env=environment)
        try:
            until(lambda: row_of(batch).stage == Install.Stage.PROBE)
        finally:
            worker.send_signal(signal.SIGKILL)
            worker.wait()
    row = row_of(batch)
    assert row.state == "running" and row.leased_until > timezone.now()
    # Its server is mended meanwhile; a minute later the lease has lapsed.
    Install.objects.update(leased_until=timezone.now() - timedelta(seconds=1))
    InstallBatch.objects.update(port=host.port)
    batch.refresh_from_db()
    batch.close_credentials({"private_key": host.private_key})
    batch.save()
    HostKey.objects.all().delete()
    assert sweeping.sweep()["rung"] >= 1
    tasks.run(str(batch.pk))
    until(lambda: row_of(batch).state == JobState.DONE)
    assert Agent.objects.count() == 1 and is_over(batch)


def test_a_cancel_cuts_the_connection_and_deletes_the_credentials(
    people: People, server: Server, tmp_path: Path
) -> None:
    with slow(tmp_path) as stuck:
        batch = begin(people, stuck, server, trust_new_host_keys=True)

        def run() -> None:
            work(batch)
            connection.close()

        worker = threading.Thread(target=run)
        worker.start()
        until(lambda: row_of(batch).stage == Install.Stage.PROBE)
        assert install.cancel(batch, by=people.bob) == 1
        assert is_over(batch)
        worker.join(10)
        assert not worker.is_alive()
    row = row_of(batch)
    assert row.state == "canceled" and "bob@example.com" in row.outcome
    assert ("bob@example.com", "install.canceled") in verbs()


def test_credentials_are_forgotten_in_time_and_what_waits_for_them_ends(
    people: People, host: Sshd, server: Server
) -> None:
    batch = begin(people, host, server)
    work(batch)
    assert install.forget() == 0
    InstallBatch.objects.update(sealed_until=timezone.now() - timedelta(seconds=1))
    with_secret = InstallBatch.objects.exclude(sealed="")
    assert with_secret.count() == 1
    tasks.forget()
    assert not with_secret.exists() and is_over(batch)
    row = row_of(batch)
    assert row.state == "expired" and "60 minutes" in row.cause and row.fix
    with pytest.raises(Denied):
        install.confirm_host_keys(batch, by=people.alice)


@pytest.mark.parametrize("signal_name", ["closing", "suspended", "account"])
def test_who_goes_takes_the_installs_along(people: People, host: Sshd, server: Server, signal_name: str) -> None:
    batch = begin(people, host, server)
    if signal_name == "account":
        account_removed.send(sender=type(people.account), account=people.account)
    else:
        which = customer_closing if signal_name == "closing" else customer_suspended
        which.send(sender=type(people.customer), customer=people.customer)
    assert row_of(batch).state == "canceled" and is_over(batch)


def test_no_secret_is_in_the_database_or_in_the_log(
    people: People, server: Server, host: Sshd, caplog: pytest.LogCaptureFixture
) -> None:
    batch = begin(people, host, server, private_key="", password="correct-canary-staple", sudo_password="canary-two",
                  trust_new_host_keys=True)  # fmt: skip
    work(batch)
    assert row_of(batch).cause == f"The server did not accept this password for user {host.user}."
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace")
        for (table,) in cursor.fetchall():
            cursor.execute(f'SELECT count(*) FROM "{table}" AS t WHERE t::text LIKE %s', ["%canary%"])  # noqa: S608
            assert cursor.fetchone() == (0,), table
    assert "canary" not in caplog.text
