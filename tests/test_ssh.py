"""Installing over SSH, against real OpenSSH servers; each thing that can go wrong is told apart, with a way out."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from console.lib.outbound import Transport
from servers.installs import keys, ssh
from servers.installs.hostkeys import HostKey
from servers.installs.signin import Login
from servers.installs.ssh import Limits, Outcome, Target
from servers.installs.trouble import Stage, Trouble
from tests import farside
from tests.sshd import Sshd, make_key

DIAL = Transport(networks=("127.0.0.0/8",)).dial
QUICK = Limits(connect=3, banner=1, auth=5, step=20, total=60)


@pytest.fixture(scope="module")
def room() -> Iterator[Path]:
    """A folder that another user may enter too (pytest's own are closed to others)."""
    folder = Path(tempfile.mkdtemp(prefix="muster-ssh-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def console() -> Iterator[str]:
    with farside.health() as url:
        yield url


@pytest.fixture(scope="module")
def sshd(room: Path) -> Iterator[Sshd]:
    with Sshd(
        room / "plain", env={"MUSTER_SEEN": str(room / "plain" / "seen")}, keys=("ed25519", "ecdsa", "rsa")
    ) as one:
        yield one


def login(server: Sshd, **more: object) -> Login:
    return Login(server.user, keys.load(server.private_key), **more)  # type: ignore[arg-type]


def go(
    server: Sshd, url: str, body: str = "", limits: Limits = QUICK, who: Login | None = None, **more: object
) -> Outcome:
    return ssh.install(
        Target(server.host, server.port),
        who or login(server),
        more.pop("payload", None) or farside.payload(url, body),
        dial=DIAL,
        accept=lambda key: True,
        limits=limits,
        **more,  # type: ignore[arg-type]
    )


def fails(code: str, stage: Stage, action: object) -> Trouble:
    """The Trouble that `action()` raises, checked to be a whole one."""
    with pytest.raises(Trouble) as caught:
        action()  # type: ignore[operator]
    problem = caught.value
    assert (problem.code, problem.stage) == (code, stage), str(problem)
    for sentence in (problem.cause, problem.fix):
        assert sentence[0].isupper() or sentence[0].isdigit() or sentence.startswith("sudo")
        assert "{" not in sentence and "?" not in sentence
    return problem


# --- what goes well


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
    body = "import subprocess; subprocess.Popen(['sleep', '8'], start_new_session=True)"
    started = time.monotonic()
    assert go(sshd, console, body).agent["ok"] is True
    assert time.monotonic() - started < 7


def test_a_temporary_folder_that_forbids_execution_is_good_enough(room: Path, console: str) -> None:
    with small_disk(room / "noexec", "64m,noexec", console) as server:
        assert go(server, console).agent["ok"] is True


# --- connect


def test_a_refused_connection_says_so(console: str, sshd: Sshd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    target = Target("127.0.0.1", port)
    action = lambda: ssh.install(target, login(sshd), farside.payload(console), dial=DIAL, limits=QUICK)  # noqa: E731
    assert str(port) in fails("refused", Stage.CONNECT, action).cause


def test_an_address_that_may_not_be_dialled_is_told_apart(sshd: Sshd, console: str) -> None:
    closed = Transport().dial
    action = lambda: ssh.install(Target("127.0.0.1", sshd.port), login(sshd), farside.payload(console), dial=closed)  # noqa: E731
    fails("not_allowed", Stage.CONNECT, action)


def test_no_answer_at_all_is_a_time_out(sshd: Sshd, console: str) -> None:
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for line in (first, second):  # Linux drops further connections while the queue is full
            line.setblocking(False)
            line.connect_ex(full.getsockname())
        target = Target("127.0.0.1", full.getsockname()[1])
        limits = Limits(connect=0.3)
        action = lambda: ssh.install(target, login(sshd), farside.payload(console), dial=DIAL, limits=limits)  # noqa: E731
        fails("timeout", Stage.CONNECT, action)


def drip(line: socket.socket) -> None:
    until = threading.Event()
    while not until.wait(0.02):
        line.sendall(b"not yet\r\n")


def flood(line: socket.socket) -> None:
    while True:
        line.sendall(b"x" * 4096)


def mail(line: socket.socket) -> None:
    line.sendall(b"220 mail.example.org ESMTP\r\n")
    line.recv(10)


LISTENERS = {
    "a tarpit": (lambda line: line.recv(1), "no_banner"),
    "a banner that drips for ever": (drip, "not_ssh"),
    "a banner that floods for ever": (flood, "not_ssh"),
    "an endless version line": (lambda line: (line.sendall(b"SSH-2.0-"), flood(line)), "not_ssh"),
    "a mail server": (mail, "not_ssh"),
    "a door that shuts": (lambda line: line.shutdown(socket.SHUT_RDWR), "hung_up"),
    "a silence after the version": (
        lambda line: (line.sendall(b"SSH-2.0-x\r\n"), line.recv(1 << 20), line.recv(1 << 20), line.recv(1)),
        "handshake_timeout",
    ),
    "rubbish after the version": (lambda line: line.sendall(b"SSH-2.0-x\r\n" + b"\xff" * 500), "handshake"),
}


@pytest.mark.parametrize("name", LISTENERS)
def test_what_is_not_a_sound_ssh_server_is_named_and_left_in_time(name: str, sshd: Sshd, console: str) -> None:
    speak, code = LISTENERS[name]
    limits = Limits(banner=0.4)
    with farside.listener(speak) as port:
        started = time.monotonic()
        target = Target("127.0.0.1", port)
        fails(
            code,
            Stage.CONNECT,
            lambda: ssh.install(target, login(sshd), farside.payload(console), dial=DIAL, limits=limits),
        )
        assert time.monotonic() - started < 5


def test_a_server_that_speaks_only_weak_ciphers_is_refused(room: Path, console: str) -> None:
    with Sshd(room / "weak", options=("Ciphers aes128-cbc,3des-cbc", "MACs hmac-md5")) as server:
        assert "OpenSSH" in fails("handshake", Stage.CONNECT, lambda: go(server, console)).fix


# --- verify host


def test_an_unknown_host_key_is_shown_and_nothing_is_sent(sshd: Sshd, console: str) -> None:
    before = sshd.log.count("Connection from")
    for accept in (None, lambda key: False):
        action = lambda accept=accept: ssh.install(  # noqa: E731
            Target(sshd.host, sshd.port), login(sshd), farside.payload(console), dial=DIAL, limits=QUICK, accept=accept
        )
        problem = fails("unknown_host_key", Stage.VERIFY_HOST, action)
        assert isinstance(problem.presented, HostKey)
        assert problem.presented.fingerprint == sshd.host_key() and problem.presented.fingerprint in problem.cause
        assert problem.presented.type == "ssh-ed25519" and problem.presented.base64.startswith("AAAA")
    since = sshd.log.split("Connection from")[before + 1 :]
    assert not any("publickey" in text or "password" in text for text in since)


def test_a_changed_host_key_stops_the_install_even_if_any_new_key_is_trusted(sshd: Sshd, console: str) -> None:
    target = Target(sshd.host, sshd.port, frozenset({"SHA256:" + "A" * 43}), ("ssh-ed25519",))
    asked: list[HostKey] = []
    action = lambda: ssh.install(  # noqa: E731
        target,
        login(sshd),
        farside.payload(console),
        dial=DIAL,
        limits=QUICK,
        accept=lambda key: asked.append(key) or True,
    )
    problem = fails("changed_host_key", Stage.VERIFY_HOST, action)
    assert asked == [] and problem.presented is not None


# --- sign in


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
    forced = 'echo \'Please login as the user "ubuntu" rather than the user "root".\';echo;sleep 10;exit 142'
    with Sshd(room / "ubuntu", forced=forced) as server:
        started = time.monotonic()
        problem = fails("other_user", Stage.SIGN_IN, lambda: go(server, console))
        assert "ubuntu" in problem.fix and time.monotonic() - started < 8


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


# --- probe


def test_a_server_without_python_is_told_to_get_one(room: Path, console: str) -> None:
    (room / "empty").mkdir()
    with Sshd(room / "nopython", env={"PATH": str(room / "empty")}) as server:
        assert "apt install python3" in fails("no_python", Stage.PROBE, lambda: go(server, console)).fix


def test_a_server_with_an_old_python_only_is_told_so(room: Path, console: str) -> None:
    old = room / "old"
    old.mkdir()
    # What 2.7 and 3.5 do with the loader: their own version check ends them with 66 before they read anything.
    (old / "python").write_text("#!/bin/sh\nexit 66\n")
    (old / "python").chmod(0o755)
    with Sshd(room / "oldpython", env={"PATH": str(old)}) as server:
        assert "its python is older" in fails("no_python", Stage.PROBE, lambda: go(server, console)).cause


def test_a_python_that_does_not_start_is_quoted(room: Path, console: str) -> None:
    broken = room / "broken"
    broken.mkdir()
    (broken / "python3").write_text("#!/bin/sh\necho 'Fatal Python error: cannot get zipimporter' >&2\nexit 1\n")
    (broken / "python3").chmod(0o755)
    with Sshd(room / "brokenpython", env={"PATH": str(broken)}) as server:
        assert "zipimporter" in fails("odd_shell", Stage.PROBE, lambda: go(server, console)).cause


def test_a_server_that_cannot_reach_the_console_says_how_it_failed(sshd: Sshd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    problem = fails("no_way_out", Stage.PROBE, lambda: go(sshd, f"http://127.0.0.1:{port}"))
    assert "refused" in problem.cause and str(port) in problem.cause
    fails("no_name", Stage.PROBE, lambda: go(sshd, "http://console.invalid"))
    with farside.health(503) as url:
        assert "503" in fails("odd_answer", Stage.PROBE, lambda: go(sshd, url)).cause


def test_a_certificate_that_the_server_does_not_trust_is_named_so(sshd: Sshd, tmp_path: Path) -> None:
    paper, key = tmp_path / "paper.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-keyout", str(key), "-out", str(paper)], check=True, capture_output=True,
    )  # fmt: skip
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(paper, key)
    with farside.health(tls=tls) as url:
        problem = fails("no_trust", Stage.PROBE, lambda: go(sshd, url))
        assert "certificate" in problem.cause.lower() and "clock" in problem.fix
    trusting = {"SSL_CERT_FILE": str(paper)}
    with farside.health(tls=tls) as url, Sshd(tmp_path / "trusts", env=trusting) as other:
        san = fails("no_trust", Stage.PROBE, lambda: go(other, url))  # trusted, but it names no such host
        assert "127.0.0.1" in san.cause


def small_disk(folder: Path, options: str, console: str) -> Sshd:
    """A server whose temporary folders are small file systems of their own, in a mount namespace of the session."""
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"]).returncode:
        pytest.skip("mounting a small file system needs root with CAP_SYS_ADMIN")
    mounts = "; ".join(f"mount -t tmpfs -o size={options} none {path}" for path in ("/var/tmp", "/tmp"))
    script = folder.parent / f"{folder.name}.sh"
    script.write_text(f'#!/bin/sh\n{mounts}\nexec /bin/sh -c "$SSH_ORIGINAL_COMMAND"\n')
    script.chmod(0o755)
    # HOME and TMPDIR lie in /tmp, so they vanish below the mount
    return Sshd(folder, forced=f"exec unshare -m {script}")


def test_a_full_disk_is_seen_before_anything_is_written(room: Path, console: str) -> None:
    with small_disk(room / "full", "64k", console) as server:
        problem = fails("disk_full", Stage.PROBE, lambda: go(server, console))
        assert "/tmp has 0 MB free" in problem.cause and "1 MB" in problem.fix


def test_a_disk_that_fills_up_during_the_upload_is_told_so(room: Path, console: str) -> None:
    with small_disk(room / "fills", "64k", console) as server:
        parcel = farside.payload(console, need_mb=0)
        fails("disk_full", Stage.UPLOAD, lambda: go(server, console, payload=parcel))


def test_an_agent_that_does_not_arrive_whole_is_not_run(sshd: Sshd, console: str) -> None:
    parcel = farside.payload(console, "open('/nowhere/at/all', 'w')", sha256="0" * 64)
    assert "checksum" in fails("upload_broken", Stage.UPLOAD, lambda: go(sshd, console, payload=parcel)).cause
    assert list((sshd.folder / "tmp").iterdir()) == []


# --- install


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
    body = "import select; assert not select.select([0], [], [], 0)[0], 'something is on standard input'"
    assert go(server, console, body, who=login(server, sudo_password="right horse")).sudo is True
    assert "right horse" not in (server.folder / "seen").read_text()
    free = common("nopasswd")  # type: ignore[operator]
    assert go(free, console, body, who=login(free, sudo_password="right horse")).sudo is True


@pytest.mark.parametrize(
    ("mood", "word", "code"),
    [
        ("password", None, "sudo_needs_password"),
        ("password", "wrong horse", "sudo_wrong_password"),
        ("denied", "right horse", "sudo_denied"),
        ("tty", None, "sudo_needs_tty"),
    ],
)
def test_each_no_of_sudo_is_told_apart(mood: str, word: str | None, code: str, common: object, console: str) -> None:
    server = common(mood)  # type: ignore[operator]
    problem = fails(code, Stage.INSTALL, lambda: go(server, console, who=login(server, sudo_password=word)))
    assert "horse" not in str(problem)


def test_a_user_who_is_not_root_needs_sudo(common: object, console: str) -> None:
    server = common("absent")  # type: ignore[operator]
    fails("no_sudo", Stage.PROBE, lambda: go(server, console))
    fails("not_root", Stage.PROBE, lambda: go(server, console, who=login(server, use_sudo=False)))


def test_the_agents_own_refusal_passes_through_in_its_words(sshd: Sshd, console: str) -> None:
    body = "print(json.dumps({'ok': False, 'cause': 'The token mjt_once is spent.', 'fix': 'Ask again.'})); sys.exit(1)"
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


# --- deadlines


def test_a_command_that_never_answers_is_cut_from_outside(room: Path, console: str) -> None:
    with Sshd(room / "never", forced="exec sleep 60") as server:
        started = time.monotonic()
        limits = Limits(step=1)
        fails("step_timeout", Stage.PROBE, lambda: go(server, console, limits=limits))
        assert time.monotonic() - started < 5


def test_an_installer_that_hangs_is_ended_on_the_server_too(sshd: Sshd, console: str) -> None:
    limits = Limits(step=4)
    problem = fails("agent_broke", Stage.INSTALL, lambda: go(sshd, console, "import time; time.sleep(99)", limits))
    assert "still running" in problem.cause
    assert list((sshd.folder / "tmp").iterdir()) == []


def test_all_of_it_has_a_deadline_however_well_each_step_goes(room: Path, console: str) -> None:
    with Sshd(room / "slow", forced="exec sleep 60") as server:
        fails("total_timeout", Stage.PROBE, lambda: go(server, console, limits=Limits(total=1)))


def test_no_thread_is_left_when_installs_end_badly(console: str, sshd: Sshd) -> None:
    with farside.listener(lambda line: line.sendall(b"SSH-2.0-x\r\n" + b"\xff" * 500)) as port:
        with pytest.raises(Trouble):
            ssh.install(Target("127.0.0.1", port), login(sshd), farside.payload(console), dial=DIAL, limits=QUICK)
        until = time.monotonic() + 5
        while ours := [
            one for one in threading.enumerate() if "paramiko" in repr(one) or isinstance(one, threading.Timer)
        ]:
            assert time.monotonic() < until, ours
            time.sleep(0.02)


def test_no_secret_shows_itself(sshd: Sshd, console: str) -> None:
    who = Login("root", password="hunter2", sudo_password="hunter3")
    assert "hunter" not in repr(who)
    assert "mjt_once" not in repr(farside.payload(console))
