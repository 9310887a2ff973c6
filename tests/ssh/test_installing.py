"""Installing over SSH on real OpenSSH servers: what goes well, and what the installer and sudo say."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from servers.installs import ssh
from servers.installs.ssh import Limits, Target
from servers.installs.trouble import Stage
from tests import farside
from tests.ssh.going import DIAL, QUICK, fails, go, login, small_disk
from tests.sshd import Sshd


def test_an_agent_is_installed_over_one_connection_and_leaves_nothing_behind(sshd: Sshd, console: str) -> None:
    stages: list[Stage] = []
    outcome = go(sshd, console, on_stage=stages.append)
    assert outcome.agent == {"ok": True, "version": "1.2.3", "mode": "supervised", "receipt": "/receipt.json"}
    assert stages == [Stage.CONNECT, Stage.VERIFY_HOST, Stage.SIGN_IN, Stage.PROBE, Stage.UPLOAD, Stage.INSTALL]
    assert [stage for stage, _ in outcome.stages] == stages
    assert outcome.host_key.fingerprint == sshd.host_key("ed25519")
    assert list((sshd.folder / "tmp").iterdir()) == []
    seen = json.loads((sshd.folder / "seen").read_text().splitlines()[-1])
    assert seen["token"] == "mjt_once"
    assert "mjt_once" not in " ".join(seen["argv"])
    assert seen["argv"][1:4] == ["install", "--url", console]


def test_a_server_with_a_known_key_of_another_type_shows_that_one(sshd: Sshd, console: str) -> None:
    for kind, name in (("ecdsa", "ecdsa-sha2-nistp256"), ("rsa", "ssh-rsa")):
        target = Target(sshd.host, sshd.port, frozenset({sshd.host_key(kind)}), (name,))
        outcome = ssh.install(target, login(sshd), farside.payload(console), dial=DIAL, limits=QUICK)
        assert outcome.host_key.type == name


PYENV = Path.home() / ".pyenv" / "versions"
PYTHONS = [name for name in ("3.6.15", "3.7.16", "3.13.0") if (PYENV / name).exists()]


@pytest.mark.parametrize("python", PYTHONS)
def test_every_python_of_the_range_that_is_on_this_machine_is_served(python: str, room: Path, console: str) -> None:
    folder = PYENV / python / "bin"
    with Sshd(room / f"python{python}", env={"PATH": f"{folder}:/usr/bin:/bin"}) as server:
        assert go(server, console).python == python


def test_noise_of_20_mb_on_both_streams_does_no_harm(room: Path, console: str) -> None:
    noise = "head -c 20000000 /dev/zero | tr '\\\\0' x"
    forced = f'{noise} & {noise} >&2; wait; /bin/sh -c "$SSH_ORIGINAL_COMMAND"'
    with Sshd(room / "noise", forced=forced) as server:
        body = f"import os; os.system({noise!r}); os.system({noise + ' >&2'!r}); print()"
        assert go(server, console, body).agent["ok"] is True


def test_a_service_that_holds_the_streams_open_does_not_hold_the_install(sshd: Sshd, console: str) -> None:
    body = "import subprocess; subprocess.Popen(['sleep', '60'], start_new_session=True)"
    started = time.monotonic()
    assert go(sshd, console, body).agent["ok"] is True
    assert time.monotonic() - started < 50


def test_a_temporary_folder_that_forbids_execution_is_good_enough(room: Path, console: str) -> None:
    with small_disk(room / "noexec", "64m,noexec", console) as server:
        assert go(server, console).agent["ok"] is True


@pytest.fixture
def common(room: Path) -> Iterator[object]:
    """Servers where the user who signs in is not root; `common(mood)` starts one whose sudo is in that mood."""
    started: list[Sshd] = []

    def start(mood: str) -> Sshd:
        folder = room / f"sudo-{mood}-{len(list(room.iterdir()))}"
        path = farside.put_sudo(folder / "bin", folder / "sudo-prefix") if mood != "absent" else "/usr/bin:/bin"
        if mood == "absent" and (shutil.which("sudo", path=path)):
            pytest.skip("this machine has a sudo in /usr/bin, which cannot be taken away for a test")
        drop = "exec setpriv --reuid=65534 --regid=65534 --clear-groups " if os.geteuid() == 0 else "exec "
        seen = folder / "seen"
        server = Sshd(
            folder,
            env={"PATH": path, "MOOD": mood, "MUSTER_AGENT_PREFIX": "", "TMPDIR": "/tmp", "MUSTER_SEEN": str(seen)},
            forced=drop + '/bin/sh -c "$SSH_ORIGINAL_COMMAND"',
        ).start()
        seen.touch()
        seen.chmod(0o666)
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()


def test_sudo_without_a_password_is_used_when_the_user_is_not_root(common: object, console: str) -> None:
    outcome = go(common("nopasswd"), console)  # type: ignore[operator]
    assert outcome.sudo is True


def test_a_sudo_password_reaches_the_prompt_and_nothing_else(common: object, console: str) -> None:
    server = common("password")  # type: ignore[operator]
    body = "import select; assert not select.select([0], [], [], 0)[0] or not sys.stdin.read(), 'not to be read here'"
    assert go(server, console, body, who=login(server, sudo_password="right horse")).sudo is True
    assert "right horse" not in (server.folder / "seen").read_text()
    free = common("nopasswd")  # type: ignore[operator]
    assert go(free, console, body, who=login(free, sudo_password="right horse")).sudo is True


@pytest.mark.parametrize(
    ("mood", "word", "code"),
    [
        ("password", None, "sudo_needs_password"),
        ("password", "wrong horse", "sudo_wrong_password"),
        ("twice", "right horse", "sudo_asks_more"),
        ("code", "right horse", "sudo_asks_more"),
        ("denied", "right horse", "sudo_denied"),
        ("tty", None, "sudo_needs_tty"),
    ],
)
def test_each_no_of_sudo_is_told_apart(mood: str, word: str | None, code: str, common: object, console: str) -> None:
    server = common(mood)  # type: ignore[operator]
    limits = Limits(step=6)
    problem = fails(code, Stage.INSTALL, lambda: go(server, console, "", limits, login(server, sudo_password=word)))
    assert code != "sudo_asks_more" or "It said: Verification code:" in problem.cause
    assert "horse" not in str(problem)


def test_a_user_who_is_not_root_needs_sudo(common: object, console: str) -> None:
    server = common("absent")  # type: ignore[operator]
    fails("no_sudo", Stage.PROBE, lambda: go(server, console))
    fails("not_root", Stage.PROBE, lambda: go(server, console, who=login(server, use_sudo=False)))


def test_the_agents_own_refusal_passes_through_in_its_words(sshd: Sshd, console: str) -> None:
    said = {"ok": False, "cause": "The token mjt_once is spent.", "fix": "Ask again."}
    body = f"print({json.dumps(json.dumps(said))}); sys.exit(1)"
    problem = fails("agent_refused", Stage.INSTALL, lambda: go(sshd, console, body))
    assert (problem.cause, problem.fix) == ("The token … is spent.", "Ask again.")


def test_an_installer_that_breaks_is_quoted(sshd: Sshd, console: str) -> None:
    problem = fails(
        "agent_broke", Stage.INSTALL, lambda: go(sshd, console, "raise SystemExit('no space in \\x1b[31m/opt')")
    )
    assert "no space in /opt" in problem.cause and "exit code 1" in problem.cause
    assert list((sshd.folder / "tmp").iterdir()) == []


def test_a_connection_that_is_lost_names_the_stage(room: Path, console: str) -> None:
    with Sshd(room / "lost") as server:

        def cut(stage: Stage) -> None:
            if stage is Stage.INSTALL and server.process:
                for child in psutil.Process(server.process.pid).children(recursive=True):
                    child.kill()

        fails("lost", Stage.INSTALL, lambda: go(server, console, "import time; time.sleep(20)", on_stage=cut))
