"""An installer that goes on by itself: the connection is free at once, and a later one learns how it ended."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import time
from pathlib import Path

import psutil
import pytest

from console.demo.processes import lives
from servers.installs import ssh
from servers.installs.ssh import Limits, Outcome, Target
from servers.installs.terms import State
from servers.installs.trouble import Stage, Trouble
from tests import farside
from tests.processes import wait
from tests.ssh.going import DIAL, QUICK, fails, go, login
from tests.sshd import Sshd

NAME = "muster-" + "a" * 32


def collect(server: Sshd, name: str = NAME) -> Outcome:
    target = Target(server.host, server.port, frozenset({server.host_key()}))
    return ssh.collect(target, login(server), name, dial=DIAL, limits=QUICK)


def left(server: Sshd) -> list[str]:
    top = server.folder / "tmp"  # by os.walk, which passes over a folder that is removed meanwhile
    return sorted(
        os.path.relpath(os.path.join(folder, name), top)
        for folder, folders, files in os.walk(top)
        for name in folders + files
    )


def at_work(server: Sshd) -> list[psutil.Process]:
    """Every process of an installer on this server."""
    found = [one for one in psutil.process_iter(["name"]) if one.info["name"] == "muster-install"]
    return [one for one in found if lives(one.pid) and works_in(one) == str(server.folder / "tmp")]


def works_in(process: psutil.Process) -> str | None:
    """Its TMPDIR; None of one that ends meanwhile."""
    try:
        return process.environ().get("TMPDIR")
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return None


def waiting(gate: Path, after: str = "") -> str:
    """The body of an installer that waits until a file is there."""
    return f"import time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.02)\n{after}"


def test_the_connection_ends_while_the_installer_goes_on_and_a_later_one_sees_it_running(
    sshd: Sshd, console: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    stages: list[Stage] = []
    outcome = go(sshd, console, waiting(gate), detach=True, name=NAME, on_stage=stages.append)
    assert (outcome.state, outcome.agent, stages[-1]) == (State.RUNNING, {}, Stage.INSTALL)
    assert collect(sshd).state is State.RUNNING
    again = go(sshd, console, "raise SystemExit('a second one')", detach=True, name=NAME)
    assert again.state is State.RUNNING, "the same install asked for again joins the one under way"
    gate.touch()
    wait(lambda: not left(sshd))
    assert collect(sshd).state is State.OVER


def test_what_went_wrong_meanwhile_is_read_later_and_taken_away(sshd: Sshd, console: str, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    words = "print(json.dumps({'ok': False, 'cause': 'The disk is full at /opt.', 'fix': 'Free 2 MB.'})); sys.exit(1)"
    assert go(sshd, console, waiting(gate, words), detach=True, name=NAME).state is State.RUNNING
    gate.touch()
    wait(lambda: f"{NAME}/result" in left(sshd))
    assert left(sshd) == [NAME, f"{NAME}/lock", f"{NAME}/result"], "neither token nor agent stays"
    problem = fails("agent_refused", Stage.INSTALL, lambda: collect(sshd))
    assert (problem.cause, problem.fix) == ("The disk is full at /opt.", "Free 2 MB.")
    assert left(sshd) == [] and collect(sshd).state is State.OVER


def test_an_installer_that_hangs_is_ended_in_its_time_and_told(sshd: Sshd, console: str) -> None:
    limits = Limits(total=5)
    assert go(sshd, console, "import time; time.sleep(99)", limits, detach=True, name=NAME).state is State.RUNNING
    wait(lambda: f"{NAME}/result" in left(sshd))
    assert "still running" in fails("agent_broke", Stage.INSTALL, lambda: collect(sshd)).cause
    assert not at_work(sshd)


@pytest.mark.parametrize("victim", ["installer", "watcher", "both"])
def test_a_killed_installer_leaves_nothing_that_the_next_one_does_not_clear(
    victim: str, sshd: Sshd, console: str, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    go(sshd, console, waiting(gate), detach=True, name=NAME)
    wait(lambda: at_work(sshd))
    installers = at_work(sshd)
    watchers = [parent for one in installers if (parent := one.parent()) is not None]
    for process in {"installer": installers, "watcher": watchers, "both": watchers + installers}[victim]:
        process.send_signal(signal.SIGKILL)
    if victim == "installer":
        wait(lambda: f"{NAME}/result" in left(sshd))
        assert "exit code -9" in fails("agent_broke", Stage.INSTALL, lambda: collect(sshd)).cause
    else:
        wait(lambda: not any(lives(one.pid) for one in watchers))
        fails("cut_off", Stage.INSTALL, lambda: collect(sshd))
    assert left(sshd) == []
    gate.touch()
    wait(lambda: not at_work(sshd))
    assert go(sshd, console, detach=True, name=NAME).state is State.RUNNING
    wait(lambda: not left(sshd))


@pytest.mark.parametrize("stage", [Stage.PROBE, Stage.UPLOAD, Stage.INSTALL])
def test_a_host_that_kills_the_connection_at_any_stage_ends_in_the_same_state_after_a_repeat(
    stage: Stage, room: Path, console: str
) -> None:
    with Sshd(room / f"kills-{stage}") as server:
        killed: list[psutil.Process] = []

        def kill(now: Stage) -> None:
            if now is stage and server.process:
                killed.extend(psutil.Process(server.process.pid).children(recursive=True))
                for child in killed:
                    child.kill()

        with pytest.raises(Trouble):
            go(server, console, "import time; time.sleep(2)", name=NAME, on_stage=kill)
        assert killed
        wait(lambda: not any(lives(one.pid) for one in killed) and not at_work(server))
        assert go(server, console, name=NAME).agent["ok"] is True
        assert left(server) == []


def test_what_a_killed_installer_left_an_hour_ago_is_swept_by_the_next_one(sshd: Sshd, console: str) -> None:
    old, fresh, foreign = (sshd.folder / "tmp" / f"muster-{letter * 32}" for letter in "bcd")
    for folder in (old, fresh, foreign):
        folder.mkdir()
        (folder / "token").write_text("mjt_old")
    (foreign / "kept").write_text("somebody's own")
    for folder in (old, foreign):
        os.utime(folder, (time.time() - 4000,) * 2)
    try:
        assert go(sshd, console).agent["ok"] is True
        assert not old.exists() and (fresh / "token").exists() and (foreign / "kept").exists()
    finally:
        for folder in (old, fresh, foreign):
            shutil.rmtree(folder, ignore_errors=True)


def test_a_folder_that_somebody_else_laid_under_the_name_is_not_used(room: Path, console: str) -> None:
    with Sshd(room / "laid") as server:
        trap = server.folder / "tmp" / NAME
        trap.symlink_to(room)
        assert go(server, console, name=NAME).agent["ok"] is True  # in the next of the usual places
        assert trap.is_symlink() and not (room / "token").exists()


def test_another_connection_that_is_still_uploading_is_not_disturbed(sshd: Sshd, console: str) -> None:
    folder = sshd.folder / "tmp" / NAME
    folder.mkdir()
    try:
        with (folder / "lock").open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            fails("busy", Stage.PROBE, lambda: go(sshd, console, name=NAME))
        assert go(sshd, console, name=NAME).agent["ok"] is True
    finally:
        assert not folder.exists()


def test_a_sudo_that_says_no_is_known_at_once_and_one_that_is_content_lets_go(room: Path, console: str) -> None:
    for mood, word in (("denied", "right horse"), ("password", "wrong horse"), ("password", "right horse")):
        folder = room / f"apart-{mood}-{word.split()[0]}"
        path = farside.put_sudo(folder / "bin", folder / "sudo-prefix")
        drop = "exec setpriv --reuid=65534 --regid=65534 --clear-groups " if os.geteuid() == 0 else "exec "
        env = {"PATH": path, "MOOD": mood, "MUSTER_AGENT_PREFIX": "", "TMPDIR": "/tmp"}
        with Sshd(folder, env=env, forced=drop + '/bin/sh -c "$SSH_ORIGINAL_COMMAND"') as server:
            who = login(server, sudo_password=word)
            if mood == "password" and word == "right horse":
                assert go(server, console, who=who, detach=True, name=NAME).state is State.RUNNING
                wait(lambda server=server: collect(server).state is State.OVER)
            else:
                code = "sudo_denied" if mood == "denied" else "sudo_wrong_password"
                fails(code, Stage.INSTALL, lambda server=server, who=who: go(server, console, who=who, detach=True))
