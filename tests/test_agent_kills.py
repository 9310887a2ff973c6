"""An install or uninstall that is killed at any moment, or finds no room, leaves nothing that a repeat cannot mend."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from servers.agents.program import build, process, protocol, status
from servers.agents.program.refusal import Refusal
from tests.small_console import SmallConsole, refused
from tests.test_agent_program import TOKEN, Host

# Runs the packed agent and kills it with SIGKILL just before its nth change of the file system or start of a process.
KILLER = """
import os, runpy, sys

point, program = int(sys.argv[1]), sys.argv[2]
sys.argv = sys.argv[2:]
count = 0


def watch(event, args):
    global count
    writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
    if writes or event in ("os.rename", "os.mkdir", "os.rmdir", "os.symlink", "os.remove", "subprocess.Popen"):
        count += 1
        if count == point:
            os.kill(os.getpid(), 9)


sys.addaudithook(watch)
runpy.run_path(program, run_name="__main__")
"""


@pytest.fixture
def console() -> Iterator[SmallConsole]:
    with SmallConsole().serving() as console:
        console.tokens[TOKEN] = ""
        yield console


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path)
    yield host
    process.halt(host.paths)


def until_point(host: Host, point: int, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", KILLER, str(point), build.artifact().path, *words],
        env=host.environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def install_until(host: Host, console: SmallConsole, point: int) -> subprocess.CompletedProcess[str]:
    (host.folder / "token").write_text(TOKEN)
    return until_point(host, point, "install", "--url", console.url, "--token-file", str(host.folder / "token"))


def assert_whole(host: Host) -> None:
    """Whatever is there under its own name is complete."""
    for path in (host.paths.config, host.paths.receipt, host.paths.identity):
        if os.path.exists(path):
            json.loads(Path(path).read_text())
    if os.path.exists(host.paths.program):
        assert Path(host.paths.program).read_bytes() == build.pack()
    if any(name.startswith("opt/") for name in host.files()):
        assert os.path.exists(host.paths.receipt)


def test_an_install_killed_at_any_point_is_mended_by_a_repeat_or_removed_by_an_uninstall(
    host: Host, console: SmallConsole, full_or: Callable[[int, int], int]
) -> None:
    for point in range(1, 200, full_or(1, 3)):
        killed = install_until(host, console, point)
        assert_whole(host)
        if killed.returncode == 0:  # past its last change
            break
        assert killed.returncode == -9, (point, killed.stderr)
        if point % 2:
            host.install(console.url)
            assert process.until(lambda: host.call_any("status", "--json")["reporting"], 20), (point, host.log())
        host.call("uninstall")
        assert host.files() == [], point
        console.tokens[TOKEN] = ""
    assert point > 20


def test_an_uninstall_killed_at_any_point_is_finished_by_a_repeat(
    host: Host, console: SmallConsole, full_or: Callable[[int, int], int]
) -> None:
    host.install(console.url)
    for point in range(1, 200, full_or(1, 3)):
        killed = until_point(host, point, "uninstall")
        if killed.returncode == 0:
            break
        assert killed.returncode == -9, (point, killed.stderr)
        host.call("uninstall")
        assert host.files() == [], point
        console.tokens[TOKEN] = ""
        host.install(console.url)
    assert point > 10


def test_an_agent_killed_at_any_point_of_leaving_is_finished_by_the_next_start(
    host: Host, console: SmallConsole, full_or: Callable[[int, int], int]
) -> None:
    cut = 0
    asked: list[str] = []
    for point in range(1, 200, full_or(1, 2)):
        if host.files() == []:
            console.rule, console.tokens[TOKEN] = (lambda path, body: None), ""
            host.install(console.url, TOKEN, "--wait", "20")
            host.call("halt")
        console.rule = lambda path, body: refused(410, protocol.REMOVED)
        code = run_until(host, point)
        if code == process.LEFT:  # past its last change
            assert host.files() == []
            break
        assert code == -9, point
        if os.path.exists(host.paths.receipt):  # it had not begun to leave
            continue
        console.rule = lambda path, body: asked.append(path) or (503, {})
        if os.path.exists(host.paths.launcher):
            with pytest.raises(Refusal, match="being removed"):
                status.report(host.paths)
            assert start(host, ("boot", "supervise", "run")[cut % 3]) in (0, process.LEFT), (point, host.log())
            cut += 1
        else:  # the agent itself was the last to go
            assert {name for name in host.files() if os.path.isfile(host.prefix / name)} <= LAST, point
            host.call("uninstall")
        assert host.files() == [] and asked == [], point
    assert cut > 5


LAST = {"var/lib/muster-agent/install.lock", "var/lib/muster-agent/leaving.json"}


def run_until(host: Host, point: int) -> int:
    """How an agent ends that is killed just before its nth change."""
    words = [sys.executable, "-c", KILLER, str(point), host.paths.program, "run"]
    return subprocess.run(words, env=host.environment, check=False, timeout=60).returncode


def start(host: Host, how: str) -> int:
    """As an init script does, or systemd, or the supervisor of a version before."""
    if how == "run" and not os.path.exists(host.paths.program):
        how = "boot"
    program = host.paths.program if how == "run" else host.paths.launcher
    return subprocess.run(process.command(program, how), env=host.environment, check=False, timeout=60).returncode


def test_an_update_killed_at_any_point_keeps_the_agent_that_was_there(host: Host, console: SmallConsole) -> None:
    host.install(console.url, TOKEN, "--wait", "20")
    for point in range(1, 16):
        assert install_until(host, console, point).returncode == -9
        assert_whole(host)
        assert os.path.exists(host.paths.program) and os.path.exists(host.paths.identity)
    host.install(console.url, TOKEN, "--wait", "20")
    assert host.status()["agent_id"] == "agent-1"


def test_an_install_without_room_says_so_and_succeeds_once_there_is_some(host: Host, console: SmallConsole) -> None:
    (host.folder / "token").write_text(TOKEN)
    words = ["install", "--url", console.url, "--token-file", str(host.folder / "token")]
    full = subprocess.run(
        [sys.executable, build.artifact().path, *words],
        env=host.environment, capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )  # fmt: skip
    said = json.loads(full.stdout.splitlines()[-1])
    assert said["ok"] is False and said["cause"] and said["fix"], full
    assert_whole(host)
    assert host.call("install", *words[1:], "--wait", "20")["reporting"] is True


def test_a_running_agent_killed_at_any_point_is_the_same_agent_when_it_comes_back(
    host: Host, console: SmallConsole, full_or: Callable[[int, int], int]
) -> None:
    installed_but_not_started(host, console)
    points = 0
    for point in range(1, 100, full_or(1, 2)):
        taken = len(console.checkins())
        child = subprocess.Popen(
            [sys.executable, "-c", KILLER, str(point), host.paths.program, "run"],
            env=host.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        process.until(
            lambda child=child, taken=taken: child.poll() is not None or len(console.checkins()) > taken + 1, 20
        )
        killed = child.poll() == -9
        child.kill()
        child.wait()
        assert_whole(host)
        assert len(console.agents) <= 1
        points += killed
        if not killed:  # it had enrolled and checked in twice before it came so far
            break
        if point % 10 == 1:  # what it had come to is begun anew
            console.tokens[TOKEN] = ""
            console.agents.clear()
            host.call("uninstall")
            installed_but_not_started(host, console)
    assert points > 5
    host.call("boot")
    assert process.until(lambda: host.call_any("status", "--json")["reporting"], 20), host.log()
    assert list(console.agents) == ["agent-1"]


def installed_but_not_started(host: Host, console: SmallConsole) -> None:
    """The agent with a token that it has not used."""
    away = console.url
    console.rule = lambda path, body: (503, {"error": {"code": "away", "message": "Later."}})
    host.install(away)
    host.call("halt")
    console.rule = lambda path, body: None


def test_supervisor_and_agent_killed_together_come_back_by_boot(host: Host, console: SmallConsole) -> None:
    host.install(console.url, TOKEN, "--wait", "20")
    for times in range(1, 6):
        for pid in process.holders(host.paths) or []:
            os.kill(pid, 9)
        assert process.until(lambda: process.holders(host.paths) is None, 5)
        host.call("boot")
        console.wait(lambda times=times: len(console.agents["agent-1"].boots) > times)
    assert list(console.agents) == ["agent-1"]


def test_an_agent_that_starts_on_a_full_disk_reports_all_the_same(host: Host, console: SmallConsole) -> None:
    host.install(console.url, TOKEN, "--wait", "20")
    host.call("halt")
    kept = Path(host.paths.identity).read_text()
    taken = len(console.checkins())
    child = subprocess.Popen(
        process.command(host.paths.launcher, "supervise"),
        env=host.environment,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
    )
    try:
        console.wait(lambda: len(console.checkins()) > taken + 2)
        assert Path(host.paths.identity).read_text() == kept
    finally:
        child.terminate()
        assert child.wait(20) == process.HALTED


def test_two_installs_at_once_end_with_one_agent(host: Host, console: SmallConsole) -> None:
    for name in ("one", "two"):
        (host.folder / name).write_text(TOKEN)
    words = [sys.executable, build.artifact().path, "install", "--url", console.url, "--token-file"]
    both = [
        subprocess.Popen([*words, host.folder / name], env=host.environment, stdout=subprocess.PIPE, text=True)
        for name in ("one", "two")
    ]
    said = [json.loads(child.communicate(timeout=60)[0].splitlines()[-1]) for child in both]
    assert any(s["ok"] for s in said)
    assert all(s["ok"] or "Another install" in s["cause"] for s in said)
    assert process.until(lambda: host.call_any("status", "--json")["reporting"], 20)
    assert len(console.agents) == 1
