"""The agent where the disk is full or read-only: it reports, runs nothing that it could not journal, and says so."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from console.lib.signing import encode
from servers.agents.program import build, process, protocol
from tests.mounts import FULL, READ_ONLY, SMALL, Apart, apart
from tests.processes import wait
from tests.small_console import SmallConsole
from tests.test_agent_desk import PUBLIC, name, signed
from tests.test_agent_kills import installed_but_not_started
from tests.test_agent_program import TOKEN, Host

DISKS = pytest.mark.parametrize(
    ("disk", "words"), [(FULL, "The disk is full"), (READ_ONLY, "is read-only")], ids=["full", "read-only"]
)


@pytest.fixture
def console() -> Iterator[SmallConsole]:
    with SmallConsole().serving() as console:
        console.tokens[TOKEN] = ""
        console.keys = [{"id": "k1", "key": encode(PUBLIC)}]
        yield console


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path)
    yield host
    process.halt(host.paths)


def supervised(host: Host) -> list[str]:
    return process.command(host.paths.launcher, "supervise")


def asked(there: Apart, host: Host, *words: str) -> dict[str, Any]:
    """What the agent's command says to somebody on that host."""
    done = there.inside(sys.executable, build.artifact().path, *words, "--json", env=host.environment)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def order(script: str) -> dict[str, Any]:
    return signed(script, agent="agent-1", run_as="root")


def told(console: SmallConsole, item: dict[str, Any]) -> list[dict[str, Any]]:
    """All that the agent said of this piece of work, but that it began."""
    results = [result for body in console.checkins() for result in body.get("work", [])]
    return [result for result in results if result["id"] == name(item) and result["state"] != protocol.STARTED]


def ended(console: SmallConsole, item: dict[str, Any]) -> dict[str, Any]:
    console.wait(lambda: bool(told(console, item)), 30)
    return told(console, item)[-1]


def give(console: SmallConsole, item: dict[str, Any]) -> None:
    console.wait(lambda: not console.bring, 30)
    console.tell(work=[item])


def more(console: SmallConsole, count: int = 2) -> None:
    """So many more check-ins are taken."""
    before = len(console.checkins())
    console.wait(lambda: len(console.checkins()) >= before + count, 40)


@DISKS
def test_it_reports_and_refuses_work_in_words_until_the_disk_can_be_written(
    host: Host, console: SmallConsole, disk: str, words: str
) -> None:
    host.install(console.url, TOKEN, "--wait", "20")
    host.call("halt")
    item, later = (order(f"echo ran >> {host.folder}/{name}") for name in ("refused", "ran"))
    with apart(disk, host.prefix, *supervised(host), env=host.environment) as there:
        more(console, 4)  # the poll of the agent before it is over
        give(console, item)
        said = ended(console, item)
        assert said["state"] == "refused" and words in said["reason"] and "was not run" in said["reason"]
        assert asked(there, host, "status")["reporting"]
        checks = {check["name"]: check for check in asked(there, host, "doctor")["checks"]}
        assert not checks["disk"]["ok"] and words in checks["disk"]["found"]
        more(console)
        assert len(told(console, item)) == 1, "it is not told over and over"

        there.free() if disk is FULL else there.mount("rw")
        give(console, later)
        assert ended(console, later)["state"] == "done"
        assert there.read(host.paths.identity) and list(console.agents) == ["agent-1"]
    assert not (host.folder / "refused").exists() and (host.folder / "ran").read_text() == "ran\n"


@DISKS
def test_who_joins_then_is_known_from_memory_and_kept_once_the_disk_can_be_written(
    host: Host, console: SmallConsole, disk: str, words: str
) -> None:
    installed_but_not_started(host, console)
    with apart(disk, host.prefix, *supervised(host), env=host.environment) as there:
        more(console)
        status = asked(there, host, "status")
        assert status["reporting"] and status["in_memory"]
        assert not there.read(host.paths.identity) and "token" in json.loads(there.read(host.paths.config))
        there.free() if disk is FULL else there.mount("rw")
        wait(lambda: there.read(host.paths.identity), 20, "the identity is kept")
        wait(lambda: not asked(there, host, "status")["in_memory"], 20, "and status knows")
        assert "token" not in json.loads(there.read(host.paths.config))
        assert json.loads(there.read(host.paths.identity))["agent_id"] == "agent-1"
    assert list(console.agents) == ["agent-1"]


def test_a_disk_that_fills_up_under_a_script_loses_output_and_says_so(host: Host, console: SmallConsole) -> None:
    host.install(console.url, TOKEN, "--wait", "20")
    host.call("halt")
    with apart(SMALL, host.prefix, *supervised(host), env=host.environment, size="256k") as there:
        more(console, 4)  # the poll of the agent before it is over
        item, after = order("head -c 900000 /dev/zero | tr '\\0' a; exit 3"), order("echo again")
        give(console, item)
        said = ended(console, item)
        assert (said["state"], said["exit_code"]) == ("failed", 3)
        assert said["reason"] == "It ended with 3. The disk had no room for all of its output."
        assert 0 < written(console, item) < 900_000
        give(console, after)
        assert ended(console, after)["state"] == "done", "what the console has makes room"
        assert len(told(console, item)) == 1 and there.process.poll() is None


def written(console: SmallConsole, item: dict[str, Any]) -> int:
    """How far the output reaches that the console got, without a gap."""
    pieces = sorted(
        (body["offset"], len(body["data"]) * 3 // 4)
        for path, body, _ in console.heard
        if path == protocol.OUTPUT_PATH and body["work"] == name(item)
    )
    reached = 0
    for offset, size in pieces:
        assert offset <= reached, pieces
        reached = max(reached, offset + size)
    return reached


def test_a_disk_that_turns_read_only_under_a_script_costs_its_journal_and_not_the_truth(
    host: Host, console: SmallConsole
) -> None:
    """As after an error of the disk. The end is told from memory, once; nothing runs again, also after a restart."""
    host.install(console.url, TOKEN, "--wait", "20")
    host.call("halt")
    begun, go = host.folder / "begun", host.folder / "go"
    item = order(f"echo begun >> {begun}; while [ ! -e {go} ]; do sleep 0.05; done; echo end")
    with apart(READ_ONLY, host.prefix, *supervised(host), env=host.environment) as there:
        more(console, 4)  # the poll of the agent before it is over
        there.mount("rw")
        give(console, item)
        wait(begun.exists, 20, "it runs")
        there.mount("ro")
        go.touch()
        said = ended(console, item)
        assert (said["state"], said["exit_code"]) == ("done", 0)
        more(console)
        assert len(told(console, item)) == 1, "what the disk will not note as known is not told over and over"
    with apart(READ_ONLY, host.prefix, *supervised(host), env=host.environment):
        more(console, 4)
        give(console, item)  # a console that lost its memory
        more(console)
    assert begun.read_text() == "begun\n"
    assert {result["state"] for result in told(console, item)[1:]} <= {"interrupted"}
