"""The wire to the console: one small JSON request, one small JSON answer, and an end to every wait."""

import base64
import contextlib
import errno
import http.client
import json
import signal
import socket
import ssl
import threading
from types import FrameType
from typing import Any, Dict, Iterator, NamedTuple, Optional, Tuple
from urllib.parse import unquote, urlsplit

from . import protocol
from .refusal import Refusal

CONNECT = 15  # seconds for each wait on the network
TOTAL = 60  # seconds for the whole exchange, name lookup included
LOOPBACK = ("127.0.0.1", "::1", "localhost")

GONE = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)

Answer = NamedTuple("Answer", [("status", int), ("body", Dict[str, Any]), ("code", str), ("retry_after", float)])


# Where an exchange failed.
NAME, CONNECTION, PROXY, TLS, SLOW, ANSWER = "dns", "connect", "proxy", "tls", "slow", "answer"


class Unreached(Exception):
    """No answer of the console's came back: `cause` and `fix` are a sentence each, `where` one of the above. Try again
    later."""

    def __init__(self, where: str, cause: str, fix: str) -> None:
        super().__init__(cause + " " + fix)
        self.where = where
        self.cause = cause
        self.fix = fix


class Stale(Unreached):
    """The connection that we had kept was closed meanwhile. Try again at once, as another request."""


def encoded(body: Dict[str, Any]) -> bytes:
    """JSON, as short as it goes."""
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


class Console:
    """One console at `url`. `ca` is PEM text of certificates to trust in place of the system's; `proxy` an
    http://[user:password@]host:port that leads out. One connection is kept from request to request."""

    def __init__(self, url: str, ca: Optional[str] = None, proxy: Optional[str] = None, total: float = TOTAL) -> None:
        parts = urlsplit(url)
        self.host = parts.hostname or ""
        self.secure = parts.scheme == "https"
        self.port = parts.port or (443 if self.secure else 80)
        self.base = parts.path.rstrip("/")
        self.proxy = urlsplit(proxy) if proxy else None
        self.total = total
        self._ca = ca
        self._context: Optional[ssl.SSLContext] = None
        self._kept: Optional[http.client.HTTPConnection] = None
        self.date = ""  # of the last answer, as HTTP has it

    def post(
        self, path: str, data: bytes, headers: Dict[str, str], wait: float = 0.0, limit: int = protocol.MAX_BODY
    ) -> Answer:
        """The console's answer, whatever its status, at most `limit` bytes; it may take `wait` seconds more than usual.

        Unreached when there was none, or it was not the console's.
        """
        sent = dict(headers, **{"Content-Type": "application/json"})
        reply, text = self._exchange("POST", path, data, sent, wait, limit)
        return self._answer(reply, text, limit)

    def fetch(self, path: str, limit: int) -> bytes:
        """A file of the console's, of at most `limit` bytes. Unreached as above, also for any other answer than 200."""
        reply, data = self._exchange("GET", path, b"", {}, 0.0, limit)
        if reply.status != 200 or len(data) > limit:
            self._answer(reply, data, limit)
            raise Unreached(ANSWER, "{} answered {}.".format(self.host, reply.status), "It is tried again.")
        return data

    def close(self) -> None:
        if self._kept is not None:
            self._kept.close()
            self._kept = None

    def _exchange(
        self, method: str, path: str, data: bytes, headers: Dict[str, str], wait: float, limit: int
    ) -> Tuple[http.client.HTTPResponse, bytes]:
        sent = dict(headers, **{"User-Agent": "muster-agent/" + protocol.VERSION})
        kept, self._kept = self._kept, None
        access = self._access()
        if self.proxy and not self.secure:
            sent.update(access, Host=self._authority())
        try:
            with _deadline(self.total + wait):
                connection = kept or self._open(access)
                try:
                    connection.request(method, self._target(path), body=data or None, headers=sent)
                    if connection.sock is not None:
                        connection.sock.settimeout(CONNECT + wait)
                    with connection.getresponse() as reply:
                        text = _read(reply, limit)
                        if reply.isclosed() and connection.sock is not None:  # read to its end, and not to be closed
                            self._kept = connection
                finally:
                    if self._kept is None:
                        connection.close()
        except (OSError, http.client.HTTPException, ssl.CertificateError) as error:
            gone = kept is not None and isinstance(error, GONE)
            raise (Stale if gone else Unreached)(*self._why(error)) from error
        return reply, text

    def _access(self) -> Dict[str, str]:
        """What the proxy asks of us."""
        if not self.proxy or not self.proxy.username:
            return {}
        pair = unquote(self.proxy.username) + ":" + unquote(self.proxy.password or "")
        return {"Proxy-Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}

    def _open(self, access: Dict[str, str]) -> http.client.HTTPConnection:
        host, port = self.host, self.port
        if self.proxy:
            host, port = self.proxy.hostname or "", self.proxy.port or 8080
        if not self.secure:
            return http.client.HTTPConnection(host, port, timeout=CONNECT)
        if self._context is None:
            self._context = ssl.create_default_context(cadata=self._ca)
        connection = http.client.HTTPSConnection(host, port, timeout=CONNECT, context=self._context)
        if self.proxy:
            connection.set_tunnel(self.host, self.port, access)
        return connection

    def _target(self, path: str) -> str:
        whole = self.base + path
        return "http://" + self._authority() + whole if self.proxy and not self.secure else whole

    def _authority(self) -> str:
        name = "[" + self.host + "]" if ":" in self.host else self.host
        return name if self.port == (443 if self.secure else 80) else "{}:{}".format(name, self.port)

    def _answer(self, reply: http.client.HTTPResponse, text: bytes, limit: int) -> Answer:
        self.date = reply.getheader("Date") or ""
        if 300 <= reply.status < 400:
            target = (reply.getheader("Location") or "another address")[:200]
            cause = "{} sends us on to {}.".format(self.host, target)
            raise Unreached(ANSWER, cause, "Install again with that URL.")
        try:
            if len(text) > limit:
                raise ValueError("too long")
            body = json.loads(text.decode())
            if not isinstance(body, dict):
                raise ValueError("not an object")
        except (ValueError, RecursionError):
            cause = "{} answered {} without a reply of the console's.".format(self.host, reply.status)
            raise Unreached(ANSWER, cause, "Check the URL and what stands in between.") from None
        error = body.get("error")
        code = error.get("code") if isinstance(error, dict) else None
        wait = (reply.getheader("Retry-After") or "").strip()
        seconds = float(min(int(wait), protocol.INTERVAL_MAX)) if wait.isdigit() and len(wait) < 10 else 0.0
        return Answer(reply.status, body, code if isinstance(code, str) else "", seconds)

    def _why(self, error: Exception) -> Tuple[str, str, str]:
        here = "the proxy {}".format(self.proxy.hostname) if self.proxy else self.host
        if isinstance(error, socket.gaierror):
            return NAME, "The name of {} could not be resolved.".format(here), "Check DNS on this server."
        if isinstance(error, ConnectionRefusedError):
            cause = "{} refused the connection.".format(here)
            return CONNECTION, cause, "Check the URL, and any firewall on the way."
        if isinstance(error, (socket.timeout, TimeoutError)):
            cause = "{} did not answer in time.".format(here)
            return SLOW, cause, "Check the network and any firewall on the way."
        if isinstance(error, ssl.CertificateError) or "CERTIFICATE_VERIFY_FAILED" in str(error):
            cause = "The certificate of {} could not be verified ({}).".format(self.host, _reason(error))
            return TLS, cause, "Check this server's clock, or give --ca-file."
        if isinstance(error, ssl.SSLError):
            cause = "No TLS connection to {} came about ({}).".format(self.host, _reason(error))
            return TLS, cause, "Check the URL, and what stands in between."
        if str(error).startswith("Tunnel connection failed"):
            cause = "The proxy {} does not let us through ({}).".format(here[len("the proxy ") :], _reason(error))
            return PROXY, cause, "Check its name and password, and what it allows."
        if getattr(error, "errno", None) in (errno.ENETUNREACH, errno.EHOSTUNREACH):
            cause = "There is no way to {} ({}).".format(here, _reason(error))
            return CONNECTION, cause, "Check this server's network."
        cause = "The exchange with {} failed ({}).".format(here, _reason(error))
        return ANSWER, cause, "It is tried again."


def _read(reply: http.client.HTTPResponse, limit: int) -> bytes:
    """All of it, or more than `limit` bytes; piece by piece, since asking for many would set them all aside."""
    found = b""
    while len(found) <= limit:
        piece = reply.read(16384)
        if not piece:
            break
        found += piece
    return found


def _reason(error: Exception) -> str:
    found = getattr(error, "verify_message", "") or getattr(error, "strerror", "") or str(error)
    return (str(found) or type(error).__name__)[:200]


@contextlib.contextmanager
def _deadline(seconds: float) -> Iterator[None]:
    """TimeoutError after so many seconds, even of a far side that sends a byte a second.

    A signal can only be had in the main thread; elsewhere the time-out of each single wait has to do.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(number: int, frame: Optional[FrameType]) -> None:
        raise TimeoutError("too long altogether")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def check_url(url: str, allow_http: bool) -> str:
    """The URL without a trailing slash. Refusal when an agent could not, or should not, report there."""
    fix = "Give the console's address, as in --url https://console.example.com"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise Refusal("What was given as the console's URL is not one.", fix) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or port == 0:
        raise Refusal("What was given as the console's URL is not one.", fix)
    if "@" in parts.netloc or not all(33 <= ord(c) < 127 for c in url):
        raise Refusal("The console's URL carries a name, a password or characters that it may not.", fix)
    if parts.scheme == "http" and parts.hostname not in LOOPBACK and not allow_http:
        raise Refusal("Over http:// anybody on the way could read the token.", "Use https://, or add --allow-http.")
    return url.rstrip("/")


def check_proxy(url: str) -> str:
    """The same for a proxy."""
    try:
        parts = urlsplit(url if "://" in url else "http://" + url)
        port = parts.port
    except ValueError:
        port, parts = None, urlsplit("")
    if parts.scheme != "http" or not parts.hostname or port == 0:
        raise Refusal("Only a proxy reached by http:// can be used.", "Give --proxy http://host:port, or --proxy none.")
    return parts.geturl()
