"""Instances of an image, each in a network namespace of its own: with its own address, its own metadata service at
169.254.169.254, and its console at 127.0.0.1. Nothing else can be reached from in there, and nobody reaches in.

The sockets are opened by a thread that enters the namespace for the moment (setns(2) is a thread's own), and served
from outside: what arrives at one is passed on, to the metadata service from an address by which it knows the instance.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from console.demo import vmtoolsd
from console.demo.launching import Launched

SERVICE = "169.254.169.254"
CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=30)  # noqa: S607 - of this host


class Passing:
    """Passes on what arrives: listening socket → (where to connect, from which address or None)."""

    def __init__(self) -> None:
        self._gates: dict[socket.socket, tuple[tuple[str, int], str | None]] = {}
        self._lock = threading.Lock()
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def open(self, listening: socket.socket, to: tuple[str, int], source: str | None = None) -> None:
        listening.setblocking(False)
        with self._lock:
            self._gates[listening] = (to, source)
        self._wake.send(b"x")

    def shut(self, gates: list[socket.socket]) -> None:
        with self._lock:
            for gate in gates:
                self._gates.pop(gate, None)
        self._wake.send(b"x")
        for gate in gates:
            gate.close()

    def close(self) -> None:
        self.shut(list(self._gates))
        self._wake.close()
        self._thread.join(10)
        self._woken.close()

    def _run(self) -> None:
        pairs: dict[socket.socket, socket.socket] = {}
        while True:
            with self._lock:
                gates = [gate for gate in self._gates if gate.fileno() >= 0]
            poll = select.poll()
            known = {one.fileno(): one for one in (*gates, *pairs, self._woken)}
            for handle in known.keys() - {-1}:  # one that was closed just now
                poll.register(handle, select.POLLIN)
            for handle, _ in poll.poll(5000):
                one = known[handle]
                if one.fileno() < 0:
                    continue  # its other end was closed in this round
                if one is self._woken:
                    if not self._woken.recv(64):
                        for end in pairs:
                            end.close()
                        return
                elif one in pairs:
                    self._pass(one, pairs)
                else:
                    self._accept(one, pairs)

    def _accept(self, gate: socket.socket, pairs: dict[socket.socket, socket.socket]) -> None:
        with self._lock:
            known = self._gates.get(gate)
        if known is None:
            return
        with suppress(OSError):
            near, _ = gate.accept()
            to, source = known
            try:
                far = socket.create_connection(to, 5, source_address=(source, 0) if source else None)
            except OSError:
                near.close()
                return
            near.setblocking(True)
            pairs[near], pairs[far] = far, near

    def _pass(self, one: socket.socket, pairs: dict[socket.socket, socket.socket]) -> None:
        other = pairs[one]
        data = b""
        with suppress(OSError):
            data = one.recv(65536)
        if data:
            with suppress(OSError):
                other.sendall(data)
                return
        for end in (one, other):
            pairs.pop(end, None)
            end.close()


class Instance:
    """One machine. `folder` is its disk (MUSTER_AGENT_PREFIX); its network stays when it is rebooted."""

    def __init__(self, name: str, launched: Launched, folder: Path, passing: Passing) -> None:
        self.name, self.launched, self.folder = name, launched, folder
        self._passing = passing
        self._gates: list[socket.socket] = []
        self.tools = ""

    def plug(self, console: str, service: str, source: str) -> None:
        """Make its network. `console` and `service` are host:port outside; `source` is what the service knows it by."""
        ip("netns", "add", self.name)
        inside = ("-n", self.name)
        ip(*inside, "link", "set", "lo", "up")
        ip(*inside, "addr", "add", f"{SERVICE}/32", "dev", "lo")
        ip(*inside, "link", "add", "eth0", "address", self.launched.mac, "type", "bridge")
        ip(*inside, "addr", "add", f"{self.launched.address}/24", "dev", "eth0")
        ip(*inside, "link", "set", "eth0", "up")
        host, port = console.rsplit(":", 1)
        self._listen("127.0.0.1", int(port), (host, int(port)))
        host, port = service.rsplit(":", 1)
        self._listen(SERVICE, 80, (host, int(port)), source)

    def _listen(self, address: str, port: int, to: tuple[str, int], source: str | None = None) -> None:
        """A socket in there, made by a thread that goes in for it and ends."""
        made: list[socket.socket] = []

        def enter() -> None:
            handle = os.open(f"/var/run/netns/{self.name}", os.O_RDONLY)
            try:
                if _LIBC.setns(handle, CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), "setns")
                made.append(socket.create_server((address, port), backlog=64))
            finally:
                os.close(handle)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join(10)
        self._gates.append(made[0])
        self._passing.open(made[0], to, source)

    def lay(self, package: Path, settings: dict[str, Any]) -> None:
        """Its disk, from the image: the files of the package, and what this machine's firmware shows."""
        subprocess.run(["dpkg-deb", "-x", str(package), str(self.folder)], check=True, timeout=30)  # noqa: S607
        home = self.folder / "usr/share/muster-agent"
        told = json.loads((home / "image.json").read_text())
        (home / "image.json").write_text(json.dumps({**told, **settings}))
        dmi = self.folder / "sys/class/dmi/id"
        dmi.mkdir(parents=True)
        (dmi / "product_uuid").write_text(self.launched.told + "\n")
        if self.launched.platform == "cloudstack":  # its virtual router gave it its address
            leases = self.folder / "var/lib/dhcp"
            leases.mkdir(parents=True)
            (leases / "dhclient.eth0.leases").write_text(f"lease {{\n  option dhcp-server-identifier {SERVICE};\n}}\n")
        if self.launched.platform == "vcloud":
            self.tools = str(vmtoolsd.put(self.folder / "tools", f"{SERVICE}:80").parent)

    def run(self, *words: str) -> dict[str, Any]:
        """A command of the agent in there; its last line."""
        program = self.folder / "usr/share/muster-agent/muster-agent.pyz"
        done = subprocess.run(
            ["ip", "netns", "exec", self.name, sys.executable, "-S", str(program), *words],  # noqa: S607
            capture_output=True, text=True, timeout=60, check=False,
            env={"MUSTER_AGENT_PREFIX": str(self.folder), "PATH": f"{self.tools}:/usr/sbin:/usr/bin:/sbin:/bin"},
        )  # fmt: skip
        assert done.stdout, done.stderr
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found

    def agent_id(self) -> str:
        """Who it is by what stands on its disk; "" for nobody."""
        try:
            told = json.loads((self.folder / "var/lib/muster-agent/identity.json").read_text())
        except OSError:
            return ""
        return told["agent_id"] or ""

    def boot(self) -> None:
        """As the package's script does it: laid, and started."""
        said = self.run("install", "--image", str(self.folder / "usr/share/muster-agent/image.json"))
        assert said["ok"] and said["started"], said

    def off(self) -> None:
        """The plug is pulled."""
        with suppress(OSError):
            for pid in (self.folder / "run/muster-agent.pid").read_text().split():
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)

    def copy(self, name: str, launched: Launched) -> Instance:
        """Another instance from a snapshot of this one's disk, with its own firmware."""
        twin = Instance(name, launched, self.folder.with_name(name), self._passing)
        # Its agent may be at work: what it is just writing is whole before or after that; and /run is on no disk.
        passing = shutil.ignore_patterns("run", ".*.new")
        shutil.copytree(self.folder, twin.folder, symlinks=True, ignore=passing)
        (twin.folder / "sys/class/dmi/id/product_uuid").write_text(launched.told + "\n")
        if self.tools:
            twin.tools = str(twin.folder / "tools")
        return twin

    def end(self) -> None:
        self.off()
        self._passing.shut(self._gates)
        with suppress(subprocess.CalledProcessError):
            ip("netns", "del", self.name)


@contextmanager
def passing() -> Iterator[Passing]:
    made = Passing()
    try:
        yield made
    finally:
        made.close()
