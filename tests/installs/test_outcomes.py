"""Installs that go wrong end with their own reason; no heartbeat is missed."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from django.db import connection
from django.utils import timezone

from console.lib.denials import Denied
from console.lib.jobs import leases, sweeping
from console.lib.jobs.rows import JobState
from servers.agents import checkin, enrol
from servers.installs import ending, heartbeat, install
from servers.installs.hands import Errand, Job
from servers.installs.hostkeys import HostKey
from servers.installs.models import Install
from servers.installs.terms import Outcome, State, Target
from servers.models import Server
from tests import farside
from tests.conftest import People
from tests.installs.hosts import METRICS, at, begin, is_over, row_of, work
from tests.processes import wait
from tests.ssh.going import DIAL
from tests.sshd import Sshd, make_key

pytestmark = pytest.mark.django_db(transaction=True)
KEY = HostKey("ssh-ed25519", "SHA256:" + "A" * 43, "AAAA")


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
    wait(lambda: row_of(again).state == JobState.DONE)
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
    checkin.beat(agent.pk, "0.1.0", METRICS, None)
    assert row_of(batch).state == "running"
    heartbeat.expect(row, lease, [])
    assert row_of(batch).state == "done" and is_over(batch)


def expects(row: Install, lease: leases.Lease) -> None:
    heartbeat.expect(row, lease, [])


def lets_go(row: Install, lease: leases.Lease) -> None:
    """As a worker does with a whole slice; what is locked at that moment it does by itself."""
    target = Target(row.address, known=frozenset())
    job = Job(None, row, lease, target, "", Errand.INSTALL, DIAL, None, "")  # type: ignore[arg-type]
    job.enter("install", timezone.now().isoformat(), None)
    if row.pk not in ending.let_go(row.batch, [job]):
        ending.end(row.batch, job, Outcome(State.RUNNING, KEY, {}, job.name), 0.1)


@pytest.mark.parametrize("write", [expects, lets_go])
def test_a_heartbeat_and_a_worker_at_the_same_moment_never_miss_each_other(
    write: Callable[[Install, leases.Lease], None], people: People, host: Sshd
) -> None:
    for number in range(8):
        server = at("127.0.0.1", people)
        batch = begin(people, host, server)
        [(row, lease)] = leases.claim(batch.installs.all(), 30)
        agent = enrol.enrol(enrol.issue(server, people.alice), f"attempt-{number}", "0.1.0", {})
        gate = threading.Barrier(2)

        def beat(gate: threading.Barrier = gate, pk: UUID = agent.pk) -> None:
            gate.wait()
            checkin.beat(pk, "0.1.0", METRICS, None)
            connection.close()

        thread = threading.Thread(target=beat)
        thread.start()
        gate.wait()
        with contextlib.suppress(leases.Lost):  # the heartbeat was faster
            write(row, lease)
        thread.join()
        assert row_of(batch).state == "done"
