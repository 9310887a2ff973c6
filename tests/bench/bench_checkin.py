"""Check-ins: signed, ordered, stored, counted in the database; and agents that wait, and get work."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import psutil

from tests.bench.results import Result
from tests.processes import end
from tests.shared import ROOT

AGENTS = int(os.environ.get("BENCH_AGENTS", "5000"))
CALLS = int(os.environ.get("BENCH_CALLS", "90000"))
WAITING = int(os.environ.get("BENCH_WAITING", "50000"))
ORDERED = 600  # pieces of work, to as many agents
WEBS = 3  # processes that the waiting agents are spread over
WITHIN = 180.0  # seconds


@contextmanager
def web(*argv: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A web process over the benchmark's database, as `up` starts it (or `argv`), and its port."""
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as door:
        port, fd = door.getsockname()[1], door.fileno()
        words = argv or ("-m", "console.web", str(fd))
        env = {**os.environ, "DATABASE_POOL": "20", "PUBLIC_URL": f"http://127.0.0.1:{port}"}
        process = subprocess.Popen(
            [sys.executable, *(word.format(fd=fd) for word in words)], cwd=ROOT, env=env, pass_fds=[fd]
        )
        try:
            yield process, port
        finally:
            end(process)


def answers(port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5).close()
            return
        except OSError:
            assert time.monotonic() < deadline, "the web process did not start"
            time.sleep(0.05)


def fleet(count: int) -> list[str]:
    """So many servers with live agents in a session; a line of each for fleet.py."""
    from django.db import connection
    from django.utils import timezone

    from console.lib import signing
    from servers.agents.models import Agent
    from servers.agents.program import protocol
    from servers.models import Server
    from tests.factories import AccountFactory

    account = AccountFactory()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO servers_server (id, account_id, customer_id, external_id, name, state, raw_state, addresses,"
            " ips, size, image, region, key_name, digest, fingerprint) SELECT gen_random_uuid(), %s, %s, 'x' || n,"
            " 'server-' || n, 'running', '', '[]', '{}', '', '', '', '', '0', '' FROM generate_series(1, %s) n",
            [account.pk, account.customer_id, count],
        )
    now, rows, lines = timezone.now(), [], []
    for server in Server.objects.filter(account=account).only("pk"):
        key = os.urandom(32)
        agent = Agent(
            server=server, version=protocol.VERSION, public_key=signing.encode(os.urandom(32)), session=uuid4(),
            session_at=now, first_seen_at=now, last_seen_at=now, epoch=1,
        )  # fmt: skip
        agent.session_key = agent.sealed_session_key(key)
        rows.append(agent)
        lines.append(f"{agent.pk} {agent.session} {key.hex()}\n")
    Agent.objects.bulk_create(rows, batch_size=500)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return lines


@contextmanager
def generator(kind: str, port: int, lines: Sequence[str], *more: object) -> Iterator[subprocess.Popen[str]]:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "agents"
        file.write_text("".join(lines))
        argv = [sys.executable, "-m", "tests.bench.fleet", kind, str(port), str(file), *map(str, more)]
        process = subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def told(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def stored() -> int:
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM agents_sample")
        return int(cursor.fetchone()[0])


def rate(port: int, lines: list[str], count: int, path: str, ago: float = 6000) -> tuple[float, dict[str, Any]]:
    """Check-ins a second, from the first one sent until the last one's sample can be read in the database.

    Each agent tells a minute with each call, `ago` seconds before now and on, as after a while without a network.
    """
    before = stored()
    with generator("call", port, lines, count, path, ago) as process:
        assert told(process) == "built\n"
        go(process)
        said = json.loads(told(process))
    assert said["answered"] == count and not said["refused"], said
    deadline = time.monotonic() + 30
    while stored() - before < count:
        assert time.monotonic() < deadline, f"{stored() - before} of {count} samples were stored"
        time.sleep(0.02)
    return count / (time.time() - said["began"]), said


def run() -> Iterator[Result]:
    yield called()
    yield from waited()


def called() -> Result:
    from servers.agents import samples
    from servers.agents.program import protocol

    samples.prepare()
    lines = fleet(AGENTS)
    plain = "-m uvicorn tests.bench.plain:application --fd {fd} --log-level error --lifespan off"
    with web(*plain.split()) as (_, port):
        answers(port)
        baseline, _ = rate(port, lines, max(AGENTS, CALLS // 12), "/plain")
    lines = fleet(AGENTS)
    with web() as (process, port):
        answers(port)
        rate(port, lines, AGENTS, protocol.CHECKIN_PATH, 7000)  # each session is read once
        spent = sum(psutil.Process(process.pid).cpu_times()[:2])
        ours, said = rate(port, fresh(lines), CALLS, protocol.CHECKIN_PATH)
        spent = sum(psutil.Process(process.pid).cpu_times()[:2]) - spent
    return Result(
        "check-ins a second, stored, one web process", ours, "1/s", baseline,
        f"10 metrics each, signed, of {AGENTS} agents; {CALLS} rows counted; {1e6 * spent / CALLS:.0f} µs CPU each;"
        f" answered at {CALLS / (said['ended'] - said['began']):,.0f}/s; baseline: a Django view that writes each",
    )  # fmt: skip


def fresh(lines: list[str]) -> list[str]:
    """The same agents in another session each, so that sequences begin anew."""
    from servers.agents.models import Agent

    again = []
    rows = {str(agent.pk): agent for agent in Agent.objects.filter(pk__in=[line.split()[0] for line in lines])}
    for line in lines:
        agent, key = rows[line.split()[0]], os.urandom(32)
        agent.session, agent.session_key, agent.sequence = uuid4(), agent.sealed_session_key(key), 0
        again.append(f"{agent.pk} {agent.session} {key.hex()}\n")
    Agent.objects.bulk_update(rows.values(), ["session", "session_key", "sequence"], batch_size=500)
    return again


def waited() -> Iterator[Result]:
    from console.models import User
    from servers.agents import work
    from servers.agents.models import Agent, Work

    lines = fleet(WAITING)
    by = User.objects.create(email="bench@example.com")
    share = -(-len(lines) // WEBS)
    with ExitStack() as stack:
        webs = [stack.enter_context(web()) for _ in range(WEBS)]
        for _, port in webs:
            answers(port)
        fleets = [
            stack.enter_context(generator("wait", port, lines[number * share : (number + 1) * share]))
            for number, (_, port) in enumerate(webs)
        ]
        for process in fleets:
            assert told(process) == "open\n"
        time.sleep(10)  # the last ones' requests are read
        memory = [psutil.Process(process.pid).memory_full_info() for process, _ in webs]
        connections = sum(len(psutil.Process(process.pid).net_connections()) for process, _ in webs)
        before = [sum(psutil.Process(process.pid).cpu_times()[:2]) for process, _ in webs]
        began = time.monotonic()
        picked = random.Random(7).sample([line.split()[0] for line in lines], ORDERED)
        ordered: dict[str, float] = {}
        for pk in picked:
            [row] = work.order([Agent.objects.select_related("server").get(pk=pk).server], "true", by=by)
            ordered[str(row.pk)] = time.time()
        deadline = time.monotonic() + 30
        while Work.objects.filter(state="done").count() < ORDERED and time.monotonic() < deadline:
            time.sleep(0.2)
        seconds = time.monotonic() - began
        spent = sum(sum(psutil.Process(p.pid).cpu_times()[:2]) for p, _ in webs) - sum(before)
        given: dict[str, float] = {}
        lost = 0
        for process in fleets:
            go(process)
            said = json.loads(told(process))
            lost += said["lost"]
            for pk, at in said["given"]:
                given.setdefault(pk, at)
    late = sorted(given[pk] - at for pk, at in ordered.items() if pk in given)
    assert len(late) == ORDERED and not lost, f"{len(late)} were given, {lost} polls were lost: {said['why']}"
    yield Result(
        f"memory of {WEBS} web processes, {WAITING} agents waiting", sum(m.pss for m in memory) / 1e6, "MB", None,
        f"shared pages counted once; {sum(m.rss for m in memory) / 1e6:.0f} MB with them three times;"
        f" {connections} connections; {100 * spent / seconds / WEBS:.0f} % of a core each meanwhile",
    )  # fmt: skip
    yield Result(
        f"work to one of {WAITING} that wait, p99", 1000 * late[int(0.99 * len(late))], "ms", None,
        f"{ORDERED} pieces; median {1000 * late[len(late) // 2]:.0f} ms, slowest {1000 * late[-1]:.0f} ms",
    )  # fmt: skip
