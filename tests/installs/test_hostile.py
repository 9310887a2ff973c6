"""Hosts that mean ill, or are beyond help, in one batch with sound ones: each ends in its time, and harms nobody."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from servers.installs.models import HostKey, Install
from tests import farside
from tests.conftest import People
from tests.installs.hosts import at, begin, is_over, take_off, work
from tests.processes import wait
from tests.sshd import Sshd

pytestmark = pytest.mark.django_db(transaction=True)
NOISE = "head -c 20000000 /dev/zero | tr '\\\\0' x; head -c 20000000 /dev/zero | tr '\\\\0' y >&2; "


def drip(line: socket.socket) -> None:
    pause = threading.Event()
    while not pause.wait(0.05):
        line.sendall(b"not yet\r\n")


def flood(line: socket.socket) -> None:
    while True:
        line.sendall(b"x" * 65536)


HOSTILE: dict[str, tuple[Callable[[socket.socket], object], str]] = {
    "127.0.9.1": (lambda line: line.recv(1), "said nothing"),
    "127.0.9.2": (drip, "is not an SSH server"),
    "127.0.9.3": (flood, "is not an SSH server"),
    "127.0.9.4": (lambda line: (line.sendall(b"SSH-2.0-"), flood(line)), "is not an SSH server"),
    "127.0.9.5": (lambda line: line.shutdown(socket.SHUT_RDWR), "closed the connection"),
    "127.0.9.6": (lambda line: line.sendall(b"SSH-2.0-x\r\n" + b"\xff" * 500), "No safe encryption"),
}


def test_hostile_hosts_end_each_with_its_words_and_the_sound_ones_among_them_are_managed(
    people: People, host: Sshd, tmp_path: Path, full_or: Callable[[int, int], int]
) -> None:
    count = full_or(990, 42)
    script = tmp_path / "noise.sh"
    script.write_text(f'#!/bin/sh\n{NOISE}exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"\n')
    script.chmod(0o755)
    ill = [at(list(HOSTILE)[number % len(HOSTILE)], people) for number in range(count)]
    sound = at("127.0.0.1", people, name="sound")
    loud, changed, closed = (at(f"127.0.8.{number}", people, name=f"of {number}") for number in (1, 2, 3))
    HostKey.objects.create(
        server=changed, key_type="ssh-ed25519", key="AAAA", fingerprint="SHA256:" + "A" * 43, source="person"
    )
    with ExitStack() as stack:
        for address, (speak, _) in HOSTILE.items():
            stack.enter_context(farside.listener(speak, address, host.port))
        others = [
            stack.enter_context(Sshd(tmp_path / address, host=address, port=host.port, **more))
            for address, more in (("127.0.8.1", {"forced": str(script)}), ("127.0.8.2", {}))
        ]
        for one in others:
            stack.callback(take_off, one)
            (one.folder / "authorized_keys").write_text((host.folder / "user.pub").read_text())
        batch = begin(people, host, *ill, sound, loud, changed, closed, trust_new_host_keys=True)
        before = psutil.Process().memory_info().rss
        started = time.monotonic()
        work(batch)
        assert time.monotonic() - started < 60 + count / 6  # 50 at once, of which a third takes 3 s
        assert psutil.Process().memory_info().rss - before < 100 << 20
        wait(lambda: set(batch.installs.filter(server__in=[sound, loud]).values_list("state")) == {("done",)})
    told = dict(batch.installs.values_list("server", "cause"))
    for server in ill:
        assert HOSTILE[server.address][1] in told[server.pk], server.address
    assert "host key" in told[changed.pk] and HostKey.objects.get(server=changed).key == "AAAA"
    assert "Accepted publickey" not in others[1].log, "nobody signs in where the key changed"
    assert "refused" in told[closed.pk]
    failed = Install.objects.filter(batch=batch, state="failed")
    assert failed.count() == count + 2 and not failed.filter(fix="").exists() and is_over(batch)
    assert not [one for one in threading.enumerate() if one.name.startswith("install_")]
