"""What a check-in writes at once, what open pages hear of it, how agents are removed; and the packed agent in whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.test import Client
from django.utils import timezone

from console.lib import notify
from servers.agents import checkin, enrol, reports
from servers.agents.models import Agent
from servers.agents.program import build, process, protocol
from servers.agents.program.paths import Paths
from servers.agents.signals import first_heartbeat
from servers.models import Server
from tests.asgi import LiveConsole, served
from tests.conftest import People
from tests.factories import ServerFactory
from tests.machine import SAMPLE as METRICS

FACTS = {"hostname": "web-1", "os": {"name": "Debian"}, "nics": [{"name": "eth0", "mac": "aa", "addresses": ["::1/8"]}]}


@pytest.fixture
def server(people: People) -> Server:
    return ServerFactory(account=people.account)


@pytest.fixture
def agent(server: Server, people: People) -> Agent:
    return enrol.enrol(enrol.issue(server, people.alice), "key", "0.2.0", reports.facts({}))


@pytest.fixture
def hints(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    heard: list[str] = []
    monkeypatch.setattr(notify, "changed", lambda customer, what: heard.append(what))
    return heard


def beat(agent: Agent, facts: dict | None = None) -> None:
    checkin.beat(agent.pk, "0.2.1", reports.metrics(METRICS), reports.facts(facts) if facts else None)


def test_a_checkin_writes_what_lists_show(agent: Agent, server: Server) -> None:
    beat(agent)
    agent.refresh_from_db()
    assert (agent.load1, agent.cpu_percent, agent.memory_used, agent.memory_total) == (0.5, 12.5, 100, 400)
    assert (agent.disk_used, agent.disk_total) == (10, 50)  # the root file system, not the largest
    assert agent.metrics["swap_total_bytes"] == 0 and agent.version == "0.2.1" and agent.recent_load == [0.5]
    assert Agent.objects.reporting().get() == agent and Server.objects.managed().get() == server


def test_facts_stay_until_new_ones_come(agent: Agent) -> None:
    beat(agent, FACTS)
    beat(agent)
    assert Agent.objects.get().facts["nics"][0]["addresses"] == ["::1/8"]


def test_the_first_one_is_told_once(agent: Agent, server: Server) -> None:
    told: list[Agent] = []

    def hear(agent: Agent, **_: object) -> None:
        told.append(agent)

    first_heartbeat.connect(hear)
    try:
        beat(agent)
        beat(agent)
    finally:
        first_heartbeat.disconnect(hear)
    assert [agent.server for agent in told] == [server]


def test_open_pages_hear_of_it_but_not_each_time(agent: Agent, server: Server, hints: list[str]) -> None:
    beat(agent)
    beat(agent)
    assert hints == [f"server-{server.pk}"]
    Agent.objects.update(last_seen_at=timezone.now() - timedelta(seconds=30))
    beat(agent)
    assert hints == [f"server-{server.pk}"] * 2


def test_offline_follows_from_when_it_was_last_heard(agent: Agent) -> None:
    beat(agent)
    assert Agent.objects.reporting().exists() and not Agent.objects.offline().exists()
    Agent.objects.update(last_seen_at=timezone.now() - timedelta(minutes=5))
    assert Agent.objects.offline().exists() and not Agent.objects.reporting().exists()
    beat(agent)
    assert Agent.objects.reporting().exists()


@pytest.mark.parametrize("seconds", [1, 30, 3600])
def test_an_agent_that_waits_as_long_as_it_may_is_not_offline(agent: Agent, settings: object, seconds: int) -> None:
    settings.AGENT_INTERVAL = seconds  # type: ignore[attr-defined]
    Agent.objects.update(last_seen_at=timezone.now() - timedelta(seconds=min(seconds, protocol.WAIT_MAX)))
    assert Agent.objects.reporting().exists()


def test_a_removed_agent_is_told_to_leave_and_its_server_is_free(agent: Agent, server: Server, people: People) -> None:
    checkin.remove(agent, people.alice)
    with pytest.raises(checkin.Removed):
        beat(agent)
    assert Server.objects.without_agent().get() == server
    assert not Agent.objects.live().exists()


def test_a_revoked_agent_is_told_to_stop(agent: Agent, server: Server, people: People) -> None:
    enrol.enrol(enrol.issue(server, people.alice), "another key", "0.1.0", reports.facts({}))
    with pytest.raises(checkin.UnknownAgent):
        beat(agent)


def test_a_suspended_agent_is_told_to_prove_itself(agent: Agent) -> None:
    Agent.objects.update(state="suspended")
    with pytest.raises(checkin.ProveAgain):
        beat(agent)


def test_other_methods_get_the_one_shape(db: None) -> None:
    reply = Client().get(protocol.SESSION_PATH)
    assert reply.status_code == 405 and reply.json()["error"]["code"] == "method_not_allowed"


@pytest.fixture
def console(transactional_db: None) -> Iterator[LiveConsole]:
    with served() as console:
        yield console


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Paths]:
    paths = Paths(str(tmp_path / "host"))
    yield paths
    process.halt(paths)


def test_the_packed_agent_enrols_reports_and_leaves(
    console: LiveConsole, host: Paths, server: Server, people: People, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text(enrol.issue(server, people.alice))
    words = ["install", "--url", console.url, "--token-file", tmp_path / "token", "--wait", "60"]
    done = subprocess.run(
        [sys.executable, build.artifact().path, *words],
        env={**os.environ, "MUSTER_AGENT_PREFIX": host.prefix}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert json.loads(done.stdout.splitlines()[-1])["reporting"] is True, done
    console.written()
    agent = Agent.objects.get(server=server)
    assert agent.facts["hostname"] == os.uname().nodename and agent.disk_total > 0 and agent.memory_total > 0
    checkin.remove(agent, people.alice)
    process.halt(host)
    # It may be gone by now, or before `boot` has seen that it runs, which says so; halted while it left, it goes on.
    environment = {**os.environ, "MUSTER_AGENT_PREFIX": host.prefix}
    subprocess.run([sys.executable, host.launcher, "boot"], env=environment, check=False)
    if not Path(host.launcher).exists():  # halted after that file went: what is left to do nobody starts
        subprocess.run([sys.executable, build.artifact().path, "uninstall"], env=environment, check=True)
    assert process.until(lambda: not any(Path(host.prefix).iterdir()), 60)
