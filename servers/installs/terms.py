"""The terms of one install over SSH: where to, how long at most, how to stop it, and what comes of it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from paramiko import Channel

from servers.installs.hostkeys import HostKey
from servers.installs.trouble import Stage

Dial = Callable[[str, int, float], socket.socket | Channel]


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds: to connect, for the banner (and again for the handshake), to sign in, for any other step, for all."""

    connect: float = 15
    banner: float = 15
    auth: float = 30
    step: float = 120
    total: float = 600


@dataclass(frozen=True, slots=True)
class Target:
    """Where to go. `known` are the host key fingerprints on record for this server (`SHA256:…`), empty when none;
    `key_types` their types, so that a server with several keys shows one that we can compare."""

    host: str
    port: int = 22
    known: frozenset[str] = frozenset()
    key_types: tuple[str, ...] = ()


class State(StrEnum):
    """What is known of the installer when a connection ends well. Of one that is `over` nothing was left to read: it
    ended well, or the server was started anew meanwhile."""

    INSTALLED = "installed"
    RUNNING = "running"
    OVER = "over"


@dataclass(frozen=True, slots=True)
class Outcome:
    """`agent` is the installer's last line once it is installed (`version`, `mode`, `receipt`), `name` the folder in
    which it goes on while it is running; `stages` are the stages gone through with the seconds that each took."""

    state: State
    host_key: HostKey
    agent: dict[str, Any]
    name: str
    python: str = ""
    sudo: bool = False
    stages: tuple[tuple[Stage, float], ...] = ()


class Brake:
    """Ends an install that runs on another thread, at once and for good: its row was canceled, or taken over."""

    def __init__(self) -> None:
        self.pulled = False
        self._cut: Callable[[], None] | None = None

    def fit(self, cut: Callable[[], None]) -> None:
        self._cut = cut
        if self.pulled:
            cut()

    def pull(self) -> None:
        self.pulled = True
        if self._cut is not None:
            self._cut()
