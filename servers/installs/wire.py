"""The connection under an SSH session, and its first line.

paramiko reads the first line without a cap and with a new time-out for every read, so a server that never ends it
could hold a worker, or fill its memory. It is read here, and then given to paramiko as if it had not been.
"""

from __future__ import annotations

import contextlib
import socket
import time

from paramiko import Channel, SSHException

from servers.installs.trouble import quote, trouble

MOST_BEFORE = 16 * 1024  # bytes that a server may say before its version line (RFC 4253, 4.2 allows some lines)
MOST_LINE = 255


class Wire:
    """A connected socket, or a channel through a jump host, that can be given bytes back, and cut from another thread.

    As much of a socket as paramiko's Transport asks for.
    """

    def __init__(self, connected: socket.socket | Channel) -> None:
        self.line = connected
        self.ahead = b""

    def recv(self, bufsize: int) -> bytes:
        if self.ahead:
            taken, self.ahead = self.ahead[:bufsize], self.ahead[bufsize:]
            return taken
        return self.line.recv(bufsize)

    def send(self, data: bytes) -> int:
        return self.line.send(data)

    @property
    def _closed(self) -> bool:  # what a socket has, and paramiko looks at
        return bool(self.line._closed)  # type: ignore[union-attr]

    def settimeout(self, seconds: float | None) -> None:
        self.line.settimeout(seconds)

    def close(self) -> None:
        with contextlib.suppress(OSError, EOFError, SSHException):  # the jump host may be gone: just as good
            self.line.close()

    def cut(self) -> None:
        """End it at once, for whoever waits on it. Harmless when it has already ended.

        A channel is not cut: saying so to the jump host could block, and paramiko looks at it ten times a second.
        """
        with contextlib.suppress(OSError):
            if isinstance(self.line, socket.socket):
                self.line.shutdown(socket.SHUT_RDWR)


def read_banner(wire: Wire, host: str, port: int, seconds: float) -> None:
    """Wait for the server's version line and leave it to be read. Trouble when there is none, or something else."""
    heard = b""
    until = time.monotonic() + seconds
    while True:
        start = 0
        while (end := heard.find(b"\n", start)) >= 0:
            if heard[start : start + 4] == b"SSH-":
                wire.ahead = heard
                return
            start = end + 1
        rest = heard[start:]
        is_version = rest[:4] == b"SSH-"[: len(rest[:4])]
        if len(heard) > MOST_BEFORE or (is_version and len(rest) > MOST_LINE):
            raise trouble("not_ssh", host=host, port=port, said=quote(heard))
        left = until - time.monotonic()
        try:
            if left <= 0:
                raise TimeoutError
            wire.settimeout(left)
            chunk = wire.recv(4096)
        except TimeoutError as problem:
            code = "not_ssh" if heard else "no_banner"
            raise trouble(code, host=host, port=port, seconds=f"{seconds:g}", said=quote(heard)) from problem
        except OSError as problem:
            raise trouble("hung_up", host=host, port=port) from problem
        if not chunk:
            raise trouble("not_ssh" if heard else "hung_up", host=host, port=port, said=quote(heard))
        heard += chunk
