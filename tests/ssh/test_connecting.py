"""Each thing that can go wrong before anybody is signed in is told apart, with a way out."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path

import pytest

from console.lib.outbound import Transport
from servers.installs import ssh
from servers.installs.hostkeys import HostKey
from servers.installs.ssh import Limits, Target
from servers.installs.trouble import Stage
from tests import farside
from tests.ssh.going import DIAL, QUICK, fails, go, login
from tests.sshd import Sshd


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
    limits = Limits(banner=2)
    with farside.listener(speak) as port:
        started = time.monotonic()
        target = Target("127.0.0.1", port)
        fails(
            code,
            Stage.CONNECT,
            lambda: ssh.install(target, login(sshd), farside.payload(console), dial=DIAL, limits=limits),
        )
        assert time.monotonic() - started < 15


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
