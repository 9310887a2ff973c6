"""Check-ins: what they bring is kept, what waits is given, and nothing counts twice."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from itertools import chain, repeat

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from servers.agents import checkin, enrol, waking, work
from servers.agents.lean import desk, looking
from servers.agents.models import Agent, Work, WorkOutput
from servers.agents.program import protocol
from servers.agents.releasing import Offer
from servers.agents.signals import first_heartbeat
from servers.models import Server
from tests.asgi import LiveConsole, served
from tests.conftest import People
from tests.factories import ServerFactory
from tests.machine import Answer, Machine, sample
from tests.processes import wait

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def console() -> Iterator[LiveConsole]:
    with served() as console:
        yield console


@pytest.fixture
def server(people: People) -> Server:
    return ServerFactory(account=people.account)


@pytest.fixture
def machine(console: LiveConsole, server: Server, people: People) -> Machine:
    """Enrolled, and in a session."""
    return begun(console, server, people)


def begun(console: LiveConsole, server: Server, people: People) -> Machine:
    made = Machine(console.url)
    assert made.enrol(enrol.issue(server, people.alice))[0] == 200
    assert made.begin()[0] == 200
    return made


def kept() -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT extract(epoch FROM at)::bigint, load1, disks, nics FROM agents_sample WHERE server_id"
                       " IN (SELECT id FROM servers_server) ORDER BY at")  # fmt: skip
        return cursor.fetchall()


class Asking(threading.Thread):
    """A check-in that waits, in a thread."""

    def __init__(self, machine: Machine, seconds: float = 30) -> None:
        super().__init__(daemon=True)
        self.machine, self.seconds = machine, seconds
        self.answer: Answer = (0, {})
        self.took = 0.0
        self.start()

    def run(self) -> None:
        began = time.monotonic()
        self.answer = self.machine.checkin(wait=self.seconds)
        self.took = time.monotonic() - began

    def done(self, within: float = 10) -> Answer:
        self.join(within)
        assert not self.is_alive(), "the wait did not end"
        return self.answer


def test_a_checkin_is_written_with_what_lists_show(console: LiveConsole, machine: Machine, server: Server) -> None:
    status, said = machine.checkin(sample())
    assert status == 200 and said["work"] == [] and abs(said["time"] - time.time()) < 5, said
    console.written()
    agent = Agent.objects.get(server=server)
    assert (agent.load1, agent.cpu_percent, agent.memory_used, agent.memory_total) == (0.5, 12.5, 100, 400)
    assert (agent.disk_used, agent.disk_total) == (10, 50)  # the root file system, not the largest
    assert agent.metrics["swap_total_bytes"] == 0 and agent.version == "0.2.0" and agent.recent_load == [0.5]
    assert Agent.objects.reporting().get() == agent and Server.objects.managed().get() == server
    assert agent.sequence == 1


def test_every_sample_is_kept_once_however_often_it_comes(console: LiveConsole, machine: Machine) -> None:
    now = int(time.time())
    told = [sample(now - 120, load1=1), sample(now - 60, load1=2), sample(now, load1=3)]
    assert machine.checkin(*told)[0] == machine.checkin(*told)[0] == 200
    console.written()
    machine.begin()
    machine.checkin(*told)
    console.written()
    rows = kept()
    assert [(at, load) for at, load, _, _ in rows] == [(now - 120, 1.0), (now - 60, 2.0), (now, 3.0)]
    assert [json.loads(one) for one in rows[0][2:]] == [sample()["disks"], sample()["nics"]]
    assert Agent.objects.get().recent_load[:3] == [1, 2, 3]


def test_samples_of_another_time_are_not_kept(console: LiveConsole, machine: Machine) -> None:
    now = time.time()
    assert machine.checkin(sample(now - 86_400 * 30), sample(now + 86_400), sample(0))[0] == 200
    console.written()
    assert kept() == []


def test_the_last_thirty_loads_are_kept(console: LiveConsole, machine: Machine) -> None:
    apart = settings.AGENT_INTERVAL
    now = int(time.time()) - 40 * apart
    for first in (0, 20):
        assert machine.checkin(*(sample(now + n * apart, load1=n) for n in range(first, first + 20)))[0] == 200
        console.written()
    assert Agent.objects.get().recent_load == [float(n) for n in range(10, 40)]


def test_an_agent_that_was_cut_off_brings_what_it_kept_and_a_hostile_one_no_more_than_that(
    console: LiveConsole, machine: Machine
) -> None:
    apart, now = settings.AGENT_INTERVAL, int(time.time())
    backlog = [now - apart * n for n in range(protocol.MAX_SAMPLES, 0, -1)]
    assert machine.checkin(*(sample(at) for at in backlog))[0] == 200
    console.written()
    assert [row[0] for row in kept()] == backlog
    machine.begin()  # and what was kept counts in every session and process
    for part in range(10):
        crowd = (sample(now - apart / 4 + part / 100 + n / 1000) for n in range(protocol.MAX_SAMPLES))
        assert machine.checkin(*crowd)[0] == 200
    console.written()
    assert len(kept()) <= len(backlog) + 1


def test_facts_are_written_a_few_times_a_moment_and_no_more(machine: Machine) -> None:
    said = [machine.checkin(facts={"hostname": f"web-{n}"})[0] for n in range(7)]
    assert said == [200] * 5 + [429] * 2
    assert Agent.objects.get().facts["hostname"] == "web-4"
    assert machine.checkin()[0] == 200


def test_the_first_checkin_and_facts_are_there_before_the_answer(machine: Machine, server: Server) -> None:
    told: list[Agent] = []

    def hear(agent: Agent, **_: object) -> None:
        told.append(agent)

    first_heartbeat.connect(hear)
    try:
        assert machine.checkin(facts={"hostname": "a\x00b\x1b[31m<b>" + "x" * 500})[0] == 200
        agent = Agent.objects.get()
        assert agent.first_seen_at and agent.facts["hostname"].startswith("ab[31m<b>x")
        assert len(agent.facts["hostname"]) == protocol.MAX_TEXT
        assert machine.checkin()[0] == 200
    finally:
        first_heartbeat.disconnect(hear)
    assert [agent.server for agent in told] == [server]


def test_a_request_that_comes_twice_counts_once(machine: Machine) -> None:
    data = b'{"samples": []}'
    headers = machine.headers(protocol.CHECKIN_PATH, data)
    assert machine.post(protocol.CHECKIN_PATH, data, headers)[0] == 200
    status, said = machine.post(protocol.CHECKIN_PATH, data, headers)
    assert (status, said["error"]["code"]) == (409, protocol.REPLAYED)


def test_work_is_given_at_each_checkin_until_it_is_told_of(
    console: LiveConsole, machine: Machine, server: Server, people: People
) -> None:
    machine.checkin()
    [row] = work.order([server], "echo hello", by=people.alice)
    for _ in range(2):
        _, said = machine.checkin(wait=20)
        assert [given["script"] for given in said["work"]] == ["echo hello"]
    told = {"id": str(row.pk), "state": "started", "at": 1}
    assert machine.checkin(work=[told])[1]["work"] == []
    assert Work.objects.get().state == "started"
    machine.checkin(work=[told | {"state": "done", "exit_code": 0}])
    assert Work.objects.get().state == "done"


def test_work_wakes_an_agent_that_waits(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    server = ServerFactory(account=people.account)
    monkeypatch.setattr(desk, "LOOK", 600)  # it is the hint that wakes it
    with served() as console:
        machine = begun(console, server, people)
        machine.checkin()
        asking = Asking(machine)
        console.waits(machine)
        work.order([server], "echo hello", by=people.alice)
        status, said = asking.done()
        assert status == 200 and len(said["work"]) == 1
        assert len(console.desk.waiting) == 0


def test_a_lost_hint_costs_some_seconds(
    console: LiveConsole, machine: Machine, server: Server, people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.checkin()
    asking = Asking(machine)
    console.waits(machine)
    monkeypatch.setattr(waking, "_publish", lambda channel, ids: None)
    work.order([server], "echo hello", by=people.alice)
    assert len(asking.done(15)[1]["work"]) == 1


def test_a_hint_that_comes_during_a_look_survives_it(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    server, look = ServerFactory(account=people.account), looking.look
    began, go = [threading.Event(), threading.Event()], [threading.Event(), threading.Event()]
    numbers = chain([0], repeat(1))

    def held() -> tuple[set[str], list[Offer]]:
        """The first look ends late, with what it saw early; the next one does not end."""
        found, number = look(), next(numbers)
        began[number].set()
        go[number].wait(30)
        return found

    monkeypatch.setattr(desk, "LOOK", 0.05)
    monkeypatch.setattr(looking, "look", held)
    with served() as console:
        machine = begun(console, server, people)
        assert began[0].wait(20)
        work.order([server], "echo hello", by=people.alice)
        wait(lambda: machine.agent_id in console.desk.due.agents, 10, "the hint is heard")
        go[0].set()
        assert began[1].wait(20)
        status, said = machine.checkin()
        go[1].set()
    assert status == 200 and len(said["work"]) == 1


def test_a_wait_ends_with_its_time_and_with_the_process(console: LiveConsole, machine: Machine) -> None:
    short = Asking(machine, 1)
    assert short.done()[0] == 200 and 1 <= short.took < 10
    long = Asking(machine)
    console.waits(machine)
    console.do(console.front.leave)
    status, said = long.done()
    assert (status, said["work"]) == (200, []) and long.took < 10


def test_whoever_waits_anew_takes_the_place_of_a_dead_connection(console: LiveConsole, machine: Machine) -> None:
    first = Asking(machine)
    console.waits(machine)
    second = Asking(machine)
    assert first.done()[1]["work"] == []
    console.waits(machine)
    console.do(console.front.leave)
    assert second.done()[0] == 200


def test_output_is_kept_once_by_its_place(machine: Machine, server: Server, people: People) -> None:
    [row] = work.order([server], "echo hello", by=people.alice)
    piece = {"work": str(row.pk), "stream": 1, "offset": 0, "data": "aGVsbG8"}
    for _ in range(2):
        assert machine.tell(protocol.OUTPUT_PATH, piece) == (200, {})
    assert bytes(WorkOutput.objects.get().data) == b"hello"


@pytest.mark.parametrize(
    "change", [{"data": "§"}, {"work": "x"}, {"stream": "1"}, {"data": "A" * 50_000}, {"offset": -1}]
)
def test_output_that_is_none_changes_nothing(machine: Machine, server: Server, people: People, change: dict) -> None:
    [row] = work.order([server], "echo hello", by=people.alice)
    piece = {"work": str(row.pk), "stream": 1, "offset": 0, "data": "aGVsbG8"} | change
    assert machine.tell(protocol.OUTPUT_PATH, piece)[0] in (200, 400)
    assert not WorkOutput.objects.exists()


def test_nobody_writes_into_the_work_of_another(
    console: LiveConsole, machine: Machine, server: Server, people: People
) -> None:
    foreign = begun(console, ServerFactory(account=people.account), people)
    [row] = work.order([server], "echo hello", by=people.alice)
    piece = {"work": str(row.pk), "stream": 1, "offset": 0, "data": "aGVsbG8"}
    foreign.tell(protocol.OUTPUT_PATH, piece)
    foreign.checkin(work=[{"id": str(row.pk), "state": "done", "exit_code": 0}])
    assert not WorkOutput.objects.exists() and Work.objects.get().state == "queued"


def test_a_person_on_the_machine_takes_the_agent_off(machine: Machine, server: Server) -> None:
    assert machine.tell(protocol.LEAVE_PATH, {"version": "0.2.0"}) == (200, {})
    agent = Agent.objects.get()
    assert (agent.state, agent.server, agent.former_server) == ("revoked", None, server)


def test_a_removed_agent_hears_of_it_at_once_though_its_session_is_known(
    console: LiveConsole, machine: Machine, people: People
) -> None:
    machine.checkin()
    asking = Asking(machine)
    console.waits(machine)
    checkin.remove(Agent.objects.get(), people.alice)
    console.do(console.desk.sessions.drop, [machine.agent_id])  # what the broadcast does, sooner or later
    status, said = machine.checkin()
    assert (status, said["error"]["code"]) == (410, protocol.REMOVED)
    assert asking.done()[0] == 410


def test_the_broadcast_of_a_revocation_is_heard(console: LiveConsole, machine: Machine, people: People) -> None:
    machine.checkin()
    asking = Asking(machine)
    console.waits(machine)
    checkin.remove(Agent.objects.get(), people.alice)
    status, said = asking.done()
    assert (status, said["error"]["code"]) == (410, protocol.REMOVED), "also one that waits"
    assert asking.took < 9
    assert machine.checkin()[0] == 410


def test_a_revocation_that_no_broadcast_told_is_noticed(
    console: LiveConsole, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.checkin()
    Agent.objects.update(state="revoked", server=None)
    console.do(console.desk.sessions.compare)
    status, said = machine.checkin()
    assert (status, said["error"]["code"]) == (401, protocol.UNKNOWN_AGENT)


def test_a_second_machine_that_goes_on_with_the_former_session_stops_both(
    console: LiveConsole, machine: Machine, people: People
) -> None:
    machine.checkin()
    copy = Machine(console.url)
    copy.session, copy.key, copy.sequence, copy.ahead = machine.session, machine.key, 100, 0.0
    assert machine.begin()[0] == 200
    console.do(console.desk.sessions.drop, [machine.agent_id])
    status, said = copy.checkin()
    assert (status, said["error"]["code"]) == (401, protocol.UNKNOWN_SESSION), "it may have been on its way"
    copy.ahead = 10
    status, said = copy.checkin()
    assert (status, said["error"]["code"]) == (403, protocol.PROVE_AGAIN)
    assert Agent.objects.get().state == "suspended"
    console.do(console.desk.sessions.drop, [machine.agent_id])
    assert machine.checkin()[1]["error"]["code"] == protocol.PROVE_AGAIN


def test_a_request_of_another_time_is_refused(machine: Machine) -> None:
    machine.ahead = -protocol.CLOCK - 10
    status, said = machine.checkin()
    assert (status, said["error"]["code"]) == (401, protocol.WRONG_TIME)


def test_the_signature_is_over_every_part(machine: Machine) -> None:
    data = b'{"samples": []}'
    good = machine.headers(protocol.CHECKIN_PATH, data)
    altered = [
        (protocol.CHECKIN_PATH, b'{"samples":  []}', good),
        (protocol.OUTPUT_PATH, data, good),
        (protocol.CHECKIN_PATH, data, good | {"Muster-Sequence": "99"}),
        (protocol.CHECKIN_PATH, data, good | {"Muster-Time": str(int(good["Muster-Time"]) + 1)}),
        (protocol.CHECKIN_PATH, data, good | {"Muster-Signature": "0" * 64}),
        (protocol.CHECKIN_PATH, data, good | {"Muster-Signature": hashlib.sha256(data).hexdigest()}),
    ]
    for path, body, headers in altered:
        status, said = machine.post(path, body, headers)
        assert (status, said["error"]["code"]) == (401, "wrong_signature")
    assert machine.post(protocol.CHECKIN_PATH, data, good)[0] == 200, "none of them used the sequence up"


def test_an_agent_whose_silence_was_told_is_told_to_be_back(console: LiveConsole, machine: Machine) -> None:
    machine.checkin()
    console.written()
    Agent.objects.update(last_seen_at=timezone.now() - timedelta(minutes=10), silence_told_at=timezone.now())
    known = console.do(console.desk.sessions.find, machine.session.encode())
    known.heard = known.read = time.time() - 600  # the same here, where the session is known
    assert machine.checkin()[0] == 200
    assert Agent.objects.get().silence_told_at is None
