"""Whatever hangs is ended in time, from outside; and no secret shows itself."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from servers.installs import ssh
from servers.installs.signin import Login
from servers.installs.ssh import Limits, Target
from servers.installs.trouble import Stage, Trouble
from tests import farside
from tests.ssh.going import DIAL, QUICK, fails, go, login
from tests.sshd import Sshd


def test_a_command_that_never_answers_is_cut_from_outside(room: Path, console: str) -> None:
    with Sshd(room / "never", forced="exec sleep 60") as server:
        started = time.monotonic()
        limits = Limits(step=1)
        fails("step_timeout", Stage.PROBE, lambda: go(server, console, limits=limits))
        assert time.monotonic() - started < 30


def test_an_installer_that_hangs_is_ended_on_the_server_too(sshd: Sshd, console: str) -> None:
    limits = Limits(step=10)
    problem = fails("agent_broke", Stage.INSTALL, lambda: go(sshd, console, "import time; time.sleep(99)", limits))
    assert "still running" in problem.cause
    assert list((sshd.folder / "tmp").iterdir()) == []


def test_all_of_it_has_a_deadline_however_well_each_step_goes(room: Path, console: str) -> None:
    with Sshd(room / "slow", forced="exec sleep 60") as server:
        fails("total_timeout", Stage.PROBE, lambda: go(server, console, limits=Limits(total=5)))


def test_no_thread_is_left_when_installs_end_badly(console: str, sshd: Sshd) -> None:
    with farside.listener(lambda line: line.sendall(b"SSH-2.0-x\r\n" + b"\xff" * 500)) as port:
        with pytest.raises(Trouble):
            ssh.install(Target("127.0.0.1", port), login(sshd), farside.payload(console), dial=DIAL, limits=QUICK)
        until = time.monotonic() + 30
        while ours := [
            one for one in threading.enumerate() if "paramiko" in repr(one) or isinstance(one, threading.Timer)
        ]:
            assert time.monotonic() < until, ours
            time.sleep(0.02)


def test_no_secret_shows_itself(sshd: Sshd, console: str) -> None:
    who = Login("root", password="hunter2", sudo_password="hunter3")
    assert "hunter" not in repr(who)
    assert "mjt_once" not in repr(farside.payload(console))
