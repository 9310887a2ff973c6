"""Signed work against `kill -9` of everything on its way: nothing is lost, and nothing runs twice.

`up` keeps the console's processes running as in production; real agents run below prefixes of their own.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from console.demo.processes import lives
from console.lib import embedded
from servers.agents.program import process
from tests.homes import ready_home
from tests.processes import ROOT, environment, wait
from tests.test_agent_program import Host
from tests.ups import Up, up

ENDED = ("done", "failed", "interrupted", "refused", "expired", "canceled")
REASON = "The agent ended while it ran."
AGENTS = 4
AHEAD = 40  # pieces that are ordered and not ended, at most
# One row whatever there is: no row says that nobody answered.
WROTE = (
    "SELECT coalesce(string_agg(data, ''::bytea ORDER BY \"offset\"), '') FROM agents_workoutput "
    "WHERE work_id = '{}' AND stream = 1"
)

# Somebody who orders: says where the servers' agents join, is told where they write, and orders a piece for each
# number. An order whose commit is in doubt is looked for before it is given again.
ORDERS = """
import json, random, sys, time
from django.db import DatabaseError, connection
from servers.agents import enrol, work
from servers.agents.models import Agent, Work
from tests.factories import AccountFactory, MembershipFactory, ServerFactory
account, by = AccountFactory(), MembershipFactory().user
servers = [ServerFactory(account=account) for _ in range({agents})]
print(json.dumps([enrol.issue(server, by) for server in servers]), flush=True)
places = json.loads(sys.stdin.readline())
for number in range({pieces}):
    chosen = number % len(servers)
    script = f"printf '%s\\\\n' {{number}} >>'{{places[chosen]}}'; sleep 0.1; echo ended {{number}}"
    while True:
        try:
            left = Work.objects.filter(state__in=("queued", "started")).count()
            if left < {ahead}:
                if not Work.objects.filter(script=script).exists():
                    work.order([servers[chosen]], script, by=by)
                break
            time.sleep(0.1)
        except DatabaseError:
            connection.close()
            time.sleep(0.2)
print("ordered", flush=True)
"""


class Watch:
    """The database of this home as seen from outside, through its crashes."""

    def __init__(self, home: Path) -> None:
        self._url = embedded.engine(home).database_url
        self._link: psycopg.Connection[Any] | None = None

    def ask(self, question: str) -> list[Any]:
        """The rows; [] while nobody answers."""
        try:
            if self._link is None or self._link.closed:
                self._link = psycopg.connect(self._url, autocommit=True, connect_timeout=2)
            return self._link.execute(question).fetchall()
        except psycopg.OperationalError:
            self.close()
            return []

    def ended(self) -> int:
        states = self.ask("SELECT state, count(*) FROM agents_work GROUP BY 1")
        return sum(count for state, count in states if state in ENDED)

    def close(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None


@contextmanager
def orders(home: Path, pieces: int) -> Iterator[subprocess.Popen[str]]:
    text = ORDERS.format(agents=AGENTS, pieces=pieces, ahead=AHEAD)
    with (home / "orders.log").open("w") as said, subprocess.Popen(
        [sys.executable, "manage.py", "shell", "-v", "0", "-c", text], cwd=ROOT, env=environment(home, DEMO="0"),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True,
    ) as person:  # fmt: skip
        try:
            yield person
        finally:
            person.kill()


def kill_part(running: Up, name: str, chance: random.Random) -> None:
    """One of the console's processes, or of a worker's pool. `up` starts it again."""
    part = wait(lambda: running.part(name), 60, f"{name} runs")
    victim = chance.choice([part, *part.children()]) if name.startswith("worker") else part
    with suppress(psutil.NoSuchProcess):
        victim.kill()


def kill_agent(host: Host, chance: random.Random) -> None:
    """The agent alone, which its supervisor starts again; or both, as when the host stops, which boots again."""
    pids = wait(lambda: len(found := process.holders(host.paths) or []) == 2 and found, 90, "the agent runs")
    victims = pids if chance.random() < 0.5 else pids[1:]
    for pid in victims:
        with suppress(ProcessLookupError):
            os.kill(pid, 9)
    wait(lambda: not any(map(lives, victims)), 10, "it is dead")
    if victims == pids:
        wait(lambda: process.holders(host.paths) is None, 10, "nobody holds its lock")
        process.boot(host.paths)


@pytest.mark.timeout(1500)
def test_work_is_neither_lost_nor_done_twice_whatever_is_killed(full_or: Any) -> None:
    pieces = full_or(500, 40)
    kills = ["worker-default"] * full_or(20, 2) + ["agent"] * full_or(20, 2) + ["valkey"] * full_or(3, 1)
    kills += ["postgres"] * full_or(2, 1) + ["web"] * full_or(3, 1)
    seed = int(os.environ.get("KILLS_SEED") or random.randrange(2**32))
    print(f"The same kills again: KILLS_SEED={seed}")  # noqa: T201 - pytest shows it with a failure
    chance = random.Random(seed)
    chance.shuffle(kills)
    with ExitStack() as stack:
        home = stack.enter_context(ready_home())
        running = stack.enter_context(up(home, AGENT_INTERVAL="1")).ready()
        person = stack.enter_context(orders(home, pieces))
        assert person.stdin and person.stdout
        hosts = []
        for number, token in enumerate(json.loads(person.stdout.readline())):
            place = home.parent / f"host-{number}"
            place.mkdir()
            hosts.append(Host(place))
            stack.callback(process.halt, hosts[-1].paths)
            hosts[-1].install(f"http://127.0.0.1:{running.port}", token)
        watch = Watch(home)
        stack.callback(watch.close)
        # An installer does not wait for the agent that it starts; work is ordered from one that is there.
        wait(lambda: watch.ask("SELECT count(*) FROM agents_agent WHERE first_seen_at IS NOT NULL") == [(AGENTS,)], 60,
             "all agents report")  # fmt: skip
        person.stdin.write(json.dumps([str(host.folder / "ran") for host in hosts]) + "\n")
        person.stdin.flush()

        def ended(pieces: int) -> bool:
            assert person.poll() in (None, 0), (home / "orders.log").read_text()
            return watch.ended() >= pieces

        for number, kill in enumerate(kills, 1):
            due = number * pieces // (len(kills) + 1)
            wait(lambda due=due: ended(due), 240, f"{due} pieces ended, then a kill of {kill}")
            kill_agent(chance.choice(hosts), chance) if kill == "agent" else kill_part(running, kill, chance)
        assert person.stdout.readline() == "ordered\n"
        wait(lambda: ended(pieces), 240, "all of them ended")

        rows = wait(lambda: watch.ask("SELECT script, state, reason, exit_code, id FROM agents_work"))
        ran = Counter(line for host in hosts for line in (host.folder / "ran").read_text().split())
        assert len(rows) == pieces and set(ran.values()) == {1}, [one for one in ran.items() if one[1] > 1]
        for script, state, reason, code, work in rows:
            number = script.split()[2]
            if state == "done":
                assert ran[number] == 1 and code == 0
                [(kept,)] = wait(lambda work=work: watch.ask(WROTE.format(work)), words="the database answers")
                left = [str(path) for host in hosts for path in Path(host.paths.work).glob(f"{work}.*")]
                assert bytes(kept) == f"ended {number}\n".encode(), (number, reason, left)
            else:
                assert (state, reason, code) == ("interrupted", REASON, None), (script, state, reason)
        states = Counter(row[1] for row in rows)
        assert states["interrupted"] <= 4 * kills.count("agent"), states
        agents = watch.ask("SELECT state FROM agents_agent")
        assert agents == [("live",)] * AGENTS, "each is the agent that it was"
        assert '"status": 500' not in (home / "log" / "web.log").read_text()
