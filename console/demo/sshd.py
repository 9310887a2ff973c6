"""An SSH server in a thread: one user, a key or a password, real commands. Loopback only."""

from __future__ import annotations

import contextlib
import hmac
import logging
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import paramiko
from paramiko.common import (
    AUTH_FAILED,
    AUTH_SUCCESSFUL,
    OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED,
    OPEN_SUCCEEDED,
)

from console.demo.processes import Nursery
from console.demo.session import Session, Size

MAX_CONNECTIONS = 100
LOG = "muster.demo.ssh"
# A port scan or a dropped connection is no news; paramiko would write a traceback of each.
logging.getLogger(LOG).setLevel(logging.CRITICAL)


@dataclass(frozen=True, slots=True)
class Account:
    """Who may sign in: `key` is a public key's blob."""

    user: str
    password: str
    key: bytes


@dataclass(frozen=True, slots=True)
class Place:
    """Where commands run: exactly this environment, in this folder."""

    home: Path
    env: Mapping[str, str]
    nursery: Nursery


class _Door(paramiko.ServerInterface):
    """One connection's decisions. paramiko calls these from its transport thread: they must not block."""

    def __init__(self, account: Account, place: Place) -> None:
        self.account = account
        self.place = place
        self.sessions: dict[int, Session] = {}
        self.terminals: dict[int, Size] = {}

    def get_allowed_auths(self, username: str) -> str:
        return "publickey,password"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        fits = username == self.account.user and key.asbytes() == self.account.key
        return AUTH_SUCCESSFUL if fits else AUTH_FAILED

    def check_auth_password(self, username: str, password: str) -> int:
        fits = hmac.compare_digest(password.encode(), self.account.password.encode())
        return AUTH_SUCCESSFUL if fits and username == self.account.user else AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED if kind == "session" else OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        return self._begin(channel, command.decode("utf-8", "surrogateescape"))

    def check_channel_shell_request(self, channel: paramiko.Channel) -> bool:
        return self._begin(channel, None)

    def check_channel_pty_request(
        self,
        channel: paramiko.Channel,
        term: bytes,
        width: int,
        height: int,
        pixelwidth: int,
        pixelheight: int,
        modes: bytes,
    ) -> bool:
        self.terminals[channel.get_id()] = (width, height)
        return True

    def check_channel_window_change_request(
        self, channel: paramiko.Channel, width: int, height: int, pixelwidth: int, pixelheight: int
    ) -> bool:
        session = self.sessions.get(channel.get_id())
        if session is not None:
            session.resize((width, height))
        return session is not None

    def _begin(self, channel: paramiko.Channel, command: str | None) -> bool:
        number = channel.get_id()
        if number in self.sessions:
            return False
        place = self.place
        session = Session(
            channel,
            command,
            env=place.env,
            home=place.home,
            nursery=place.nursery,
            terminal=self.terminals.get(number),
        )
        self.sessions[number] = session
        session.start()
        return True


class Sshd:
    """Listens on `address`:`port` (0: a free one, then in `port`) until `stop`. OSError when the port is taken."""

    def __init__(self, address: str, port: int, host_key: paramiko.PKey, account: Account, place: Place) -> None:
        self.host_key = host_key
        self.account = account
        self.place = place
        self._socket = socket.create_server((address, port), backlog=64)
        self.address = address
        self.port: int = self._socket.getsockname()[1]
        self._transports: set[paramiko.Transport] = set()
        self._lock = threading.Lock()
        self._stopping = False
        self._thread = threading.Thread(target=self._accept, name=f"demo-sshd-{address}", daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return  # stopped
            with self._lock:
                self._transports = {one for one in self._transports if one.is_active()}
                full = self._stopping or len(self._transports) >= MAX_CONNECTIONS
                if not full:
                    self._welcome(connection)
            if full:
                connection.close()

    def _welcome(self, connection: socket.socket) -> None:
        try:
            transport = paramiko.Transport(connection)
        except (OSError, paramiko.SSHException):
            connection.close()
            return
        transport.set_log_channel(LOG)
        transport.local_version = "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u7"
        transport.add_server_key(self.host_key)
        self._transports.add(transport)
        # With an event, the handshake goes on in the transport's own thread.
        transport.start_server(event=threading.Event(), server=_Door(self.account, self.place))

    def stop(self) -> None:
        """Closes the port and every connection. Processes are not its affair."""
        with self._lock:
            self._stopping = True
            open_ones = list(self._transports)
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._socket.close()
        self._thread.join(5)
        for transport in open_ones:
            transport.close()
