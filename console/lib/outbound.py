"""The one guarded transport under everything we fetch or dial (SECURITY.md §5).

What is checked is the address on the socket, not the name in the URL: a name is looked up once, every record must
pass `addresses.objection`, and the connection goes to that record (no second look-up, so no DNS rebinding).
Every failure is a fault of `console.lib.faults`, raised from the original.
"""

from __future__ import annotations

import socket
import ssl
import time
import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final
from urllib.parse import urlsplit
from weakref import WeakSet

import certifi
import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from console.lib import addresses, dialling
from console.lib.dialling import CONNECT, READ, TimedSocket, TimedTLSSocket, deadline, dial
from console.lib.faults import Fault, Refused, Unexpected, Unreachable

TOTAL: Final = 60.0  # seconds for a whole page, from the name look-up to its last byte
LARGEST: Final = 8 * 1024 * 1024  # bytes of one page, after decompression
_CHUNK: Final = 256 * 1024
_SHORT: Final = 16 * 1024  # bytes of a body that nobody wants
_DROPPED_WITHIN: Final = 0.5  # seconds
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_PORTS: Final = {"http": 80, "https": 443}

Origin = tuple[str, str, int]
# What OpenSSL calls it when nothing is left that both sides would speak.
_TOO_OLD = frozenset({
    "UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "WRONG_VERSION_NUMBER", "NO_PROTOCOLS_AVAILABLE",
    "SSLV3_ALERT_HANDSHAKE_FAILURE", "DH_KEY_TOO_SMALL", "EE_KEY_TOO_SMALL", "UNSAFE_LEGACY_RENEGOTIATION_DISABLED",
})  # fmt: skip


class Transport:
    """What one endpoint may reach.

    `networks`: CIDRs that staff approved beside the public internet. `ca`: PEM text; when given, only these
    authorities are trusted. `allow_http`: plain HTTP is allowed. `old_tls`: so are TLS 1.0 and 1.1 with the ciphers and
    signatures of their time, for clouds that speak nothing newer; certificates are checked all the same. `deadline`:
    seconds for a whole page. `origins`: further origins (scheme://host:port) that staff registered and that may see
    this endpoint's credentials.
    `before_call` is told the verb of each request before it is made, and may wait, or raise a fault: then it is not.
    `listeners`: single HOST:PORT on this machine (IPv4 addresses) that are ours and may be dialled all the same.
    Without `bodies` a reply is its status and headers: what follows them is not waited for.
    Raises Unexpected when a network, an origin or the CA cannot be read.
    """

    def __init__(
        self,
        networks: Sequence[str] = (),
        ca: str | None = None,
        allow_http: bool = False,
        deadline: float = TOTAL,
        *,
        origins: Sequence[str] = (),
        before_call: Callable[[str], None] | None = None,
        bodies: bool = True,
        old_tls: bool = False,
        listeners: Sequence[str] = (),
    ) -> None:
        self.allow_http, self.old_tls = allow_http, old_tls
        self.bodies = bodies
        self.before_call = before_call
        self.deadline = deadline
        try:
            self.approved = addresses.networks(networks)
        except ValueError as error:
            raise Unexpected(f"An approved network of this endpoint cannot be read: {error}.") from error
        try:
            self.tls = _tls(ca or None, old_tls)
        except (ssl.SSLError, ValueError) as error:
            raise Unexpected("The CA certificate of this endpoint cannot be read. Register it as PEM text.") from error
        self.origins = frozenset(origin(url) for url in origins)
        self.listeners = frozenset(listeners)
        self._sessions: WeakSet[Session] = WeakSet()

    def session(self, origin: str | None = None) -> Session:
        """A requests session behind the guard. With `origin` (a URL) no other origin sees its requests, except the
        same host on another port, those that staff registered, and those a driver names by `session.allow(url)`."""
        made = Session(self, origin)
        self._sessions.add(made)
        return made

    def hang_up(self) -> None:
        """Close the connections that its sessions have at rest. They stay usable: the next call makes another one."""
        for session in list(self._sessions):
            session.close()

    def objection(self, url: str) -> str:
        """Why `url` must not be asked, as a sentence; "" when it may be, or when its name cannot be looked up just now.
        The guard is the check at each connection: this one tells a person early. Unexpected when it is no URL."""
        scheme, host, port = origin(url)
        if scheme != "https" and not self.allow_http:
            return f"{_where(url)} is not encrypted. Use an HTTPS address."
        return dialling.objection(host, port, self.approved_at(host, port))

    def approved_at(self, host: str, port: int) -> tuple[addresses.Network, ...]:
        """The networks that a connection to that host and port may end in."""
        if f"{host}:{port}" not in self.listeners:
            return self.approved
        return (*self.approved, *addresses.networks([f"{host}/32"]))

    def dial(self, host: str, port: int, timeout: float = READ) -> socket.socket:
        """A TCP connection to a checked address of `host`, with `timeout` seconds for it and for every operation.
        Raises Refused (this address is not allowed) or Unreachable."""
        with deadline(timeout):
            sock = dial(host, port, self.approved, timeout=timeout, kind=socket.socket, connect=timeout)
        sock.settimeout(timeout)
        return sock


class Session(requests.Session):
    """`calls` counts the requests that were sent. Replies come whole, or not at all."""

    def __init__(self, transport: Transport, pinned: str | None) -> None:
        super().__init__()
        self.trust_env = False  # no proxies, netrc or CA bundles from the environment
        self.calls = 0
        self.headers["Accept-Encoding"] = "gzip, deflate"
        self._transport = transport
        self._pinned = origin(pinned) if pinned is not None else None
        self._allowed: set[Origin] = set(transport.origins)
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter(transport, self))

    def allow(self, url: str) -> None:
        """Let the origin of `url` see this session's requests. Only for origins that a trusted side named."""
        self._allowed.add(origin(url))

    def check(self, scheme: str, host: str, port: int) -> None:
        """Refused unless this session may talk to that origin."""
        if scheme != "https" and not self._transport.allow_http:
            raise Refused(
                f"{scheme}://{host}:{port} is not encrypted. Register the HTTPS address, "
                "or let staff allow plain HTTP for this endpoint."
            )
        if self._pinned is None or host == self._pinned[1] or (scheme, host, port) in self._allowed:
            return
        raise Refused(
            f"The cloud sends us on to {scheme}://{host}:{port}, but only {_written(self._pinned)} is registered. "
            "Staff can register that address too if it belongs to the same cloud."
        )

    def prepare_request(self, request: requests.Request) -> requests.PreparedRequest:
        """As in requests; an address that cannot be asked raises a fault here already."""
        try:
            return super().prepare_request(request)
        except (requests.RequestException, UnicodeError) as error:
            raise _fault(error, (request.url or "")[:60], None) from error

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:
        """One request and its whole reply, under all caps. What callers say about redirects, verification, proxies
        and time-outs does not count. Raises Unreachable, Refused or Unexpected."""
        if self._transport.before_call is not None:
            self._transport.before_call(request.method or "GET")
        self.calls += 1
        started = time.monotonic()
        where = _where(request.url or "")
        try:
            with deadline(self._transport.deadline):
                response = super().send(
                    request, stream=True, allow_redirects=False, timeout=(CONNECT, READ), verify=True, proxies={}
                )
                try:
                    if response.status_code in _REDIRECTS:
                        raise Refused(_redirects(where, response.headers.get("Location", "")))
                    response._content = _whole(response, where) if self._transport.bodies else _drop(response)
                except BaseException:
                    response.close()  # half a reply must not go back to the pool
                    raise
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            slow = time.monotonic() - started >= self._transport.deadline
            raise _fault(error, where, self._transport.deadline if slow else None) from error
        response._content_consumed = True  # type: ignore[attr-defined]
        return response


def origin(url: str) -> Origin:
    """(scheme, host, port) of a URL, in lower case. Unexpected when it has none."""
    try:
        parts = urlsplit(url)
        scheme, host = parts.scheme.lower(), (parts.hostname or "").rstrip(".")
        port = parts.port or _PORTS[scheme]
    except (ValueError, KeyError) as error:
        raise Unexpected(f"{url[:200]!r} is not an HTTP address.") from error
    if not host:
        raise Unexpected(f"{url[:200]!r} names no host.")
    return scheme, host, port


class _Adapter(HTTPAdapter):
    def __init__(self, transport: Transport, session: Session) -> None:
        self._transport = transport
        self._session = session
        super().__init__(max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **_: Any) -> None:
        manager = urllib3.PoolManager(
            num_pools=connections, maxsize=maxsize, block=block, ssl_context=self._transport.tls
        )
        manager.pool_classes_by_scheme = _pools(self._transport)
        self.poolmanager = manager

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: Any, cert: Any = None
    ) -> Any:
        # The host that this returns is the one that is connected to, so this is where the origin is checked.
        # The second half would carry requests' own TLS settings: our context stands instead.
        target, _ = super().build_connection_pool_key_attributes(request, True, None)
        scheme = str(target["scheme"])
        host = str(target["host"]).strip("[]").rstrip(".").lower()
        self._session.check(scheme, host, int(target["port"] or _PORTS[scheme]))
        return target, {}

    def close(self) -> None:
        """Every connection at rest is closed now; urllib3 would leave that to whoever holds the last reply."""
        pools = self.poolmanager.pools
        for key in pools.keys():  # noqa: SIM118  # no dict: it cannot be iterated
            pools[key].close()
        super().close()

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Nothing to set: the pool holds our context, which verifies always."""


def _pools(transport: Transport) -> dict[str, Any]:
    def connected(connection: HTTPConnection) -> socket.socket:
        # `_dns_host` keeps the trailing dot of a name; `host`, which TLS verifies and Host carries, does not.
        host, port = connection._dns_host, connection.port
        return dial(host, port, transport.approved_at(host, port), timeout=READ, kind=TimedSocket)

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return connected(self)

    class Encrypted(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return connected(self)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class EncryptedPool(HTTPSConnectionPool):
        ConnectionCls = Encrypted

    return {"http": PlainPool, "https": EncryptedPool}


@lru_cache(maxsize=256)
def _tls(ca: str | None, old: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=ca)
    if old:
        with warnings.catch_warnings():  # that it is old is why somebody asked for it
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1
        context.set_ciphers("DEFAULT@SECLEVEL=0")  # OpenSSL 3 takes SHA-1 and short keys at this level only
        context.options |= 0x4  # OP_LEGACY_SERVER_CONNECT, which `ssl` names from Python 3.12 on
    if ca is None:
        context.load_verify_locations(certifi.where())  # slim machines have no bundle of their own
    context.sslsocket_class = TimedTLSSocket
    return context


def _whole(response: requests.Response, where: str) -> bytes:
    declared = response.headers.get("Content-Length", "")
    size = int(declared) if declared.isascii() and declared.isdigit() else 0
    chunks: list[bytes] = []
    if size <= LARGEST:
        size = 0
        # urllib3 decompresses no more than a chunk at a time, so a gzip bomb is cut here and never unpacked.
        for chunk in response.raw.stream(_CHUNK, decode_content=True):
            size += len(chunk)
            if size > LARGEST:
                break
            chunks.append(chunk)
    if size > LARGEST:
        raise Unexpected(f"{where} answered with more than {LARGEST // 1024 // 1024} MiB on one page.")
    return b"".join(chunks)


def _drop(response: requests.Response) -> bytes:
    """Nothing. A short body is read away, so that the connection serves the next request; any other is hung up on."""
    try:
        with deadline(_DROPPED_WITHIN):
            response.raw.read(_SHORT)
    except (urllib3.exceptions.HTTPError, OSError):
        response.raw.close()
    response.close()
    return b""


def _fault(error: Exception, where: str, late: float | None) -> Fault:
    if late is not None:
        return Unreachable(f"{where} took longer than {late:.0f} seconds for one page.")
    if isinstance(error, requests.exceptions.SSLError | urllib3.exceptions.SSLError | ssl.SSLError):
        return Unreachable(f"No safe connection to {where}: {_tls_words(error)}")
    if isinstance(error, requests.Timeout | urllib3.exceptions.TimeoutError | TimeoutError):
        return Unreachable(f"{where} sent nothing for {READ:.0f} seconds.")
    if isinstance(error, urllib3.exceptions.DecodeError | requests.exceptions.ContentDecodingError):
        return Unexpected(f"{where} sent a compressed page that cannot be unpacked.")
    if isinstance(error, requests.exceptions.InvalidSchema | requests.exceptions.MissingSchema):
        return Refused(f"{where} is not an HTTP address.")
    if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.InvalidHeader | UnicodeError):
        return Unexpected(f"{where} cannot be asked: its address or a header is malformed.")
    if isinstance(error, requests.ConnectionError | urllib3.exceptions.ProtocolError | OSError):
        return Unreachable(f"The connection to {where} broke off before the reply was complete.")
    return Unexpected(f"{where} could not be asked: {type(error).__name__}.")


def _tls_words(error: BaseException) -> str:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError):
            return (
                f"its certificate was not accepted ({seen.verify_message.rstrip('.')}). "
                "Staff can register the authority that signed it."
            )
        if isinstance(seen, ssl.SSLError) and seen.reason in _TOO_OLD:
            return "it speaks only TLS that is too old to be safe. Staff can allow that for this endpoint."
        inner = next((arg for arg in (getattr(seen, "reason", None), *seen.args) if isinstance(arg, Exception)), None)
        seen = inner or seen.__cause__ or seen.__context__
    return "the TLS handshake failed."


def _redirects(where: str, location: str) -> str:
    return f"{where} redirects to {location[:200] or 'another address'}. Redirects are not followed: register that one."


def _where(url: str) -> str:
    # Without path and query: those can hold tenant ids and, in some protocols, signatures.
    try:
        return _written(origin(url))
    except Unexpected:
        return url[:60]


def _written(where: Origin) -> str:
    scheme, host, port = where
    bracketed = f"[{host}]" if ":" in host else host
    return f"{scheme}://{bracketed}" + ("" if port == _PORTS.get(scheme) else f":{port}")
