"""What a person on the machine is told: status, doctor and leave, and what starts the agent with the host."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from servers.agents.program import build, client, doctor, files, inits, plain, process, protocol, status
from servers.agents.program.paths import Paths
from servers.agents.program.refusal import Refusal
from servers.agents.program.uninstall import uninstall
from tests.small_console import SmallConsole, refused
from tests.test_agent_program import Host
from tests.test_agent_wire import answering, certificate, secure  # noqa: F401 - fixtures


@pytest.fixture
def console() -> Iterator[SmallConsole]:
    with SmallConsole().serving() as console:
        yield console


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path)
    yield host
    process.halt(host.paths)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    """An agent that is laid out and reports, as far as its files tell."""
    paths = Paths(str(tmp_path / "host"))
    for path in (paths.config, paths.receipt, paths.pid, paths.release("1"), paths.log):
        files.folder(os.path.dirname(path))
    Path(paths.release("1")).write_text("")
    files.link(paths.current, "versions/1")
    files.write_json(paths.receipt, {"mode": "supervised", "files": []})
    files.write_json(paths.config, {"url": "https://nowhere.invalid"})
    note(paths)
    return paths


def note(paths: Paths, **change: Any) -> None:
    word = {"state": status.REPORTING, "agent_id": "agent-1", "last_heartbeat": 1, "trouble": None, "code": None}
    status.note(paths, {**word, "skew": None, "in_memory": False, **change})


@pytest.fixture
def running(paths: Paths) -> Iterator[Paths]:
    lock = process.take(paths)
    yield paths
    os.close(lock)


def wrong(paths: Paths, **settings: Any) -> tuple[list[str], dict]:
    """The names of the checks that were good, and the first one that was not."""
    if settings:
        files.write_json(paths.config, settings)
    found = doctor.examine(paths)
    bad = next((check for check in found["checks"] if not check["ok"]), {})
    assert found["ok"] is not bool(bad)
    assert all(check["found"].endswith((".", ")")) and check["fix"] for check in found["checks"] if not check["ok"])
    assert "\n" in plain.words_of("doctor", found)
    return [check["name"] for check in found["checks"] if check["ok"]], bad


def test_nothing_is_wrong_with_an_agent_that_reports(running: Paths, console: SmallConsole) -> None:
    good, bad = wrong(running, url=console.url)
    assert not bad and good == ["agent", "disk", "dns", "connect", "answer", "clock", "report"]
    assert plain.words_of("doctor", doctor.examine(running)).endswith("Nothing is wrong.\n")
    assert console.agents == {} and {path for path, _, _ in console.heard} == {protocol.SESSION_PATH}


def test_an_agent_that_does_not_run_is_said_first(paths: Paths, console: SmallConsole) -> None:
    _, bad = wrong(paths, url=console.url)
    assert bad["name"] == "agent" and "boot" in bad["fix"]


def test_a_name_that_is_not_resolved(running: Paths) -> None:
    good, bad = wrong(running, url="https://no-such-host.invalid")
    assert bad["name"] == "dns" and "Check DNS" in bad["fix"] and good == ["agent", "disk"]


def test_a_port_that_nobody_listens_at(running: Paths) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    good, bad = wrong(running, url=f"http://127.0.0.1:{port}")
    assert bad["name"] == "connect" and "firewall" in bad["fix"] and good[-1] == "dns"


def test_a_proxy_that_does_not_let_us_through(running: Paths) -> None:
    with answering(b"HTTP/1.1 407 Sign in\r\nContent-Length: 0\r\n\r\n") as port:
        good, bad = wrong(running, url="https://console.example", proxy=f"http://127.0.0.1:{port}")
    assert bad["name"] == "proxy" and "407" in bad["found"] and good[-1] == "connect"


def test_a_certificate_that_is_not_trusted(running: Paths, secure: str) -> None:  # noqa: F811
    good, bad = wrong(running, url=secure)
    assert bad["name"] == "tls" and "--ca-file" in bad["fix"] and good[-1] == "connect"


def test_tls_asked_of_what_speaks_none(running: Paths, console: SmallConsole) -> None:
    _, bad = wrong(running, url=console.url.replace("http://", "https://"))
    assert bad["name"] == "tls"


def test_something_else_answers_there(running: Paths) -> None:
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>") as port:
        good, bad = wrong(running, url=f"http://127.0.0.1:{port}")
    assert bad["name"] == "answer" and "what stands in between" in bad["fix"] and good[-1] == "connect"


def test_a_far_side_that_takes_connections_and_says_nothing(running: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PATIENCE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        _, bad = wrong(running, url=f"http://127.0.0.1:{server.getsockname()[1]}")
    assert bad["name"] == "answer" and "did not answer in time" in bad["found"]


def test_a_network_without_a_way_out(running: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(*_: object, **__: object) -> None:
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    monkeypatch.setattr(client.http.client.socket, "create_connection", nowhere)
    _, bad = wrong(running, url="http://127.0.0.1:1")
    assert bad["name"] == "connect" and "no way" in bad["found"]


def test_a_clock_that_is_wrong(running: Paths, console: SmallConsole) -> None:
    console.ahead = 7200.0
    _, bad = wrong(running, url=console.url)
    assert bad["name"] == "clock" and "120 minutes behind" in bad["found"] and "NTP" in bad["fix"]


@pytest.mark.parametrize("code", [protocol.UNKNOWN_AGENT, protocol.UNKNOWN_TOKEN, protocol.PROVE_AGAIN])
def test_a_refusal_of_the_console_is_told_with_its_code(code: str, running: Paths, console: SmallConsole) -> None:
    note(running, state=status.UNWELCOME, trouble="The console said no.", code=code)
    _, bad = wrong(running, url=console.url)
    assert bad["name"] == "report" and f"(code: {code})" in bad["found"] and bad["fix"] == doctor.REFUSALS[code]


def test_a_disk_that_cannot_be_written(running: Paths, console: SmallConsole, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: str, data: bytes, mode: int = 0) -> None:
        raise OSError(errno.EROFS, "Read-only file system", path)

    monkeypatch.setattr(files, "write", full)
    _, bad = wrong(running)
    assert bad["name"] == "disk" and "read-only" in bad["found"]


def test_a_disk_without_room_and_an_identity_in_memory(
    running: Paths, console: SmallConsole, monkeypatch: pytest.MonkeyPatch
) -> None:
    note(running, in_memory=True)
    assert "in memory" in wrong(running, url=console.url)[1]["found"]
    monkeypatch.setattr(doctor, "ROOM", 2**60)
    assert "are free" in wrong(running)[1]["found"]


def test_damaged_settings_and_no_agent_at_all(running: Paths, tmp_path: Path) -> None:
    Path(running.config).write_text("{")
    assert wrong(running)[1]["name"] == "settings"
    with pytest.raises(Refusal, match="not installed"):
        doctor.examine(Paths(str(tmp_path / "elsewhere")))


# --- at the command line ---------------------------------------------------------------------------------------------


def typed(host: Host, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", build.artifact().path, *words],
        env=host.environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_a_person_reads_sentences_and_a_script_json(host: Host, console: SmallConsole) -> None:
    absent = typed(host, "status")
    assert absent.returncode == 1 and absent.stdout == "The agent is not installed here.\nInstall it first.\n"
    host.install(console.url, "join-token-one", "--wait", "20")
    said = typed(host, "status")
    assert said.returncode == 0 and said.stdout.startswith("The agent reports.\nVersion ")
    assert "Last heard by the console: 20" in said.stdout
    said = typed(host, "doctor")
    assert said.returncode == 0 and said.stdout.endswith("Nothing is wrong.\n"), said
    assert json.loads(typed(host, "doctor", "--json").stdout)["ok"] is True
    assert len(console.agents["agent-1"].boots) == 1  # the doctor ended no session
    host.call("halt")
    said = typed(host, "doctor")
    assert said.returncode == 1 and "The agent does not run." in said.stdout and "To do: Start it with" in said.stdout
    assert "muster-agent doctor" in typed(host, "status").stdout


def test_leaving_tells_the_console_and_leaves_nothing(host: Host, console: SmallConsole) -> None:
    host.install(console.url, "join-token-one", "--wait", "20")
    said = host.call("leave", "--json")
    assert said["told"] is True and said["why"] is None and said["left"] == []
    assert console.paths()[-2:] == ["sessions", "leave"] and console.agents == {}
    assert host.files() == [] and process.holders(host.paths) is None


def test_leaving_works_without_a_console(host: Host, console: SmallConsole) -> None:
    host.install(console.url, "join-token-one", "--wait", "20")
    console.rule = lambda path, body: refused(503, "unavailable")
    said = typed(host, "leave")
    assert said.returncode == 0 and host.files() == []
    assert "could not be told (it answered 503). Remove the agent there too." in said.stdout
    assert typed(host, "leave").returncode == 1


# --- what starts it with the host ------------------------------------------------------------------------------------


def test_an_init_script_starts_and_stops_the_agent(host: Host, console: SmallConsole) -> None:
    host.install(console.url, "join-token-one", "--wait", "20")
    host.call("halt")
    script = host.folder / "script"
    script.write_text(inits.script(host.paths, inits.SYSVINIT))

    def told(word: str) -> int:
        done = subprocess.run(["/bin/sh", script, word], env=host.environment, capture_output=True, check=False)
        return done.returncode

    assert told("status") == 1 and told("sideways") == 2

    def supervisor() -> int | None:
        return next(iter(process.holders(host.paths) or ()), None)

    assert told("start") == 0 and (first := supervisor())
    assert told("start") == 0 and supervisor() == first
    assert told("restart") == 0 and supervisor() not in (None, first)
    assert process.until(lambda: told("status") == 0, 20)
    assert told("stop") == 0 and process.holders(host.paths) is None


@pytest.mark.parametrize(
    ("tools", "first", "openrc", "kind"),
    [
        ([], "python", False, inits.SUPERVISED),
        (["update-rc.d"], "init", False, inits.SYSVINIT),
        (["chkconfig"], "init", False, inits.SYSVINIT),
        (["update-rc.d"], "tini", False, inits.SUPERVISED),
        (["rc-update"], "init", True, inits.OPENRC),
    ],
)
def test_whoever_is_in_charge_of_services_is_recognized(
    tools: list[str], first: str, openrc: bool, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = {"/etc/init.d", "/run/openrc"} | ({"/run/openrc/softlevel"} if openrc else set())
    for ask in ("isdir", "exists"):
        monkeypatch.setattr(inits.os.path, ask, lambda path: path in there)
    monkeypatch.setattr(inits.shutil, "which", lambda name: name if name in tools else None)
    monkeypatch.setattr(inits.procfs, "line", lambda path: first)
    assert inits.mode(Paths("/")) == kind
    assert inits.mode(Paths("/somewhere")) == inits.SUPERVISED


@pytest.mark.parametrize(
    ("kind", "tool", "enabled", "disabled"),
    [
        (inits.SYSVINIT, "update-rc.d", "muster-agent defaults", "-f muster-agent remove"),
        (inits.SYSVINIT, "chkconfig", "--add muster-agent", "--del muster-agent"),
        (inits.OPENRC, "rc-update", "add muster-agent default", "--all delete muster-agent"),
    ],
)
def test_a_service_is_enabled_after_it_started_and_disabled_by_uninstall(
    kind: str, tool: str, enabled: str, disabled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = tmp_path / "called"
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / tool
    program.write_text(f'#!/bin/sh\necho "$@" >>{called}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    paths = Paths(str(tmp_path / "host"))
    files.folder(os.path.dirname(paths.script))
    inits.start(paths, kind, lambda paths: called.write_text("boot\n"))
    assert paths.script in paths.files(kind) and os.access(paths.script, os.X_OK)
    files.folder(paths.state)
    files.write_json(paths.receipt, {"mode": kind})
    assert uninstall(paths)["left"] == []
    assert called.read_text() == f"boot\n{enabled}\n{disabled}\n"


@pytest.mark.parametrize(("debian", "first"), [(True, "#!/bin/sh"), (False, "#!/sbin/openrc-run")])
def test_openrc_gets_the_script_of_its_distribution(debian: bool, first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    there = {"rc-update", "update-rc.d"} if debian else {"rc-update"}
    monkeypatch.setattr(inits.shutil, "which", lambda name: name if name in there else None)
    assert inits.script(Paths("/"), inits.OPENRC).splitlines()[0] == first


@pytest.mark.parametrize("in_charge", [True, False])
def test_openrc_is_told_what_runs_only_where_it_is_in_charge(in_charge: bool, tmp_path: Path) -> None:
    paths = Paths(str(tmp_path))
    files.folder(os.path.dirname(paths.started))
    if in_charge:
        (tmp_path / "run/openrc/softlevel").write_text("default\n")
    for _ in range(2):
        inits.tell(paths, True)
        assert os.path.islink(paths.started) is in_charge
    assert paths.started in paths.files(inits.OPENRC)
    for _ in range(2):
        inits.tell(paths, False)
        assert not os.path.lexists(paths.started)


def test_a_whole_host_gets_a_command_of_its_own() -> None:
    assert Paths("/").wrapper == "/usr/bin/muster-agent"
    assert Paths("/").wrapper in Paths("/").files("systemd")
    assert Paths("/elsewhere").wrapper not in Paths("/elsewhere").files("supervised")
