"""Heartbeats: what they write, what they cost, what they refuse, and what open pages hear of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from console.lib import notify
from servers.agents import checkin, enrol, former, reports
from servers.agents.models import Agent
from servers.agents.program import build, process, protocol
from servers.agents.program.paths import Paths
from servers.agents.signals import first_heartbeat
from servers.models import Server
from tests.conftest import People
from tests.factories import ServerFactory

METRICS = {
    "load1": 0.5, "load5": 0.4, "load15": 0.3, "cpu_percent": 12.5, "memory_used_bytes": 100, "memory_total_bytes": 400,
    "swap_used_bytes": 0, "swap_total_bytes": 0, "uptime_seconds": 60,
    "disks": [
        {"mount": "/data", "used_bytes": 900, "total_bytes": 1000}, {"mount": "/", "used_bytes": 10, "total_bytes": 50},
    ],
}  # fmt: skip
FACTS = {"hostname": "web-1", "os": {"name": "Debian"}, "nics": [{"name": "eth0", "mac": "aa", "addresses": ["::1/8"]}]}


@pytest.fixture
def server(people: People) -> Server:
    return ServerFactory(account=people.account)


@pytest.fixture
def secret(server: Server, people: People) -> str:
    return former.join(enrol.issue(server, people.alice), "attempt", "0.1.0", reports.facts({}))[1]


@pytest.fixture
def hints(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    heard: list[str] = []
    monkeypatch.setattr(notify, "changed", lambda customer, what: heard.append(what))
    return heard


def post(secret: str | None, body: object = None) -> tuple[int, dict]:
    headers = {} if secret is None else {"Authorization": f"Bearer {secret}"}
    said = {"version": "0.1.1", "metrics": METRICS} if body is None else body
    data = said if isinstance(said, (str, bytes)) else json.dumps(said)
    client = Client(raise_request_exception=False)
    reply = client.post(protocol.HEARTBEAT_PATH, data, content_type="application/json", headers=headers)
    return reply.status_code, reply.json()


def test_a_heartbeat_writes_what_lists_show(secret: str, server: Server) -> None:
    assert post(secret) == (200, {"interval": 30})
    agent = Agent.objects.get(server=server)
    assert (agent.load1, agent.cpu_percent, agent.memory_used, agent.memory_total) == (0.5, 12.5, 100, 400)
    assert (agent.disk_used, agent.disk_total) == (10, 50)  # the root file system, not the largest
    assert agent.metrics["swap_total_bytes"] == 0 and agent.version == "0.1.1" and agent.recent_load == [0.5]
    assert Agent.objects.reporting().get() == agent and Server.objects.managed().get() == server


def test_facts_stay_until_new_ones_come(secret: str) -> None:
    post(secret, {"metrics": METRICS, "facts": FACTS})
    post(secret)
    assert Agent.objects.get().facts["nics"][0]["addresses"] == ["::1/8"]


def test_the_last_thirty_loads_are_kept(secret: str) -> None:
    for number in range(35):
        post(secret, {"metrics": {"load1": number}})
    assert Agent.objects.get().recent_load == [float(n) for n in range(5, 35)]


def test_a_heartbeat_costs_three_queries(secret: str) -> None:
    post(secret)
    with CaptureQueriesContext(connection) as queries:
        assert post(secret)[0] == 200
    assert len(queries) <= 3, [q["sql"] for q in queries]


def test_the_first_heartbeat_is_told_once(secret: str, server: Server) -> None:
    told: list[Agent] = []

    def hear(agent: Agent, **_: object) -> None:
        told.append(agent)

    first_heartbeat.connect(hear)
    try:
        post(secret)
        post(secret)
    finally:
        first_heartbeat.disconnect(hear)
    assert [agent.server for agent in told] == [server]


def test_open_pages_hear_of_a_heartbeat_but_not_of_every_one(secret: str, server: Server, hints: list[str]) -> None:
    post(secret)
    post(secret)
    assert hints == [f"server-{server.pk}"]
    Agent.objects.update(last_seen_at=timezone.now() - timedelta(seconds=30))
    post(secret)
    assert hints == [f"server-{server.pk}"] * 2


def test_offline_follows_from_when_it_was_last_heard(secret: str) -> None:
    post(secret)
    assert Agent.objects.reporting().exists() and not Agent.objects.offline().exists()
    Agent.objects.update(last_seen_at=timezone.now() - timedelta(minutes=5))
    assert Agent.objects.offline().exists() and not Agent.objects.reporting().exists()
    post(secret)
    assert Agent.objects.reporting().exists()


def test_a_removed_agent_is_told_to_leave_and_its_server_is_free(secret: str, server: Server, people: People) -> None:
    checkin.remove(Agent.objects.get(), people.alice)
    status, said = post(secret)
    assert (status, said["error"]["code"]) == (410, protocol.REMOVED)
    assert Server.objects.without_agent().get() == server
    assert not Agent.objects.live().exists()


def test_a_revoked_agent_and_a_stranger_are_told_to_stop(secret: str, server: Server, people: People) -> None:
    enrol.enrol(enrol.issue(server, people.alice), "attempt-two", "0.1.0", reports.facts({}))
    for whose in (secret, "mja_stranger"):
        status, said = post(whose)
        assert (status, said["error"]["code"]) == (401, protocol.UNKNOWN_AGENT)


def test_a_heartbeat_whose_token_got_lost_on_the_way_does_not_stop_the_agent(secret: str) -> None:
    status, said = post(None)
    assert status == 401 and said["error"]["code"] not in (protocol.UNKNOWN_AGENT, protocol.UNKNOWN_TOKEN)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 400), ("{", 400), ("[]", 400), ('"text"', 400), ('{"metrics": {"load1": NaN}}', 400), (b"\xff\xfe", 400),
        ({"metrics": {"load1": "high"}}, 400), ({"metrics": {"load1": -1}}, 400), ({"metrics": {"load1": 1e300}}, 400),
        ({"metrics": {"cpu_percent": 101}}, 400), ({"metrics": {"load1": True}}, 400), ({"metrics": []}, 200),
        ({"metrics": {"memory_used_bytes": 2**70}}, 400), ({"metrics": {"disks": [{}] * 40}}, 400),
        ({"metrics": {"disks": {}}}, 400), ({"facts": {"os": 1}}, 400), ("[" * 20000, 400),
        ("x" * (protocol.MAX_BODY + 1), 413), ({"unknown": "field"}, 200),
    ],
)  # fmt: skip
def test_rubbish_gets_the_one_error_shape_and_writes_nothing(secret: str, body: object, status: int) -> None:
    got, said = post(secret, body)
    assert got == status, said
    if status != 200:
        assert {"code", "message", "request_id"} <= set(said["error"])
        assert Agent.objects.get().last_seen_at is None


def test_text_is_cut_and_loses_control_characters(secret: str) -> None:
    post(secret, {"facts": {"hostname": "a\x00b\x1b[31m\u202e" + "x" * 500}})
    hostname = Agent.objects.get().facts["hostname"]
    assert hostname.startswith("ab[31mx") and len(hostname) == protocol.MAX_TEXT


def test_other_methods_and_addresses_get_the_shape_too(db: None) -> None:
    reply = Client().get(protocol.HEARTBEAT_PATH)
    assert reply.status_code == 405 and reply.json()["error"]["code"] == "method_not_allowed"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=20,
)


@st.composite
def mutated(draw: st.DrawFn) -> dict:
    """A good body in which one place, however deep, holds something else."""
    body = json.loads(json.dumps({"version": "0.1.0", "metrics": METRICS, "facts": FACTS}))
    place = body
    while True:
        key = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if isinstance(place[key], (dict, list)) and place[key] and draw(st.booleans()):
            place = place[key]
            continue
        place[key] = draw(JSON)
        return body


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=mutated())
def test_no_mutated_body_breaks_the_server(secret: str, body: dict) -> None:
    assert post(secret, json.dumps(body))[0] in (200, 400)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=200))
def test_no_bytes_break_the_server(secret: str, body: bytes) -> None:
    assert post(secret, body)[0] in (200, 400)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Paths]:
    paths = Paths(str(tmp_path / "host"))
    yield paths
    process.halt(paths)


def test_the_packed_agent_enrols_reports_and_leaves(
    live_server: object, host: Paths, server: Server, people: People, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(enrol.issue(server, people.alice))
    words = ["install", "--url", live_server.url, "--token-file", tmp_path / "token", "--wait", "20"]
    done = subprocess.run(
        [sys.executable, build.artifact().path, *words],
        env={**os.environ, "MUSTER_AGENT_PREFIX": host.prefix}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert json.loads(done.stdout.splitlines()[-1])["reporting"] is True, done
    agent = Agent.objects.get(server=server)
    assert agent.facts["hostname"] == os.uname().nodename and agent.disk_total > 0 and agent.memory_total > 0
    checkin.remove(agent, people.alice)
    process.halt(host)
    environment = {**os.environ, "MUSTER_AGENT_PREFIX": host.prefix}
    subprocess.run([sys.executable, host.program, "boot"], env=environment, check=True)
    assert process.until(lambda: not any(Path(host.prefix).iterdir()), 20)
