"""What hostile agents send to the hot path: each gets the one error shape, and changes nothing that it may not."""

from __future__ import annotations

import json
import random
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from copy import deepcopy
from typing import Any
from uuid import uuid4

import pytest
import redis.exceptions

from servers.agents import enrol, work
from servers.agents.lean import buffer, front, sequences
from servers.agents.models import Agent, Claim, Work, WorkOutput
from servers.agents.program import protocol
from servers.models import Server
from tests.asgi import LiveConsole, served
from tests.conftest import People
from tests.factories import ProviderFactory, ServerFactory
from tests.machine import Machine, Wire, sample

pytestmark = pytest.mark.django_db(transaction=True)
REPLAYED, UNTOLD = (409, protocol.REPLAYED), (503, "unavailable")
RUBBISH = (
    None, True, -1, 1.5, 2**70, "", "text", "\x00\x1b[31m<script>alert(1)</script>", "\ud800", "x" * 5000, [], {}, [[]],
    [None] * 50, {"a": {"b": {}}}, "9" * 400, str(uuid4()),
)  # fmt: skip


@pytest.fixture
def console() -> Iterator[LiveConsole]:
    with served() as console:
        yield console


@pytest.fixture
def server(people: People) -> Server:
    return ServerFactory(account=people.account)


@pytest.fixture
def machine(console: LiveConsole, server: Server, people: People) -> Machine:
    made = Machine(console.url)
    assert made.enrol(enrol.issue(server, people.alice))[0] == 200
    assert made.begin()[0] == 200
    assert made.checkin()[0] == 200
    return made


@pytest.fixture
def wires() -> Iterator[Callable[[Machine], Wire]]:
    """Connections that are kept open until the test is over."""
    with ExitStack() as stack:
        yield lambda machine: stack.enter_context(closing(Wire(machine)))


def shaped(said: dict[str, Any]) -> bool:
    return {"code", "message", "request_id"} <= set(said["error"])


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400), (b"{", 400), (b"[]", 400), (b'"text"', 400), (b'{"samples": [{"at": 1, "load1": NaN}]}', 400),
        (b"\xff\xfe", 400), (b"[" * 20_000, 400), (b'{"samples":' + b"[" * 20_000, 400),
        ({"samples": [{"at": 1, "load1": "high"}]}, 400), ({"samples": [{"at": 1, "load1": -1}]}, 400),
        ({"samples": [{"at": 1, "load1": 1e300}]}, 400), ({"samples": [{"at": 1, "cpu_percent": 101}]}, 400),
        ({"samples": [{"at": 1, "load1": True}]}, 400), ({"samples": [{}]}, 400), ({"samples": {}}, 400),
        ({"samples": [{"at": 1, "memory_used_bytes": 2**70}]}, 400),
        ({"samples": [{"at": 1, "disks": [{}] * 40}]}, 400),
        ({"samples": [{"at": 1, "disks": {}}]}, 400), ({"samples": [{"at": 1}] * 31}, 400), ({"facts": {"os": 1}}, 400),
        ({"facts": []}, 400), ({"work": {"id": 1}}, 400), ({"work": [{"id": 1}]}, 400), ({"release": []}, 400),
        ({"wait": "long"}, 400), ({"wait": -1}, 400), ({"version": 1}, 400),
        (b"x" * (protocol.MAX_BODY + 1), 413), ({"unknown": "field"}, 200), ({}, 200),
    ],
)  # fmt: skip
def test_rubbish_gets_the_one_error_shape(machine: Machine, body: Any, status: int) -> None:
    before = Agent.objects.values("facts", "metrics", "version").get()
    got, said = machine.tell(protocol.CHECKIN_PATH, body)
    assert got == status, said
    if status != 200:
        assert shaped(said) and Agent.objects.values("facts", "metrics", "version").get() == before


def test_the_refusal_names_the_field(machine: Machine) -> None:
    _, said = machine.checkin(sample(load1="high"))
    assert list(said["error"]["fields"]) == ["samples.0.load1"]


def test_a_thousand_replays_are_a_thousand_refusals(
    console: LiveConsole, machine: Machine, wires: Callable[[Machine], Wire], full_or: Callable[[int, int], int]
) -> None:
    data = json.dumps({"samples": [sample()]}).encode()
    headers = machine.headers(protocol.CHECKIN_PATH, data)
    wire = wires(machine)
    assert wire.post(protocol.CHECKIN_PATH, data, headers)[0] == 200
    console.desk._count = lambda agent, second: None  # type: ignore[method-assign]  # else most are too many, and 429
    counts: dict[tuple[int, str], int] = {}
    deadline = time.monotonic() + 120
    while counts.get(REPLAYED, 0) < full_or(1000, 200):
        status, said = wire.post(protocol.CHECKIN_PATH, data, headers)
        refused = status, said["error"]["code"]
        counts[refused] = counts.get(refused, 0) + 1
        # A machine that stands still for two seconds in the middle of a question to Valkey: nobody can tell, and so no.
        assert refused in (REPLAYED, UNTOLD), (refused, said)
        assert time.monotonic() < deadline, counts
    console.written()
    assert Agent.objects.values_list("sequence", flat=True).get() == machine.sequence == 2


def test_nothing_is_taken_while_nobody_can_tell_whether_it_is_new(
    console: LiveConsole, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(args: Any) -> bytes:
        raise redis.exceptions.TimeoutError("Timeout reading from socket")

    data = json.dumps({"samples": [sample()], "facts": {"hostname": "other"}}).encode()
    headers = machine.headers(protocol.CHECKIN_PATH, data)
    with monkeypatch.context() as patched:
        patched.setattr(console.desk._sequences, "_script", silent)
        for _ in range(3):
            status, said = machine.post(protocol.CHECKIN_PATH, data, headers)
            assert (status, said["error"]["code"]) == UNTOLD
    assert Agent.objects.get().facts["hostname"] == "web-1"
    assert machine.post(protocol.CHECKIN_PATH, data, headers)[0] == 200
    assert machine.post(protocol.CHECKIN_PATH, data, headers)[1]["error"]["code"] == protocol.REPLAYED
    assert Agent.objects.get().facts["hostname"] == "other"


def test_too_many_requests_of_one_agent_are_put_off(machine: Machine, wires: Callable[[Machine], Wire]) -> None:
    wire, statuses = wires(machine), []
    for _ in range(400):
        data = b"{}"
        statuses.append(wire.post(protocol.CHECKIN_PATH, data, machine.headers(protocol.CHECKIN_PATH, data))[0])
        if statuses[-1] == 429:
            break
    assert set(statuses) <= {200, 429} and (429 in statuses or len(statuses) == 400)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A console that waits for its Valkey and its database as long as a machine may stand still that runs all tests."""
    monkeypatch.setattr(sequences, "PATIENCE", 60.0)
    monkeypatch.setattr(buffer, "LATEST", 60.0)


@pytest.mark.timeout(1200)  # with the large number, on a machine that runs all tests
@pytest.mark.usefixtures("patient")
def test_no_mutated_message_breaks_the_console_or_changes_what_it_may_not(
    console: LiveConsole,
    machine: Machine,
    server: Server,
    people: People,
    wires: Callable[[Machine], Wire],
    full_or: Callable[[int, int], int],
) -> None:
    """To every address: bodies in which some place holds something else, under a good signature and a broken one."""
    others = [ServerFactory(account=people.account) for _ in range(2)]
    foreign, third = Machine(console.url), Machine(console.url)
    foreign.enrol(enrol.issue(others[0], people.alice))
    used = enrol.issue(others[1], people.alice)
    third.enrol(used)
    [order] = work.order([others[0]], "true", by=people.alice)
    before = Agent.objects.filter(server=others[0]).values().get()
    console.desk._count = lambda agent, second: None  # type: ignore[method-assign]  # one agent sends them all
    console.desk._count_facts = lambda agent, now: None  # type: ignore[method-assign]
    dice, wire = random.Random(5), wires(machine)
    provider = ProviderFactory()
    third.epoch = 1
    good: dict[str, dict[str, Any]] = {
        protocol.CHECKIN_PATH: {
            "version": "0.2.0", "samples": [sample()], "facts": {"hostname": "x", "os": {"name": "y"}, "nics": []},
            "work": [{"id": str(order.pk), "state": "done", "exit_code": 0, "reason": "", "at": 1}],
            "release": {"version": "9", "state": "done", "reason": ""},
        },
        protocol.OUTPUT_PATH: {"work": str(order.pk), "stream": 1, "offset": 0, "data": "aGVsbG8"},
        protocol.LEAVE_PATH: {"reason": "x"},  # under a broken signature only: a good one is obeyed
        protocol.CLAIM_PATH: {
            "version": "0.2.0", "public_key": third.public, "channel": str(provider.pk), "platform": "openstack",
            "instance_id": others[0].external_id, "dmi_uuid": "", "macs": ["fa:16:3e:00:00:01"],
            "addresses": ["10.0.0.5"], "hostname": "web-1", "boot_id": "b", "at": 1,
        },
        protocol.PROOF_PATH: {
            "version": "0.2.0", "public_key": third.public, "instance_id": others[0].external_id, "proof": "aGVsbG8",
        },
        protocol.ENROL_PATH: {
            "token": used, "public_key": third.public, "version": "0.2.0", "facts": {"hostname": "x", "nics": []},
        },
        protocol.SESSION_PATH: {
            "agent_id": third.agent_id, "epoch": 1, "version": "0.2.0", "instance_id": "", "boot_id": "b",
        },
    }  # fmt: skip
    in_session = (protocol.CHECKIN_PATH, protocol.OUTPUT_PATH, protocol.LEAVE_PATH)
    counts: dict[str, Counter[int]] = {path: Counter() for path in good}
    for number in range(full_or(50_000, 2100)):
        path = list(good)[number % len(good)]
        if path == protocol.SESSION_PATH:
            good[path]["epoch"] += 1
        data = json.dumps(mutated(good[path], dice)).encode()
        if dice.random() < 0.2:
            data = bytes(b if dice.random() > 0.02 else dice.randrange(256) for b in data)
        headers = machine.headers(path, data) if path in in_session else third.signed(path, data)
        if altered := path == protocol.LEAVE_PATH or dice.random() < 0.3:
            name = dice.choice(list(headers))
            headers[name] = dice.choice(["", "x", "0" * 64, "-1", "1e9", "9" * 30, str(uuid4()), headers[name] + "0"])
        status, said = wire.post(path, data, headers)
        counts[path][status] += 1
        assert status < 500, (path, status, said, data, headers)
        assert status in (200, 202) or shaped(said), said
        assert not (altered and status in (200, 202)), headers
    console.written()
    welcome = {protocol.CLAIM_PATH: 202, protocol.PROOF_PATH: 202, protocol.LEAVE_PATH: 401}
    for path, seen in counts.items():
        assert seen[welcome.get(path, 200)] and seen[401], (path, seen)
    assert all(counts[path][400] for path in counts if path != protocol.LEAVE_PATH), counts
    assert Agent.objects.filter(server=others[0]).values().get() == before
    assert Agent.objects.live().count() == Agent.objects.count() == 3
    assert not Claim.objects.exclude(public_key=third.public, agent=None, proven_at=None).exists()
    assert Work.objects.get().state == "queued" and not WorkOutput.objects.exists()
    mine = Agent.objects.get(server=server)
    assert mine.state == "live" and len(json.dumps(mine.facts)) < protocol.MAX_BODY


def mutated(body: dict[str, Any], dice: random.Random) -> dict[str, Any]:
    """A copy in which one or two places hold something else, or are gone."""
    copy = json.loads(json.dumps(body))
    for _ in range(dice.choice([1, 1, 2])):
        place: Any = copy
        while True:
            keys = sorted(place) if isinstance(place, dict) else range(len(place))
            if not keys:
                break
            key = dice.choice(list(keys))
            if isinstance(place[key], dict | list) and place[key] and dice.random() < 0.6:
                place = place[key]
                continue
            if dice.random() < 0.15:
                del place[key]
            else:
                place[key] = deepcopy(dice.choice(RUBBISH))  # the next change may be inside of it
            break
    return copy


def test_a_body_of_twenty_megabytes_is_refused_before_it_is_read(machine: Machine) -> None:
    with raw(machine) as conn:
        conn.sendall(head("Content-Length: 20971520"))
        assert b" 413 " in answer(conn).splitlines()[0]


def test_a_body_without_a_length_is_refused_when_it_grows_too_large(machine: Machine) -> None:
    with raw(machine) as conn:
        conn.sendall(head("Transfer-Encoding: chunked"))
        for part in (b"x" * protocol.MAX_BODY, b"y"):  # nothing more, which would be on its way when it hangs up
            conn.sendall(b"%x\r\n" % len(part) + part + b"\r\n")
        assert b" 413 " in answer(conn).splitlines()[0]


def test_a_body_that_never_comes_is_given_up(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, "BODY", 0.3)
    with raw(machine) as conn:
        conn.sendall(head("Content-Length: 100") + b"{")
        said = answer(conn)
    assert b" 408 " in said.splitlines()[0] and b"too_slow" in said


def test_other_methods_are_refused(machine: Machine) -> None:
    with raw(machine) as conn:
        conn.sendall(head("Content-Length: 0").replace(b"POST", b"GET"))
        said = answer(conn)
    assert b" 405 " in said.splitlines()[0] and b"allow: POST" in said


def test_a_hostile_text_is_cut_and_shown_as_text(console: LiveConsole, machine: Machine) -> None:
    words = "<script>\x00\x1b]0;x\x07\u202e\\" + "y" * 50_000
    disks = [{"mount": words, "used_bytes": 1, "total_bytes": 2}]
    assert machine.checkin(sample(disks=disks, at=int(time.time())))[0] == 200
    console.written()
    mount = Agent.objects.get().metrics["disks"][0]["mount"]
    assert mount.startswith("<script>]0;x\\y") and len(mount) == protocol.MAX_TEXT


def raw(machine: Machine) -> socket.socket:
    return socket.create_connection((machine.url.hostname, machine.url.port), timeout=20)


def head(*lines: str) -> bytes:
    return "\r\n".join([f"POST {protocol.CHECKIN_PATH} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode()


def answer(conn: socket.socket) -> bytes:
    said = b""
    while not said.endswith(b"}"):
        got = conn.recv(65536)
        if not got:
            break
        said += got
    return said
