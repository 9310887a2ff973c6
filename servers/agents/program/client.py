"""The wire to the console: one small JSON request, one small JSON answer, and an end to every wait."""

import base64
import contextlib
import http.client
import json
import signal
import socket
import ssl
import threading
from types import FrameType
from typing import Any, Dict, Iterator, NamedTuple, Optional
from urllib.parse import unquote, urlsplit

from . import protocol
from .refusal import Refusal

CONNECT = 15  # seconds for each wait on the network
TOTAL = 60  # seconds for the whole exchange, name lookup included
LOOPBACK = ("127.0.0.1", "::1", "localhost")

Answer = NamedTuple("Answer", [("status", int), ("body", Dict[str, Any]), ("code", str), ("retry_after", float)])


class Unreached(Exception):
    """No answer of the console's came back. The words say why, and what may help. Try again later."""


class Console:
    """One console at `url`. `ca` is PEM text of certificates to trust in place of the system's; `proxy` an
    http://[user:password@]host:port that leads out."""

    def __init__(self, url: str, ca: Optional[str] = None, proxy: Optional[str] = None, total: float = TOTAL) -> None:
        parts = urlsplit(url)
        self.host = parts.hostname or ""
        self.secure = parts.scheme == "https"
        self.port = parts.port or (443 if self.secure else 80)
        self.base = parts.path.rstrip("/")
        self.proxy = urlsplit(proxy) if proxy else None
        self.total = total
        self._ca = ca
        self._context = None  # type: Optional[ssl.SSLContext]

    def post(self, path: str, body: Dict[str, Any], token: Optional[str] = None) -> Answer:
        """The console's answer, whatever its status. Unreached when there was none, or it was not the console's."""
        data = json.dumps(body, separators=(",", ":")).encode()
        headers = {"Content-Type": "application/json", "User-Agent": "muster-agent/" + protocol.VERSION}
        if token:
            headers["Authorization"] = "Bearer " + token
        try:
            with _deadline(self.total):
                connection = self._open(headers)
                try:
                    connection.request("POST", self._target(path), body=data, headers=headers)
                    with connection.getresponse() as reply:
                        text = reply.read(protocol.MAX_BODY + 1)
                finally:
                    connection.close()
        except (OSError, http.client.HTTPException, ssl.CertificateError) as error:
            raise Unreached(self._why(error)) from error
        return self._answer(reply, text)

    def _open(self, headers: Dict[str, str]) -> http.client.HTTPConnection:
        host, port = self.host, self.port
        access = {}  # type: Dict[str, str]
        if self.proxy:
            host, port = self.proxy.hostname or "", self.proxy.port or 8080
            if self.proxy.username:
                pair = unquote(self.proxy.username) + ":" + unquote(self.proxy.password or "")
                access["Proxy-Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        if not self.secure:
            headers.update(access)
            if self.proxy:
                headers["Host"] = self._authority()
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

    def _answer(self, reply: http.client.HTTPResponse, text: bytes) -> Answer:
        if 300 <= reply.status < 400:
            target = (reply.getheader("Location") or "another address")[:200]
            raise Unreached("{} sends us on to {}. Install again with that URL.".format(self.host, target))
        try:
            if len(text) > protocol.MAX_BODY:
                raise ValueError("too long")
            body = json.loads(text.decode())
            if not isinstance(body, dict):
                raise ValueError("not an object")
        except (ValueError, RecursionError):
            words = "{} answered {} without a reply of the console's. Check the URL and what stands in between."
            raise Unreached(words.format(self.host, reply.status)) from None
        error = body.get("error")
        code = error.get("code") if isinstance(error, dict) else None
        wait = (reply.getheader("Retry-After") or "").strip()
        seconds = float(min(int(wait), protocol.INTERVAL_MAX)) if wait.isdigit() and len(wait) < 10 else 0.0
        return Answer(reply.status, body, code if isinstance(code, str) else "", seconds)

    def _why(self, error: Exception) -> str:
        here = "the proxy {}".format(self.proxy.hostname) if self.proxy else self.host
        if isinstance(error, socket.gaierror):
            return "The name of {} could not be resolved. Check DNS on this server.".format(here)
        if isinstance(error, ConnectionRefusedError):
            return "{} refused the connection. Check the URL, and any firewall on the way.".format(here)
        if isinstance(error, (socket.timeout, TimeoutError)):
            return "{} did not answer in time. Check the network and any firewall on the way.".format(here)
        if isinstance(error, ssl.CertificateError) or "CERTIFICATE_VERIFY_FAILED" in str(error):
            words = "The certificate of {} could not be verified ({}). Check this server's clock, or give --ca-file."
            return words.format(self.host, _reason(error))
        return "The exchange with {} failed ({}). It is tried again.".format(here, _reason(error))


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
