"""The packed agent under every Python it promises to run on, against a small real console."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.agents.program import build, process, protocol
from servers.agents.program.paths import Paths
from tests.bench.bench_agent import memory
from tests.certificates import self_signed
from tests.small_console import SmallConsole, refused

TOKEN = "join-token-one"


def pythons() -> dict[tuple[int, int], str]:
    """Every Python 3 to be found here, by (major, minor): pyenv's, the system's, and the one that runs the tests."""
    root = os.environ.get("PYENV_ROOT") or str(Path.home() / ".pyenv")
    places = [*Path(root).glob("versions/*/bin/python3"), *Path("/usr/bin").glob("python3.*"), Path(sys.executable)]
    found: dict[tuple[int, int], str] = {}
    for place in places:
        if place.name.removeprefix("python3.").isdigit() or place.name in ("python3", "python"):
            asked = subprocess.run(
                [place, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True, check=False
            )
            if asked.returncode == 0:
                major, minor = asked.stdout.split()
                found.setdefault((int(major), int(minor)), str(place))
    return found


FOUND = pythons()
# A Python that is not installed is a skip to be read, but CI need not have all of them.
RANGE = [v for v in [(3, minor) for minor in range(6, 14)] if v in FOUND or os.environ.get("REQUIRE_ALL") != "1"]


@pytest.fixture
def console() -> Iterator[SmallConsole]:
    with SmallConsole().serving() as console:
        yield console


class Host:
    """A prefix with the packed agent beside it."""

    def __init__(self, folder: Path, python: str = sys.executable) -> None:
        self.prefix = folder / "host"
        self.paths = Paths(str(self.prefix))
        self.python = python
        self.folder = folder
        self.environment = {"PATH": os.environ["PATH"], "MUSTER_AGENT_PREFIX": str(self.prefix)}

    def status(self, ok: bool = True) -> dict:
        return self.call("status", "--json", ok=ok)

    def call(self, *words: str, ok: bool = True, stdin: str = "") -> dict:
        said = self.call_any(*words, stdin=stdin)
        assert said["ok"] is ok, (said, self.log())
        return said

    def call_any(self, *words: str, stdin: str = "") -> dict:
        done = subprocess.run(
            [self.python, "-W", "error", build.artifact().path, *words],
            env=self.environment, input=stdin, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.stdout, done.stderr
        return json.loads(done.stdout.strip().splitlines()[-1])

    def install(self, url: str, token: str = TOKEN, *words: str, ok: bool = True) -> dict:
        path = self.folder / "token"
        path.write_text(token + "\n")
        return self.call("install", "--url", url, "--token-file", str(path), *words, ok=ok)

    def log(self) -> str:
        path = Path(self.paths.log)
        return path.read_text() if path.exists() else "(no log)"

    def files(self) -> list[str]:
        """All that is below the prefix; what goes while we look may be missing."""
        walk = os.walk(self.prefix)
        return sorted(os.path.relpath(os.path.join(at, n), self.prefix) for at, d, f in walk for n in d + f)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path)
    yield host
    process.halt(host.paths)


@pytest.mark.parametrize("version", RANGE, ids=lambda v: f"{v[0]}.{v[1]}")
def test_the_whole_life_of_an_agent_under_each_python(version: tuple, tmp_path: Path, console: SmallConsole) -> None:
    if version not in FOUND:
        pytest.skip(f"Python {version[0]}.{version[1]} is not installed here (pyenv install {version[0]}.{version[1]})")
    host = Host(tmp_path, FOUND[version])
    try:
        said = host.install(console.url, TOKEN, "--wait", "20")
        assert said == {
            "ok": True, "version": protocol.VERSION, "mode": "supervised", "receipt": host.paths.receipt,
            "reporting": True, "trouble": None,
        }  # fmt: skip
        assert not (tmp_path / "token").exists()
        console.wait(lambda: len(console.checkins()) >= 2)

        assert console.paths()[:3] == ["enrol", "sessions", "checkin"]
        enrolment = console.heard[0][1]
        assert enrolment["facts"]["python"].startswith(f"{version[0]}.{version[1]}.")
        assert enrolment["facts"]["hostname"] == os.uname().nodename
        first, second = console.checkins()[:2]
        assert "facts" in first and "facts" not in second
        assert "wait" not in first and 0 < second["wait"] <= 1.1
        sample = first["samples"][0]
        assert sample["memory_total_bytes"] > sample["memory_used_bytes"] > 0
        assert 0 <= sample["cpu_percent"] <= 100
        assert {d["mount"] for d in sample["disks"]} >= {"/"}

        status = host.status()
        assert status["reporting"] and status["running"] and status["agent_id"] == "agent-1"
        assert memory(status["pids"]) < 30
        for secret in (host.paths.identity, host.paths.config):
            assert stat.S_IMODE(os.stat(secret).st_mode) == 0o600
        settings = json.loads(Path(host.paths.config).read_text())
        assert "token" not in settings and "key" not in settings

        assert host.call("uninstall")["left"] == []
        assert host.files() == []
        assert process.until(lambda: not any(alive(pid) for pid in status["pids"]), 5)
    finally:
        process.halt(host.paths)


def alive(pid: int) -> bool:
    """Whether the process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_packed_agent_is_small_and_the_same_bytes_each_time(tmp_path: Path) -> None:
    assert build.pack() == build.pack() == build.artifact().path.read_bytes()
    assert build.artifact().path.stat().st_size <= 300 * 1024
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(build.HERE, elsewhere / "servers/agents/program")
    for path in elsewhere.rglob("*"):
        os.utime(path, (0, 0))
    done = subprocess.run(
        [sys.executable, "-m", "servers.agents.program.build", tmp_path / "out.pyz"], cwd=elsewhere, check=True
    )
    assert done.returncode == 0
    assert (tmp_path / "out.pyz").read_bytes() == build.pack()


def test_with_certificates_of_ones_own_it_takes_no_more_memory_than_promised(host: Host) -> None:
    """HTTPS with a CA that only the settings name: OpenSSL comes on top of everything else."""
    own = self_signed(host.folder / "own.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own, own.with_name("key.pem"))
    with SmallConsole().serving(context=context) as console:
        host.install(console.url, TOKEN, "--ca-file", str(own), "--wait", "20")
        console.wait(lambda: len(console.checkins()) >= 3)
        assert console.url.startswith("https://") and memory(host.status()["pids"]) < 30


def test_installing_again_gives_the_same_state_and_goes_on_as_the_same_agent(host: Host, console: SmallConsole) -> None:
    host.install(console.url, TOKEN, "--wait", "20")
    before, pids = host.files(), host.status()["pids"]
    host.install(console.url, TOKEN, "--wait", "20")  # the token is used up by now
    assert host.files() == before
    status = host.status()
    assert status["agent_id"] == "agent-1"
    assert not set(pids) & set(status["pids"])


def test_a_new_token_makes_a_new_agent(host: Host, console: SmallConsole) -> None:
    host.install(console.url, TOKEN, "--wait", "20")
    host.install(console.url, "join-token-two", "--wait", "20")
    assert host.status()["agent_id"] == "agent-2"


def test_a_lost_answer_to_the_enrolment_does_not_cost_the_token(host: Host, console: SmallConsole) -> None:
    lost: list[str] = []

    def lose_one(path: str, body: dict) -> tuple[int, dict] | None:
        if path == protocol.ENROL_PATH and not lost:
            lost.append(path)
            console.tokens[TOKEN] = body["public_key"]
            return 200, {"cut": "short"}
        return None

    console.rule = lose_one
    host.install(console.url, TOKEN, "--wait", "20")
    assert lost and host.status()["agent_id"] == "agent-1"


def test_what_is_ours_alone_and_holds_something_else_is_named_and_stays(host: Host, console: SmallConsole) -> None:
    host.install(console.url)
    kept = Path(host.paths.state) / "somebody's"
    kept.write_text("kept")
    assert host.call("uninstall")["left"] == [host.paths.state]
    kept.unlink()
    assert host.call("uninstall")["left"] == []
    assert host.files() == []
    assert host.call("uninstall") == {"ok": True, "removed": 0, "left": []}, "what is not there is not left"


def test_a_second_agent_under_the_same_prefix_is_refused(host: Host, console: SmallConsole) -> None:
    host.install(console.url)
    assert "Another agent" in host.call("run", ok=False)["cause"]


def test_the_supervisor_starts_a_killed_agent_again(host: Host, console: SmallConsole) -> None:
    host.install(console.url, TOKEN, "--wait", "20")
    supervisor, child = host.status()["pids"]
    boots = console.agents["agent-1"].boots
    count = len(boots)
    os.kill(child, 9)
    console.wait(lambda: len(boots) > count)
    console.wait(lambda: host.call_any("status", "--json")["reporting"])
    again = host.status()["pids"]
    assert again[0] == supervisor and again[1] != child


def test_halt_ends_an_agent_whose_supervisor_was_killed(host: Host, console: SmallConsole) -> None:
    host.install(console.url, TOKEN, "--wait", "20")
    supervisor, child = host.status()["pids"]
    os.kill(supervisor, 9)
    assert host.call("halt")["was_running"] is True
    assert process.until(lambda: not alive(child), 5)
    host.call("boot")
    console.wait(lambda: len(console.agents["agent-1"].boots) == 2)


def test_an_agent_that_was_removed_uninstalls_itself(host: Host, console: SmallConsole) -> None:
    host.install(console.url, TOKEN, "--wait", "20")
    console.rule = lambda path, body: refused(410, protocol.REMOVED)
    assert process.until(lambda: host.files() == [], 20), (host.files(), host.log())


def test_an_agent_whose_files_were_deleted_by_hand_ends(host: Host, console: SmallConsole) -> None:
    host.install(console.url, TOKEN, "--wait", "20")
    pids = host.status()["pids"]
    shutil.rmtree(host.prefix)
    assert process.until(lambda: not any(alive(pid) for pid in pids), 20)


def test_a_410_of_something_in_between_removes_nothing(host: Host, console: SmallConsole) -> None:
    host.install(console.url, TOKEN, "--wait", "20")
    console.rule = lambda path, body: (410, {"gone": "a proxy's word"})
    count = len(console.heard)
    console.wait(lambda: len(console.heard) > count + 1)
    assert host.status(ok=False)["running"] is True


def test_an_agent_that_is_not_known_stops_and_says_so(host: Host, console: SmallConsole) -> None:
    host.install(console.url, TOKEN, "--wait", "20")
    console.agents.clear()
    assert process.until(lambda: process.holders(host.paths) is None, 20)
    status = host.status(ok=False)
    assert status["state"] == "unwelcome" and "no longer knows this agent" in status["trouble"]


def test_a_refused_token_is_named_and_dropped(host: Host, console: SmallConsole) -> None:
    host.install(console.url, "not-a-known-token")
    assert process.until(lambda: process.holders(host.paths) is None, 20)
    assert "does not accept the join token" in host.status(ok=False)["trouble"]
    assert "not-a-known-token" not in Path(host.paths.config).read_text()


def test_a_console_that_is_away_is_tried_again_and_named(host: Host, console: SmallConsole) -> None:
    away = [(503, {"error": {"code": "unavailable", "message": "Back soon.", "request_id": "r"}})] * 2
    console.rule = lambda path, body: away.pop() if away else None
    said = host.install(console.url, TOKEN, "--wait", "20")
    assert said["reporting"] is True and "503: Back soon." in host.log()


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (["--url", "ftp://console"], "not one"),
        (["--url", "http://console.example.com"], "anybody on the way"),
        (["--url", "https://me:secret@console"], "carries a name"),
        (["--url", "https://console:99999"], "not one"),
        (["--url", "https://console", "--proxy", "socks5://there:1"], "http://"),
        (["--url", "https://console", "--ca-file", "/dev/null"], "no PEM"),
        ([], "The command is not complete"),
        (["--url", "https://console", "--token-file", "/nowhere"], "could not be read"),
    ],
)
def test_a_wrong_call_is_refused_with_cause_and_fix_and_changes_nothing(host: Host, words: list, cause: str) -> None:
    (host.folder / "token").write_text("join-token-one")
    extra = [] if "--token-file" in words else ["--token-file", str(host.folder / "token")]
    said = host.call("install", *words, *extra, ok=False)
    assert cause in said["cause"] and said["fix"]
    assert not host.prefix.exists()


def test_the_token_can_come_by_standard_input(host: Host, console: SmallConsole) -> None:
    host.call("install", "--url", console.url, "--token-file", "-", "--wait", "20", stdin="join-token-one\n")
    assert host.status()["reporting"] is True


def test_without_root_and_without_a_prefix_it_refuses(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    from servers.agents.program import paths
    from servers.agents.program.refusal import Refusal

    monkeypatch.delenv("MUSTER_AGENT_PREFIX", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(Refusal, match="must be handled by root") as refusal:
        paths.find()
    assert "sudo" in refusal.value.fix


def test_an_old_python_says_what_it_needs(host: Host) -> None:
    start = build.START.replace("(3, 6)", "(9, 9)")
    done = subprocess.run([sys.executable, "-c", start], capture_output=True, text=True, check=False)
    said = json.loads(done.stdout)
    assert said["ok"] is False and "needs Python 3.6" in said["cause"] and done.returncode == 1
