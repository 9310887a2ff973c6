"""The way through a jump host: one connection to it, from which a channel goes to each server behind it (direct-tcpip).

The jump host is dialled through the same guarded transport as every other address, and its host key is verified, before
anybody signs in there. One connection for all of a batch's servers in this process: two hundred of them at once would
run into its MaxStartups. Channels of this kind do not count for its MaxSessions.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, cast

from paramiko import Channel, ChannelException, Message, SSHException, Transport
from paramiko.common import cMSG_CHANNEL_CLOSE

from servers.installs.hostkeys import HostKey
from servers.installs.signin import Login
from servers.installs.ssh import Session
from servers.installs.terms import Brake, Dial, Limits, Target
from servers.installs.trouble import Trouble, quote, trouble
from servers.installs.watchdog import WATCHDOG

FORBIDDEN = 1  # SSH_OPEN_ADMINISTRATIVELY_PROHIBITED (RFC 4254, 5.1)
ALIVE = 15  # seconds between signs of life, so that firewalls keep it and a dead one is noticed


class JumpTrouble(Trouble):
    """It is the jump host that failed, not the server behind it. The words say so."""

    def __init__(self, problem: Trouble) -> None:
        cause = f"By way of the jump host: {problem.cause}"
        super().__init__(problem.stage, problem.code, cause, problem.fix, problem.presented)


class Ordered:
    """The transport as one channel sees it: nothing of this channel is sent after its CHANNEL_CLOSE (RFC 4254, 5.3).

    paramiko 5 looks whether a channel is closed, and sends without the lock; between the two another thread may close
    it. sshd gives a closed channel's number to the next one at once: the late bytes would stand in another server's
    stream, or, when the number is free, end the connection for all of them.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._turn = threading.Lock()
        self._closed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _send_user_message(self, message: Message) -> None:
        with self._turn:
            if self._closed:
                return
            self._closed = message.asbytes()[:1] == cMSG_CHANNEL_CLOSE
            self._transport._send_user_message(message)  # type: ignore[attr-defined]


class Jump:
    """Opens the connection when it is first needed, and again after it was lost. Threads may share it.

    `accept(key)` is asked about its host key when none is on record. What went wrong once is told to everybody who
    asks after that: a password that is wrong is not tried for each of two hundred servers.
    """

    def __init__(
        self, target: Target, login: Login, dial: Dial, accept: Callable[[HostKey], bool], limits: Limits
    ) -> None:
        self.target, self.login, self.limits = target, login, limits
        self._dial, self._accept = dial, accept
        self._turn = threading.Lock()
        self._session: Session | None = None
        self._transport: Transport | None = None
        self._failed: Trouble | None = None
        self.host_key: HostKey | None = None  # what it showed, once it is up

    @property
    def asks(self) -> bool:
        """It ended at a host key that nobody knew: once somebody confirmed it, try another one."""
        return self._failed is not None and self._failed.code == "unknown_host_key"

    def dial(self, host: str, port: int, timeout: float) -> Channel:
        """A channel to that address, as the jump host sees it. Raises Trouble."""
        transport = self._up()
        about = {"jump": self.target.host, "host": host, "port": port}
        try:
            channel = transport.open_channel("direct-tcpip", (host, port), ("127.0.0.1", 0), timeout=timeout)
        except ChannelException as problem:
            code = "jump_forbids" if problem.code == FORBIDDEN else "jump_no_way"
            raise trouble(code, said=quote(problem.text), **about) from problem
        except (SSHException, EOFError, OSError) as problem:
            if transport.is_active():
                raise trouble("jump_no_way", said=f"no answer within {timeout:g} s", **about) from problem
            raise trouble("jump_lost", **about) from problem
        channel.transport = cast(Transport, Ordered(transport))  # what it sends goes through it from here on
        channel.settimeout(timeout)
        return channel

    def _up(self) -> Transport:
        with self._turn:
            if self._failed is not None:
                raise self._failed
            if self._transport is None or not self._transport.is_active():
                self._hang_up()
                self._session = Session(self.target, self.login, self.limits, WATCHDOG, None, Brake())
                try:
                    self._transport, self.host_key = self._session.go(self._dial, self._accept, _keep)
                except Trouble as problem:
                    self._failed = JumpTrouble(problem)
                    self._session.close()
                    raise self._failed from problem
                self._session.disarm()  # the deadlines were for coming up: it stays as long as it is needed
            return self._transport

    def close(self) -> None:
        """Hang up. Whoever still goes through it loses the line."""
        with self._turn:
            self._hang_up()

    def _hang_up(self) -> None:
        if self._session is not None:
            self._session.close()
        self._session = self._transport = None


def _keep(transport: Transport, key: HostKey) -> tuple[Transport, HostKey]:
    transport.set_keepalive(ALIVE)
    return transport, key
