"""Through a jump host: one connection for all servers, both host keys verified, and its own words when it fails."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from console.lib.outbound import Transport
from servers.installs import keys, ssh
from servers.installs.hostkeys import HostKey
from servers.installs.jump import Jump, JumpTrouble
from servers.installs.signin import Login
from servers.installs.ssh import Limits, Outcome, Target
from servers.installs.terms import State
from servers.installs.trouble import Stage, Trouble
from tests import farside
from tests.ssh.going import DIAL, QUICK, fails, login
from tests.sshd import Sshd, make_key


@pytest.fixture(scope="module")
def bastion(room: Path) -> Sshd:
    with Sshd(room / "bastion") as one:
        yield one


def through(bastion: Sshd, **more: object) -> Jump:
    known = frozenset({bastion.host_key()})
    given: dict[str, object] = {
        "target": Target(bastion.host, bastion.port, known, ("ssh-ed25519",)),
        "login": login(bastion), "dial": DIAL, "accept": lambda key: False, "limits": QUICK,
    }  # fmt: skip
    return Jump(**(given | more))  # type: ignore[arg-type]


def install(server: Sshd, jump: Jump, url: str, body: str = "", **more: object) -> Outcome:
    return ssh.install(
        Target(server.host, server.port), login(server), farside.payload(url, body), dial=jump.dial,
        accept=lambda key: True, limits=QUICK, **more,  # type: ignore[arg-type]
    )  # fmt: skip


def test_servers_behind_it_are_installed_over_one_connection_to_it(bastion: Sshd, sshd: Sshd, console: str) -> None:
    jump = through(bastion)
    before = bastion.log.count("Accepted publickey")
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: install(sshd, jump, console), range(8)))
    assert [one.state for one in done] == [State.INSTALLED] * 8
    assert done[0].host_key.fingerprint == sshd.host_key() != bastion.host_key()
    assert bastion.log.count("Accepted publickey") == before + 1
    jump.close()
    assert install(sshd, jump, console).state is State.INSTALLED, "it comes up again when it is needed again"
    assert bastion.log.count("Accepted publickey") == before + 2
    jump.close()


def test_only_the_console_dials_it_and_the_guard_holds(bastion: Sshd, sshd: Sshd, console: str) -> None:
    jump = through(bastion, dial=Transport().dial)
    problem = fails("not_allowed", Stage.CONNECT, lambda: install(sshd, jump, console))
    assert isinstance(problem, JumpTrouble) and problem.cause.startswith("By way of the jump host: ")


def test_a_key_of_its_own_that_nobody_knows_is_shown_before_anybody_signs_in(
    bastion: Sshd, sshd: Sshd, console: str
) -> None:
    asked: list[HostKey] = []
    jump = through(bastion, target=Target(bastion.host, bastion.port), accept=lambda key: bool(asked.append(key)))
    before = bastion.log.count("Accepted publickey")
    problem = fails("unknown_host_key", Stage.VERIFY_HOST, lambda: install(sshd, jump, console))
    assert isinstance(problem, JumpTrouble) and problem.presented and jump.asks
    assert problem.presented.fingerprint == bastion.host_key() == asked[0].fingerprint
    changed = through(bastion, target=Target(bastion.host, bastion.port, frozenset({"SHA256:" + "A" * 43})))
    fails("changed_host_key", Stage.VERIFY_HOST, lambda: install(sshd, changed, console))
    assert not changed.asks and bastion.log.count("Accepted publickey") == before


def test_a_wrong_key_is_tried_once_and_not_for_each_server(
    bastion: Sshd, sshd: Sshd, console: str, tmp_path: Path
) -> None:
    wrong = Login(bastion.user, keys.load(make_key(tmp_path / "other").read_text()))
    jump = through(bastion, login=wrong)
    before = bastion.log.count("Connection from")
    for _ in range(5):
        fails("wrong_key", Stage.SIGN_IN, lambda: install(sshd, jump, console))
    assert bastion.log.count("Connection from") == before + 1


def test_what_it_cannot_reach_and_what_it_forbids_are_told_apart(
    bastion: Sshd, sshd: Sshd, console: str, room: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    jump = through(bastion)
    target = Target("127.0.0.1", port)
    look = lambda: ssh.look(target, dial=jump.dial, accept=lambda key: True, limits=QUICK)  # noqa: E731
    assert str(port) in fails("jump_no_way", Stage.CONNECT, look).cause
    jump.close()
    with Sshd(room / "closed", options=("AllowTcpForwarding no",)) as closed:
        jump = through(closed)
        fails("jump_forbids", Stage.CONNECT, lambda: install(sshd, jump, console))
        jump.close()


def test_a_tarpit_behind_it_ends_in_its_time_and_leaves_no_thread(bastion: Sshd, sshd: Sshd) -> None:
    jump = through(bastion)
    with farside.listener(lambda line: line.recv(1)) as port:
        look = lambda: ssh.look(  # noqa: E731
            Target("127.0.0.1", port), dial=jump.dial, accept=lambda key: True, limits=Limits(banner=0.3)
        )
        fails("no_banner", Stage.CONNECT, look)
    jump.close()
    for thread in threading.enumerate():
        if "paramiko" in repr(thread):
            thread.join(5)
            assert not thread.is_alive()


def test_when_it_is_lost_those_who_go_through_it_are_told_and_the_next_one_comes_up(
    sshd: Sshd, console: str, room: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    body = f"import time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.02)"
    with Sshd(room / "fragile") as fragile:
        jump = through(fragile)

        def cut(stage: Stage) -> None:
            if stage is Stage.UPLOAD:
                jump.close()

        with pytest.raises(Trouble) as caught:
            install(sshd, jump, console, body, on_stage=cut)
        assert caught.value.code == "lost"
        gate.touch()
        assert install(sshd, jump, console).state is State.INSTALLED
        jump.close()
