"""Opening a TCP connection to a checked address, and sockets that keep a page's total deadline."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from ipaddress import ip_address
from typing import Any, Final, TypeVar

from console.lib import addresses
from console.lib.faults import Fault, Refused, Unreachable

CONNECT: Final = 5.0  # seconds for a TCP connection to stand
READ: Final = 15.0  # seconds between two bytes
_RECORDS: Final = 8  # addresses of one name that are tried

_until: ContextVar[float | None] = ContextVar("muster_outbound_until", default=None)
_Socket = TypeVar("_Socket", bound=socket.socket)


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Every connection and every read of a timed socket inside ends `seconds` from now."""
    token = _until.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _until.reset(token)


def left(most: float) -> float:
    """Seconds that an operation may still take, at most `most`. TimeoutError when the deadline has passed."""
    until = _until.get()
    if until is None:
        return most
    remaining = until - time.monotonic()
    if remaining <= 0:
        raise TimeoutError("the page took too long as a whole")
    return min(most, remaining)


class _Timed(socket.socket):
    # http.client reads through recv_into alone. A time-out per read would let a server that sends one byte
    # every 14 s hold a worker for days, so each read gets what is left of the whole page's deadline.
    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        self.settimeout(left(READ))
        return super().recv_into(*args, **kwargs)


class TimedSocket(_Timed):
    """A TCP socket whose reads keep the surrounding `deadline`."""


class TimedTLSSocket(_Timed, ssl.SSLSocket):
    """The same for TLS; OpenSSL's handshake keeps the time-out that is set when it starts."""


def dial(
    host: str,
    port: int,
    approved: Sequence[addresses.Network],
    *,
    timeout: float,
    kind: type[_Socket],
    connect: float = CONNECT,
) -> _Socket:
    """A connected socket of class `kind` to an address of `host` that may be dialled, with `timeout` set on it.

    Refused when any record of the name may not be dialled: a name that mixes public and private records is how
    rebinding attacks look. Unreachable when no name, no answer in `connect` seconds, or no listener.
    """
    records = _look_up(host, port)
    ours = addresses.own()
    for _, sockaddr in records:
        words = addresses.objection(str(sockaddr[0]), approved, ours)
        if words:
            raise Refused(_not_allowed(host, str(sockaddr[0]), words))
    last: OSError | None = None
    for family, sockaddr in records[:_RECORDS]:
        sock = kind(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(left(connect))
            sock.connect(sockaddr)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # The address on the socket is what counts, whatever led to it.
            words = addresses.objection(str(sock.getpeername()[0]), approved, ours)
            if words:
                raise Refused(_not_allowed(host, str(sock.getpeername()[0]), words))
            sock.settimeout(left(timeout))
        except OSError as error:
            sock.close()
            last = error
        except Fault:
            sock.close()
            raise
        else:
            return sock
    raise Unreachable(_no_connection(host, port, last, connect)) from last


def objection(host: str, port: int, approved: Sequence[addresses.Network], seconds: float = 2.0) -> str:
    """Why no address of `host` would be dialled now, as a sentence; "" when one would, or when nobody can tell."""
    try:
        with deadline(seconds):
            records = _look_up(host, port)
    except Unreachable:
        return ""
    for _, sockaddr in records:
        if words := addresses.objection(str(sockaddr[0]), approved):
            return _not_allowed(host, str(sockaddr[0]), words)
    return ""


def _look_up(host: str, port: int) -> list[tuple[int, Any]]:
    bare = host.strip("[]")
    try:
        family = socket.AF_INET if ip_address(bare.partition("%")[0]).version == 4 else socket.AF_INET6
    except ValueError:
        return _resolve(bare, port)
    return [(family, (bare, port) if family == socket.AF_INET else (bare, port, 0, 0))]


def _resolve(host: str, port: int) -> list[tuple[int, Any]]:
    # getaddrinfo has no time-out of its own and a dead resolver holds it for half a minute, so it runs aside.
    answer: list[Any] = []

    def ask() -> None:
        try:
            answer.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answer.append(error)

    asking = threading.Thread(target=ask, name="muster-resolve", daemon=True)
    asking.start()
    try:
        asking.join(left(CONNECT))
    except TimeoutError as error:
        raise Unreachable(f"No time was left to look up {host}.") from error
    if not answer:
        raise Unreachable(f"Looking up the name {host} took longer than {CONNECT:.0f} seconds.")
    if isinstance(answer[0], Exception):
        raise Unreachable(f"The name {host} could not be looked up. Check its spelling and its DNS.") from answer[0]
    records: list[tuple[int, Any]] = []
    for family, _, _, _, sockaddr in answer[0]:
        if family in (socket.AF_INET, socket.AF_INET6) and (family, sockaddr) not in records:
            records.append((family, sockaddr))
    if not records:
        raise Unreachable(f"The name {host} has no address.")
    return records


def _not_allowed(host: str, address: str, words: str) -> str:
    named = address if host.strip("[]") == address else f"{host} leads to {address}, which"
    return (
        f"{named} may not be reached from here: it is {words}. "
        "Staff can approve its network for this provider if that is intended."
    )


def _no_connection(host: str, port: int, error: OSError | None, connect: float) -> str:
    where = f"{host}:{port}"
    if isinstance(error, TimeoutError):
        return f"{where} did not answer within {connect:.0f} seconds."
    if isinstance(error, ConnectionRefusedError):
        return f"{where} refused the connection: nothing listens there."
    reason = (error.strerror if error else None) or "no connection"
    return f"{where} could not be reached: {reason.lower()}."
