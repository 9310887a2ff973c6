"""Real OpenSSH servers for tests and benchmarks: each its own process on a free port of 127.0.0.1, in its own folder.

Nothing of this machine's own SSH is read or written. Everything that signs in gets `MUSTER_AGENT_PREFIX`, so that an
agent that is installed through it stays inside the folder. Works as root and as an ordinary user (who may then sign in
as that user only).
"""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

from servers.installs import hostkeys

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"


def need_sshd() -> str:
    """The path of sshd; skips the test when there is none, fails it under REQUIRE_ALL=1."""
    if SSHD is None:
        words = "no sshd on this machine (Debian package: openssh-server)"
        if os.environ.get("REQUIRE_ALL") == "1":
            pytest.fail(words)
        pytest.skip(words)
    return SSHD


def make_key(path: Path, kind: str = "ed25519", passphrase: str = "", *more: str) -> Path:
    """A new key pair at `path` and `path`.pub."""
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-f", str(path), *more], check=True)
    return path


class Sshd:
    """One server. `forced` is a command that runs instead of what is asked for (`$SSH_ORIGINAL_COMMAND` is that);
    `env` is added to every session, `options` to sshd_config; `keys` are the host key types;
    `port` 0 is a free one. All of 127/8 is this machine: hosts that share a port have an address each."""

    def __init__(
        self,
        folder: Path,
        *,
        env: dict[str, str] | None = None,
        forced: str = "",
        options: tuple[str, ...] = (),
        keys: tuple[str, ...] = ("ed25519",),
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.program = need_sshd()
        self.folder = folder
        self.home, self.prefix = folder / "home", folder / "prefix"
        self.user = getpass.getuser()
        self.host, self.port, self.wanted = host, port, port
        self.env = {
            "HOME": str(self.home),
            "PATH": PATH,
            "MUSTER_AGENT_PREFIX": str(self.prefix),
            "TMPDIR": str(folder / "tmp"),
        } | (env or {})
        self.forced, self.options, self.kinds = forced, options, keys
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> Sshd:
        for path in (self.folder, self.home, self.prefix, Path(self.folder / "tmp")):
            path.mkdir(parents=True, exist_ok=True)
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd refuses to start as root without it
        for kind in self.kinds:
            if not (self.folder / f"host_{kind}").exists():
                make_key(self.folder / f"host_{kind}", kind)
        if not (self.folder / "user").exists():
            make_key(self.folder / "user")
        (self.folder / "authorized_keys").write_text((self.folder / "user.pub").read_text())
        for _ in range(5):  # somebody else may take the free port first
            self._launch()
            if self._listens():
                return self
            self.stop()
        raise RuntimeError(f"sshd did not start: {self.log}")

    def _launch(self) -> None:
        with socket.create_server((self.host, self.wanted)) as free:
            self.port = free.getsockname()[1]
        environment = " ".join(f'"{name}={value}"' for name, value in self.env.items() if value)
        lines = [
            f"Port {self.port}",
            f"ListenAddress {self.host}",
            "PidFile none",
            "UsePAM no",
            "StrictModes no",
            f"AuthorizedKeysFile {self.folder}/authorized_keys",
            "PermitRootLogin yes",
            "PermitUserRC no",
            "PasswordAuthentication yes",
            "KbdInteractiveAuthentication no",
            "UseDNS no",
            "PrintMotd no",
            "MaxStartups 500",
            "LogLevel VERBOSE",
            f"SetEnv {environment}",
            *(f"HostKey {self.folder}/host_{kind}" for kind in self.kinds),
            *([f"ForceCommand {self.forced}"] if self.forced else []),
            *self.options,
        ]
        config = self.folder / "sshd_config"
        config.write_text("\n".join(lines) + "\n")
        self.process = subprocess.Popen(
            [self.program, "-D", "-f", str(config), "-E", str(self.folder / "sshd.log")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def _listens(self) -> bool:
        until = time.monotonic() + 10
        while time.monotonic() < until and self.process and self.process.poll() is None:
            try:
                with socket.create_connection((self.host, self.port), 1) as line:
                    return line.recv(4) == b"SSH-"
            except OSError:
                time.sleep(0.02)
        return False

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def __enter__(self) -> Sshd:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def log(self) -> str:
        path = self.folder / "sshd.log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def private_key(self) -> str:
        """The text of the key that may sign in."""
        return (self.folder / "user").read_text()

    def host_key(self, kind: str = "ed25519") -> str:
        """The SHA256 fingerprint of a host key."""
        return sorted(
            hostkeys.printed(
                "-----BEGIN SSH HOST KEY KEYS-----\n"
                + (self.folder / f"host_{kind}.pub").read_text()
                + "-----END SSH HOST KEY KEYS-----\n"
            )
        )[0]
