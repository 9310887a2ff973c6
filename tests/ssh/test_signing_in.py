"""Sign-ins that a server refuses are told apart, with a way out."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from servers.installs import keys
from servers.installs.signin import Login
from servers.installs.trouble import Stage
from tests.ssh.going import fails, go
from tests.sshd import Sshd, make_key


def test_a_wrong_key_names_the_user(sshd: Sshd, console: str, tmp_path: Path) -> None:
    other = keys.load(make_key(tmp_path / "other").read_text())
    problem = fails("wrong_key", Stage.SIGN_IN, lambda: go(sshd, console, who=Login(sshd.user, other)))
    assert sshd.user in problem.cause and "authorized_keys" in problem.fix


def test_a_wrong_password_is_told_apart(sshd: Sshd, console: str) -> None:
    fails("wrong_password", Stage.SIGN_IN, lambda: go(sshd, console, who=Login(sshd.user, password="no such")))


def test_a_server_that_takes_keys_only_asks_for_one(room: Path, console: str) -> None:
    with Sshd(room / "keysonly", options=("Match all", "PasswordAuthentication no")) as server:
        problem = fails(
            "wants_other_login", Stage.SIGN_IN, lambda: go(server, console, who=Login(server.user, password="x"))
        )
        assert "Give a key" in problem.fix


def test_a_second_factor_is_named(room: Path, console: str) -> None:
    with Sshd(room / "two", options=("AuthenticationMethods publickey,password",)) as server:
        fails("second_factor", Stage.SIGN_IN, lambda: go(server, console))


def test_a_user_who_is_shut_out_during_sign_in_is_told_so(room: Path, console: str) -> None:
    with Sshd(room / "shut", options=("MaxAuthTries 1",)) as server:
        who = Login(server.user, keys.load(make_key(room / "stranger").read_text()))
        fails("sign_in_closed", Stage.SIGN_IN, lambda: go(server, console, who=who))


def test_an_account_that_only_names_another_user_says_which(room: Path, console: str) -> None:
    # as cloud-init's disable_root writes it into root's authorized_keys
    forced = 'echo \'Please login as the user "ubuntu" rather than the user "root".\';echo;sleep 60;exit 142'
    with Sshd(room / "ubuntu", forced=forced) as server:
        started = time.monotonic()
        problem = fails("other_user", Stage.SIGN_IN, lambda: go(server, console))
        assert "ubuntu" in problem.fix and time.monotonic() - started < 50


@pytest.mark.parametrize(
    ("says", "code"),
    [
        ("This account is currently not available.", "no_shell"),
        ("WARNING: Your password has expired. Password change required but no TTY available.", "password_expired"),
    ],
)
def test_an_account_that_may_not_work_says_why(says: str, code: str, room: Path, console: str) -> None:
    with Sshd(room / code, forced=f"echo '{says}'; exit 1") as server:
        fails(code, Stage.SIGN_IN, lambda: go(server, console))
