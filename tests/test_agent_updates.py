"""Updates of the real packed agent under its real supervisor: what is broken goes back by itself, the good stays."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import psutil
import pytest

from console.lib.signing import encode
from servers.agents.program import build, process, protocol
from tests import agent_releases
from tests.agent_releases import Broken, offered, packed
from tests.small_console import SmallConsole, refused
from tests.test_agent_desk import PUBLIC
from tests.test_agent_program import TOKEN, Host

# The supervisor out of its packed file, with other times than a host's.
HURRIED = """
import sys
sys.path.insert(0, sys.argv[1])
from muster_agent import paths, supervise, trial
trial.PATIENCE, supervise.SOONEST, supervise.SLOWEST, supervise.GLANCE = float(sys.argv[2]), 0.02, 0.2, 0.1
sys.exit(supervise.supervise(paths.find()))
"""
KILLED = """
import os
fork = os.fork
def fork_and_be_killed():
    child = fork()
    if child:
        os.kill(os.getpid(), 9)
    return child
os.fork = fork_and_be_killed
"""
# Takes a release, and is killed just before its nth change of the file system.
TAKING = """
import json, os, sys
point, program = int(sys.argv[1]), sys.argv[2]
sys.path.insert(0, program)
from muster_agent import base64url, paths, update
given = json.load(sys.stdin)
data = open(given["data"], "rb").read()
keys = {"k1": base64url.decode(given["key"])}
count = 0

def watch(event, args):
    global count
    writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
    if writes or event in ("os.rename", "os.mkdir", "os.symlink", "os.remove"):
        count += 1
        if count == point:
            os.kill(os.getpid(), 9)

sys.addaudithook(watch)
print(update.take(paths.find(), given["offer"], keys, given["now"], lambda path, limit: data))
"""
LONG, SHORT = 300.0, 2.0  # seconds that a new version has
NUMBERS = count(100)


def next_version() -> str:
    return f"0.2.{next(NUMBERS)}"


@pytest.fixture
def console() -> Iterator[SmallConsole]:
    with SmallConsole().serving() as console:
        console.keys = [{"id": "k1", "key": encode(PUBLIC)}]
        yield console


@pytest.fixture
def host(tmp_path: Path, console: SmallConsole) -> Iterator[Host]:
    """The agent, installed, enrolled and halted."""
    host = Host(tmp_path)
    host.install(console.url, TOKEN, "--wait", "20")
    host.call("halt")
    yield host
    process.halt(host.paths)


@contextmanager
def supervised(
    host: Host, patience: float = LONG, biggest: int | None = None, ends: int | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A supervisor that gives new versions so much time, and is there at the end, or has ended with `ends`. Files of it
    and its agent grow to `biggest` bytes."""
    limit = None if biggest is None else lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (biggest, biggest))
    child = subprocess.Popen(
        [host.python, "-I", "-S", "-c", HURRIED, host.paths.launcher, str(patience)],
        env=host.environment, preexec_fn=limit,
    )  # fmt: skip
    try:
        yield child
        assert child.poll() == ends, host.log()
    finally:
        child.terminate()
        child.wait(20)
        process.halt(host.paths)


def give(console: SmallConsole, offer: dict[str, Any], sha256: str, data: bytes) -> None:
    """Offered until another is, as the console does, and at once to whoever waits."""
    console.releases[sha256] = data
    console.offer = offer
    console.tell(release=offer)


def told(console: SmallConsole, version: str) -> list[tuple[str, dict[str, Any]]]:
    """What was told of this version: by which one, and what."""
    said = [(body["version"], body.get("release") or {}) for body in console.checkins()]
    return [(by, release) for by, release in said if release.get("version") == version]


def heard_of(console: SmallConsole, version: str) -> tuple[str, str, str]:
    console.wait(lambda: bool(told(console, version)), 60)
    by, release = told(console, version)[0]
    return by, release["state"], release["reason"]


def reports(console: SmallConsole, version: str) -> None:
    """Two check-ins of this version from now on."""
    before = len(console.checkins())
    console.wait(lambda: sum(body["version"] == version for body in console.checkins()[before:]) >= 2, 60)


def running(host: Host) -> str:
    return os.path.basename(os.readlink(host.paths.current))


def good(console: SmallConsole, version: str, **modules: str) -> None:
    give(console, *Broken("good", modules).made(version))


def goes_back(console: SmallConsole, host: Host, broken: Broken) -> str:
    """Offered, tried, given up and told; the reason."""
    version = next_version()
    give(console, *broken.made(version))
    by, state, reason = heard_of(console, version)
    assert (by, state) == (protocol.VERSION, "rolled_back"), (broken.name, host.log())
    assert running(host) == protocol.VERSION, broken.name
    return reason


def test_a_release_that_ends_by_itself_is_rolled_back_whatever_it_ends_with(
    host: Host, console: SmallConsole, full_or: Callable[[int, int], int]
) -> None:
    with supervised(host):
        for broken in agent_releases.ENDING[: full_or(99, 4)]:
            reason = goes_back(console, host, broken)
            hopeless = broken.name == "ends with 3 at once"
            assert reason.startswith("The console did not take it." if hopeless else "It ended 3 times"), broken.name
        reports(console, protocol.VERSION)
    assert list(console.agents) == ["agent-1"]


def test_a_release_that_never_reaches_the_console_is_rolled_back_when_its_time_is_over(
    host: Host, console: SmallConsole, full_or: Callable[[int, int], int]
) -> None:
    with supervised(host, SHORT):
        for broken in agent_releases.HANGING[: full_or(99, 2)]:
            assert goes_back(console, host, broken) == "It did not reach the console within five minutes.", broken.name
        reports(console, protocol.VERSION)
        sizes = {path.name: path.stat().st_size for path in Path(host.paths.log).parent.iterdir()}
        assert sum(sizes.values()) < 32 * 1024 * 1024, sizes


def test_a_release_that_does_not_fit_is_refused_before_the_switch(
    host: Host, console: SmallConsole, full_or: Callable[[int, int], int]
) -> None:
    with supervised(host):
        for broken, reason in agent_releases.UNFIT[: full_or(99, 3)]:
            version = next_version()
            give(console, *broken.made(version))
            by, state, said = heard_of(console, version)
            assert (by, state) == (protocol.VERSION, "refused") and reason in said, broken.name
            assert not os.path.exists(host.paths.release(version)) and running(host) == protocol.VERSION
        for version in ("0.1.9", protocol.VERSION):
            give(console, *Broken("not newer").made(version))
            reports(console, protocol.VERSION)
            assert told(console, version) == [], "it is nothing to say"
    assert not any(path.startswith(protocol.RELEASE_PATH) for path, _, _ in console.heard), "none was even fetched"


def test_a_release_that_arrives_changed_is_left_alone_and_taken_when_it_arrives_as_signed(
    host: Host, console: SmallConsole, full_or: Callable[[int, int], int]
) -> None:
    version = next_version()
    with supervised(host):
        for broken in agent_releases.CHANGED_ON_THE_WAY[: full_or(99, 2)]:
            give(console, *broken.made(version))
            reports(console, protocol.VERSION)
            assert running(host) == protocol.VERSION and not told(console, version), broken.name
        assert "did not arrive as it was signed" in host.log()
        good(console, version)
        assert heard_of(console, version) == (version, "done", "")


def test_good_releases_stay_with_the_one_before_each(host: Host, console: SmallConsole) -> None:
    first, second = next_version(), next_version()
    with supervised(host):
        for version in (first, second):
            good(console, version)
            assert heard_of(console, version) == (version, "done", "")
            reports(console, version)
        assert sorted(os.listdir(host.paths.versions)) == [first, second]
    assert list(console.agents) == ["agent-1"] and running(host) == second
    host.call("uninstall")
    assert host.files() == []


def test_a_release_that_reached_the_console_stays_also_when_it_crashes_later(host: Host, console: SmallConsole) -> None:
    version = next_version()
    later = "+\n_take = Errands.take\n\ndef take(*words):\n    _take(*words)\n    1 / 0\n\nErrands.take = take\n"
    with supervised(host):
        good(console, version, errands=later)
        boots = console.agents["agent-1"].boots
        before = len(boots)
        console.wait(lambda: len(boots) > before + 5, 60)
        assert running(host) == version
        assert {release["state"] for _, release in told(console, version)} <= {"done"}


def test_a_release_that_was_given_up_is_not_tried_again(host: Host, console: SmallConsole) -> None:
    broken, version = agent_releases.ENDING[0], next_version()
    with supervised(host):
        give(console, *broken.made(version))
        heard_of(console, version)
        fetched = len([path for path in console.paths() if len(path) == 64])
        give(console, *broken.made(version))
        reports(console, protocol.VERSION)
        assert len([path for path in console.paths() if len(path) == 64]) == fetched == 1


def test_a_removal_while_a_release_is_tried_is_obeyed(host: Host, console: SmallConsole) -> None:
    """It ends with 4 then, and means it."""
    version = next_version()
    console.rule = lambda path, body: refused(410, protocol.REMOVED) if body.get("version") == version else None
    with supervised(host, ends=process.LEFT) as supervisor:
        good(console, version)
        supervisor.wait(60)
    assert host.files() == []


def test_a_halt_while_a_release_is_tried_is_no_crash_of_it(host: Host, console: SmallConsole) -> None:
    version = next_version()
    with supervised(host):
        give(console, *Broken("waits", {"run": "import time\n\ndef run(paths): time.sleep(3600)\n"}).made(version))
        assert process.until(lambda: running(host) == version, 30), host.log()
    assert json.loads(Path(host.paths.update).read_text())["crashes"] == 0
    with supervised(host, SHORT):
        assert heard_of(console, version)[:2] == (protocol.VERSION, "rolled_back")


def test_a_release_is_given_up_also_when_its_supervisor_was_killed_meanwhile(host: Host, console: SmallConsole) -> None:
    version = next_version()
    with supervised(host, ends=-9) as supervisor:
        give(console, *agent_releases.HANGING[0].made(version))
        assert process.until(lambda: running(host) == version, 30), host.log()
        supervisor.kill()
        supervisor.wait()
    with supervised(host, SHORT):
        assert heard_of(console, version)[:2] == (protocol.VERSION, "rolled_back")


def test_an_agent_whose_supervisor_was_killed_before_it_knew_of_it_is_found_and_ended(host: Host) -> None:
    killed = HURRIED.replace("sys.exit(", KILLED + "sys.exit(")
    done = subprocess.run(
        [host.python, "-I", "-S", "-c", killed, host.paths.launcher, str(LONG)], env=host.environment, check=False
    )
    assert done.returncode == -9
    assert process.until(lambda: any(map(psutil.pid_exists, process.holders(host.paths) or [])), 10), host.log()
    assert process.halt(host.paths) and process.holders(host.paths) is None


def test_without_room_for_a_release_the_agent_goes_on(host: Host, console: SmallConsole) -> None:
    version = next_version()
    with supervised(host, biggest=64 * 1024):
        good(console, version)
        reports(console, protocol.VERSION)
        assert running(host) == protocol.VERSION and not os.path.exists(host.paths.release(version))
        assert "An update is not possible now." in host.log()
    with supervised(host):
        good(console, version)
        assert heard_of(console, version) == (version, "done", "")


def take(host: Host, version: str, data: bytes, point: int = 0) -> int:
    (host.folder / "release").write_bytes(data)
    given = {"offer": offered(version, data), "key": encode(PUBLIC), "now": 0, "data": str(host.folder / "release")}
    done = subprocess.run(
        [sys.executable, "-c", TAKING, str(point), host.paths.program],
        env=host.environment, input=json.dumps(given), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode in (0, -9), done.stderr
    return done.returncode


def test_a_full_disk_keeps_no_supervisor_from_going_back(host: Host, console: SmallConsole) -> None:
    broken, version = agent_releases.ENDING[0], next_version()
    assert take(host, version, packed(version, **broken.modules)) == 0
    assert running(host) == version
    with supervised(host, biggest=0):
        reports(console, protocol.VERSION)
        assert running(host) == protocol.VERSION


def test_an_update_that_is_killed_at_any_point_is_begun_again_or_tried(
    host: Host, console: SmallConsole, full_or: Callable[[int, int], int]
) -> None:
    """Nobody is left with half a program, and no version is blamed for the kill."""
    for point in range(1, 60, full_or(1, 4)):
        before, version = running(host), next_version()
        data = packed(version)
        killed = take(host, version, data, point) == -9
        assert running(host) in (before, version)
        assert Path(host.paths.program).read_bytes() == (data if running(host) == version else packed(before))
        with supervised(host):
            if running(host) == before:
                good(console, version)
            assert heard_of(console, version) == (version, "done", ""), point
        if not killed:
            break
    assert point > 8


def test_the_packed_releases_of_these_tests_differ_in_nothing_but_their_version() -> None:
    assert packed(protocol.VERSION) == build.pack()
