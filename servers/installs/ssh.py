"""Errands on a server over SSH: one connection, one command, and a hard end to every wait.

Look who is there, install, and come back for an installer that went on by itself.

Plain Python on paramiko. The database, Celery and the first heartbeat are the business of install.py and tasks.py.
The law of this module is: no key agent and no key files of this machine, no host key taken on trust, no secret in
an argument, weak ciphers never offered, and every deadline kept by another thread (watchdog.py).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from secrets import token_hex
from typing import Any, TypeVar

from paramiko import AuthenticationException, Channel, ChannelException, SSHException, Transport

from console.lib.faults import Fault, Refused
from servers.installs import bootstrap
from servers.installs.bootstrap import Payload
from servers.installs.hostkeys import HostKey
from servers.installs.signin import Login, sign_in
from servers.installs.talk import converse
from servers.installs.terms import Brake, Dial, Limits, Outcome, State, Target
from servers.installs.trouble import Stage, Trouble, quote, trouble
from servers.installs.watchdog import WATCHDOG, Guard, Watchdog
from servers.installs.wire import Wire, read_banner

log = logging.getLogger(__name__)
# paramiko writes a traceback for every host that hangs up; each failure is told once, in its own row.
WIRE_LOG = "servers.installs.wire"
logging.getLogger(WIRE_LOG).setLevel(logging.CRITICAL)

T = TypeVar("T")
Accept = Callable[[HostKey], bool]
DROPPED = {
    "ciphers": ["aes128-cbc", "aes192-cbc", "aes256-cbc", "3des-cbc"],
    "macs": ["hmac-md5", "hmac-md5-96", "hmac-sha1-96"],
}


def install(
    target: Target,
    login: Login,
    payload: Payload,
    *,
    dial: Dial,
    accept: Accept | None = None,
    on_stage: Callable[[Stage], None] | None = None,
    limits: Limits | None = None,
    brake: Brake | None = None,
    watchdog: Watchdog = WATCHDOG,
    name: str = "",
    detach: bool = False,
) -> Outcome:
    """Install and start the agent on one server, or raise Trouble with stage, cause and fix. Repeating is safe.

    `dial(host, port, timeout)` opens the connection (console.lib.outbound.Transport.dial). `accept(key)` is asked
    about a host key when none is on record, before any credential is sent; without it, or when it says no, the
    install ends with `unknown_host_key` and the key as `presented`. `on_stage(stage)` is called as each stage starts,
    on this thread. `brake` ends it from another one. With `detach` the connection ends as soon as the installer was let
    in, which then goes on in the folder `name`: ask `collect` what became of it.
    """
    session = Session(target, login, limits or Limits(), watchdog, on_stage, brake or Brake())
    name = name or f"muster-{token_hex(16)}"
    return session.run(dial, accept, lambda transport, key: session.install(transport, key, payload, name, detach))


def look(
    target: Target,
    *,
    dial: Dial,
    accept: Accept | None = None,
    on_stage: Callable[[Stage], None] | None = None,
    limits: Limits | None = None,
    brake: Brake | None = None,
    watchdog: Watchdog = WATCHDOG,
) -> HostKey:
    """The host key that a server shows, known or accepted. Nobody signs in. Raises Trouble as `install`."""
    session = Session(target, None, limits or Limits(), watchdog, on_stage, brake or Brake())
    return session.run(dial, accept, lambda transport, key: key)


def collect(
    target: Target,
    login: Login,
    name: str,
    *,
    dial: Dial,
    limits: Limits | None = None,
    brake: Brake | None = None,
    watchdog: Watchdog = WATCHDOG,
) -> Outcome:
    """What became of an installer that went on by itself in the folder `name`. Raises Trouble when it failed."""
    session = Session(target, login, limits or Limits(), watchdog, None, brake or Brake())
    return session.run(dial, None, lambda transport, key: session.collect(transport, key, name))


class Session:
    """One connection and its deadlines. `login` None: nobody signs in."""

    def __init__(
        self,
        target: Target,
        login: Login | None,
        limits: Limits,
        watchdog: Watchdog,
        on_stage: Callable[[Stage], None] | None,
        brake: Brake,
    ) -> None:
        self.target, self.login = target, login
        self.limits, self.watchdog, self.on_stage, self.brake = limits, watchdog, on_stage, brake
        self.user = login.user if login else ""
        self.secrets = tuple(s for s in (login.password, login.sudo_password) if s) if login else ()
        self.wire: Wire | None = None
        self.transport: Transport | None = None
        self.channel: Channel | None = None
        self.stage = Stage.CONNECT
        self.since = time.monotonic()
        self.stages: list[tuple[Stage, float]] = []
        self.total: Guard | None = None
        self.step: Guard | None = None
        self.step_seconds = 0.0

    def run(self, dial: Dial, accept: Accept | None, errand: Callable[[Transport, HostKey], T]) -> T:
        """Connect, verify the host, sign in, do the errand, and hang up."""
        try:
            return self.go(dial, accept, errand)
        finally:
            self.close()

    def go(self, dial: Dial, accept: Accept | None, errand: Callable[[Transport, HostKey], T]) -> T:
        """As `run`, and the connection stays until `close`."""
        try:
            self.enter(Stage.CONNECT, self.limits.connect)
            self.total = self.watchdog.arm(self.limits.total, self.cut)
            transport = self.connect(dial)
            host_key = self.verify(transport, accept)
            if self.login is not None:
                self.enter(Stage.SIGN_IN, self.limits.auth)
                try:
                    sign_in(transport, self.login)
                except AuthenticationException as problem:
                    raise self.explain(problem) from problem
            return errand(transport, host_key)
        except Trouble:
            raise
        except (SSHException, EOFError, OSError) as problem:
            raise self.explain(problem) from problem
        except Exception as problem:  # noqa: BLE001 - malformed packets raise anything out of paramiko's parsers
            log.warning("unexpected error in an SSH session", exc_info=True)
            raise self.explain(problem) from problem

    # the ends of waits

    def enter(self, stage: Stage, seconds: float) -> None:
        """Begin a stage, and its deadline."""
        self.check_brake()
        now = time.monotonic()
        if stage is not self.stage:
            self.stages.append((self.stage, round(now - self.since, 3)))
        self.stage, self.since = stage, now
        self.guard(seconds)
        if self.on_stage is not None:
            self.on_stage(stage)

    def check_brake(self) -> None:
        if self.brake.pulled:
            raise trouble("stopped", self.stage)

    def guard(self, seconds: float) -> None:
        if self.step is not None:
            self.step.disarm()
        self.step_seconds = seconds
        self.step = self.watchdog.arm(seconds, self.cut)

    def cut(self) -> None:
        """Let go of everything that anyone may be waiting on. Called by the watchdog, perhaps more than once."""
        if self.wire is not None:
            self.wire.cut()
        if self.transport is not None:
            self.transport.close()
        if self.channel is not None:
            self.channel.event.set()
            self.channel.status_event.set()

    def disarm(self) -> None:
        for guard in (self.step, self.total):
            if guard is not None:
                guard.disarm()

    def close(self) -> None:
        self.disarm()
        if self.transport is not None:
            self.transport.packetizer.complete_handshake()  # else its timer thread lives on for 15 s
            self.transport.close()
        if self.wire is not None:
            self.wire.close()

    def explain(self, problem: BaseException) -> Trouble:
        """The Trouble behind an error of the connection, whose own words say little."""
        if self.brake.pulled:
            return trouble("stopped", self.stage)
        if self.total is not None and self.total.expired:
            return trouble("total_timeout", self.stage, seconds=f"{self.limits.total:g}")
        about = {
            "host": self.target.host,
            "port": self.target.port,
            "user": self.user,
            "seconds": f"{self.step_seconds:g}",
            "said": quote(str(problem) or type(problem).__name__, self.secrets),
        }
        late = self.step is not None and self.step.expired
        if self.stage is Stage.CONNECT:
            return trouble("handshake_timeout" if late else "handshake", **about)
        if self.stage is Stage.SIGN_IN:
            return trouble("sign_in_timeout" if late else "sign_in_closed", **about)
        if late:
            return trouble("step_timeout", self.stage, **about)
        return trouble("lost", self.stage, said=f" during the stage {self.stage.label}")

    # the stages

    def connect(self, dial: Dial) -> Transport:
        host, port = self.target.host, self.target.port
        try:
            self.wire = Wire(dial(host, port, self.limits.connect))
        except (OSError, Fault) as problem:
            raise self.no_line(problem) from problem
        self.brake.fit(self.cut)
        self.guard(self.limits.banner + 1)  # it keeps its own time, and knows better words
        read_banner(self.wire, host, port, self.limits.banner)
        self.guard(self.limits.banner)
        transport = Transport(self.wire, disabled_algorithms=DROPPED)  # type: ignore[arg-type]  # as good as a socket
        transport.set_log_channel(WIRE_LOG)
        self.transport = transport
        options = transport.get_security_options()
        wanted = {"rsa-sha2-512", "rsa-sha2-256"} if "ssh-rsa" in self.target.key_types else set()
        wanted |= set(self.target.key_types)
        options.key_types = tuple(sorted(options.key_types, key=lambda name: name not in wanted))
        transport.auth_timeout = self.limits.auth + self.limits.step  # ours comes first, and holds
        transport.start_client()
        return transport

    def no_line(self, problem: BaseException) -> Trouble:
        host, port = self.target.host, self.target.port
        said = problem.words if isinstance(problem, Fault) else quote(str(problem))
        root: BaseException | None = problem
        while root is not None and not isinstance(root, OSError):
            root = root.__cause__
        about = {"host": host, "port": port, "said": said, "seconds": f"{self.limits.connect:g}"}
        if isinstance(problem, Refused):
            return trouble("not_allowed", **about)
        if isinstance(root, ConnectionRefusedError):
            return trouble("refused", **about)
        return trouble("timeout" if isinstance(root, TimeoutError) else "unreachable", **about)

    def verify(self, transport: Transport, accept: Accept | None) -> HostKey:
        presented = HostKey.of(transport.get_remote_server_key())
        self.enter(Stage.VERIFY_HOST, self.limits.step)
        about = {"key_type": presented.type, "fingerprint": presented.fingerprint}
        if self.target.known:
            if not presented.names & self.target.known:
                raise trouble("changed_host_key", None, presented, **about)
        elif accept is None or not accept(presented):
            raise trouble("unknown_host_key", None, presented, **about)
        return presented

    def install(self, transport: Transport, host_key: HostKey, payload: Payload, name: str, detach: bool) -> Outcome:
        assert self.login is not None  # noqa: S101 - whoever installs signs in
        self.enter(Stage.PROBE, self.limits.step)
        self.secrets += (payload.token,)
        patience = self.limits.total * 0.9 if detach else self.limits.step * 0.9
        data = bootstrap.stream(
            payload,
            name,
            use_sudo=self.login.use_sudo,
            sudo_password=self.login.sudo_password,
            reach=min(15.0, self.limits.step * 0.45),
            patience=patience,
            detach=detach,
        )
        seen = self.ask(transport, data, payload)
        result = seen.get("result", {}).get("result", {})
        self.stages.append((self.stage, round(time.monotonic() - self.since, 3)))
        return Outcome(
            State.INSTALLED if result else State.RUNNING,
            host_key=host_key,
            agent=result,
            name=name,
            python=str(seen.get("hello", {}).get("python", "")),
            sudo=bool(seen.get("probed", {}).get("sudo")),
            stages=tuple(self.stages),
        )

    def collect(self, transport: Transport, host_key: HostKey, name: str) -> Outcome:
        self.guard(self.limits.step)
        self.stage = Stage.INSTALL
        seen = self.ask(transport, bootstrap.asking(name), None)
        result = seen.get("result", {}).get("result", {})
        state = State.INSTALLED if result else State.RUNNING if "running" in seen else State.OVER
        return Outcome(state, host_key, agent=result, name=name)

    def ask(self, transport: Transport, data: bytes, payload: Payload | None) -> dict[str, dict[str, Any]]:
        """Run the program on the server; its events by name. Raises Trouble when it had to stop."""
        try:
            channel = self.channel = transport.open_session(timeout=self.limits.step)
        except ChannelException as problem:
            raise trouble("no_session", user=self.user, said=quote(problem.text)) from problem
        nonce = bootstrap.new_nonce()
        channel.exec_command(bootstrap.command(nonce))
        answer = bootstrap.Answer(nonce)
        converse(channel, data, answer, self.follow, self.user)
        for event in answer.events:
            if event["event"] == "stop" or (event["event"] == "result" and not event["result"].get("ok")):
                raise bootstrap.judge(event, self.stage, user=self.user, payload=payload, secrets=self.secrets)
        if not answer.over:
            raise self.no_result(transport, channel, answer)
        return {event["event"]: event for event in answer.events}

    def no_result(self, transport: Transport, channel: Channel, answer: bootstrap.Answer) -> Trouble:
        """The stream ended without a last word: who cut it?"""
        if self.brake.pulled or (self.step and self.step.expired) or (self.total and self.total.expired):
            return self.explain(TimeoutError())
        if no_entry := answer.no_entry(self.user):
            return no_entry
        if channel.exit_status == -1:
            if not channel.eof_received:
                transport.join(1.0)  # a connection that breaks wakes us before it says that it is broken
            if not transport.is_active():
                return self.explain(EOFError())
        ended = f"exit code {channel.exit_status}" if channel.exit_status != -1 else "killed by a signal"
        said = quote(answer.errors or answer.first, self.secrets)
        if answer.events:
            return trouble("ended", self.stage, said=f"{ended}: {said}")
        return trouble("odd_shell", said=f"{said} ({ended})")

    def follow(self, event: dict[str, Any]) -> None:
        if event["event"] == "probed" and self.stage is Stage.PROBE:
            self.enter(Stage.UPLOAD, self.limits.step)
        elif event["event"] == "uploaded" and self.stage is Stage.UPLOAD:
            self.enter(Stage.INSTALL, self.limits.step)
