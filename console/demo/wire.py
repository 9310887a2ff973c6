"""The HTTP plumbing of simulated clouds: requests in, replies out, and mishaps between them. Loopback only."""

from __future__ import annotations

import gzip
import json
import socket
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from console.demo.mishaps import Kind, Mishap, Mishaps

MAX_BODY = 8 * 2**20


@dataclass(frozen=True, slots=True)
class Request:
    """One request. `base` is the scheme and host that the caller used; links in replies start with it."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    body: bytes
    base: str

    def param(self, name: str) -> str | None:
        """The first value of a query parameter."""
        return next((value for key, value in self.query if key == name), None)

    def params(self, name: str) -> list[str]:
        """All values of a query parameter, in order."""
        return [value for key, value in self.query if key == name]

    def json(self) -> Any:
        """The body as JSON, or None when it is not."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply; Content-Length is added when it is sent."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def with_headers(self, more: Mapping[str, str]) -> Reply:
        """The same reply with more headers; its own ones win."""
        return Reply(self.status, self.body, {**more, **self.headers})


def as_json(status: int, value: object, headers: Mapping[str, str] | None = None) -> Reply:
    """A JSON reply."""
    return Reply(status, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})


def as_html(status: int, text: str, headers: Mapping[str, str] | None = None) -> Reply:
    """An HTML reply, as web servers and old paste pipelines give."""
    return Reply(status, text.encode(), {"Content-Type": "text/html; charset=UTF-8", **(headers or {})})


def over_limit(details: str, headers: Mapping[str, str]) -> Reply:
    """413 as Essex writes it: a JSON body that says it is HTML (essex.txt, cs3)."""
    fault = {"message": "This request was rate-limited.", "code": 413, "details": details}
    return as_html(413, json.dumps({"overLimitFault": fault}), headers)


App = Callable[[Request], Reply]

Telling = Callable[[Mishap, Request], Reply | None]
"""How a cloud of its own kind words a mishap; None for the common way."""


class Listener(ThreadingHTTPServer):
    """One loopback port serving one app; every connection ends with it."""

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(
        self, port: int, app: App, mishaps: Mishaps, seen: deque[tuple[str, str]], telling: Telling | None = None
    ) -> None:
        self.app = app
        self.telling = telling
        self.mood: Callable[[Request], Mishap | None] | None = None
        """What befalls a request by what it says, such as who signs in."""
        self.mishaps = mishaps
        self.seen = seen
        self.stopping = threading.Event()
        self._sockets: set[socket.socket] = set()
        self._serving: set[threading.Thread] = set()
        self._guard = threading.Lock()
        super().__init__(("127.0.0.1", port), _Handler)
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), name="demo-cloud", daemon=True)

    @property
    def url(self) -> str:
        """http://127.0.0.1:PORT, without a slash at the end."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def target(self, request: Request, path: str) -> str:
        """What stands in `seen` and what a mishap's `path` is looked for in: the path and query."""
        return path

    def start(self) -> None:
        """Serves until `stop`."""
        self._thread.start()

    def stop(self) -> None:
        """Closes the port and every connection, and waits for their threads."""
        self.stopping.set()
        self.shutdown()
        self._thread.join(5)
        self.server_close()
        with self._guard:
            sockets, threads = list(self._sockets), list(self._serving)
        for one in sockets:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # the other side was quicker
        for thread in threads:
            thread.join(5)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serves one connection, known to `stop` while it lasts."""
        thread = threading.current_thread()
        with self._guard:
            self._sockets.add(request)
            self._serving.add(thread)
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._guard:
                self._sockets.discard(request)
                self._serving.discard(thread)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A broken connection is the caller's affair; anything else is a bug of ours and is shown."""
        import sys

        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "muster-demo"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = -1
    timeout = 60
    server: Listener

    def _serve(self) -> None:
        request = self._read()
        if request is None:
            return
        target = self.server.target(request, self.path)
        self.server.seen.append((request.method, target))
        mishap = self.server.mishaps.befall(request.method, target)
        if mishap is None and self.server.mood is not None:
            mishap = self.server.mood(request)
        if mishap is None:
            self._send(self.server.app(request))
        else:
            self._go_wrong(mishap, request)

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = _serve

    def _read(self) -> Request | None:
        length = self.headers.get("Content-Length", "0")
        if not length.isdigit() or int(length) > MAX_BODY:
            self.close_connection = True
            self._send(as_html(413, "<h1>413 Request Entity Too Large</h1>"))
            return None
        body = self.rfile.read(int(length))
        parts = urlsplit(self.path)
        return Request(
            method=self.command,
            path=unquote(parts.path),
            query=tuple(parse_qsl(parts.query, keep_blank_values=True)),
            headers=_Headers(self.headers.items()),
            body=body,
            base=f"http://{self.headers.get('Host') or urlsplit(self.server.url).netloc}",
        )

    def _send(self, reply: Reply, *, cut: bool = False, drip: float | None = None) -> None:
        body = b"" if self.command == "HEAD" else reply.body
        self.send_response(reply.status)  # with no phrase for a status that HTTP does not know, such as 432
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.status != 204:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if cut:
            self.close_connection = True
            self.wfile.write(body[: max(1, len(body) // 2)])
        elif drip is not None:
            for start in range(0, len(body), 16):
                self.wfile.write(body[start : start + 16])
                self.wfile.flush()
                if self.server.stopping.wait(drip):
                    break
        else:
            self.wfile.write(body)
        self.wfile.flush()

    def _go_wrong(self, mishap: Mishap, request: Request) -> None:
        app = self.server.app
        own = self.server.telling(mishap, request) if self.server.telling else None
        if own is not None:
            self._send(own)
            return
        match mishap.kind:
            case Kind.TRUNCATED:
                self._send(app(request), cut=True)
            case Kind.DRIP:
                self._send(app(request), drip=mishap.pause)
            case Kind.HANG | Kind.HANG_UP:
                self.close_connection = True
                if mishap.kind is Kind.HANG:
                    self.server.stopping.wait(mishap.pause)
            case Kind.ELSEWHERE:
                self._send(_elsewhere(app(request), mishap.location))
            case Kind.UNAUTHORIZED:
                self._send(app(_without_token(request)))
            case _:
                self._send(_wrong(mishap))

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: a simulated cloud's requests are kept in `Site.requests`."""


class _Headers(dict[str, str]):
    """Headers by name in any case."""

    def __init__(self, items: Any) -> None:
        super().__init__((key.lower(), value) for key, value in items)

    def get(self, key: str, default: Any = None) -> Any:
        return super().get(key.lower(), default)


def _without_token(request: Request) -> Request:
    known = {"x-auth-token": "none", "x-auth-key": "none"}
    headers = _Headers((key, known.get(key, value)) for key, value in request.headers.items())
    ways = {
        "token": {"id": "none"},
        "passwordCredentials": {"username": "none", "password": "none"},
        "identity": {"methods": ["token"], "token": {"id": "none"}},
    }
    nobody = {"auth": ways}
    body = json.dumps(nobody).encode() if request.path.endswith("/tokens") else request.body
    return Request(request.method, request.path, request.query, headers, body, request.base)


def _elsewhere(reply: Reply, location: str) -> Reply:
    """The reply with every compute URL of its catalog, or of a legacy sign-in, replaced."""
    if "X-Server-Management-Url" in reply.headers:
        return Reply(reply.status, reply.body, {**reply.headers, "X-Server-Management-Url": location})
    value = json.loads(reply.body)
    services = value.get("token", {}).get("catalog") or value.get("access", {}).get("serviceCatalog") or []
    for service in services:
        for endpoint in service["endpoints"] if service["type"] == "compute" else []:
            for key in {"url", "publicURL", "internalURL", "adminURL"} & set(endpoint):
                endpoint[key] = location
    return Reply(reply.status, json.dumps(value).encode(), reply.headers)


def _wrong(mishap: Mishap) -> Reply:
    wait = {} if mishap.retry_after is None else {"Retry-After": str(mishap.retry_after)}
    match mishap.kind:
        case Kind.FORBIDDEN:
            words = "Policy doesn't allow os_compute_api:servers:detail to be performed."
            return as_json(403, {"forbidden": {"code": 403, "message": words}})
        case Kind.OVER_LIMIT:
            return over_limit("Only 10 GET request(s) can be made to * every minute.", wait)
        case Kind.TOO_MANY:
            return as_json(429, {"error": {"code": 429, "message": "Too many requests", "title": "Slow down"}}, wait)
        case Kind.UNAVAILABLE:
            return as_html(503, "<html><h1>503 Service Unavailable</h1>No server is available.</body></html>", wait)
        case Kind.BROKEN:
            words = "Unexpected API Error. Please report this at http://bugs.launchpad.net/nova/."
            return as_json(500, {"computeFault": {"code": 500, "message": words}})
        case Kind.RUBBISH:
            return Reply(200, b'{"servers": [{"id": \xff\xfe nonsense', {"Content-Type": "application/json"})
        case Kind.WRONG_SHAPE:
            return as_json(200, {"servers": "none", "access": 7, "token": [], "server": []})
        case Kind.EMPTY:
            return as_json(200, {"servers": []})
        case Kind.HTML:
            return as_html(200, "<!doctype html><title>Sign in</title><form>Hotel Wi-Fi: accept the terms</form>")
        case Kind.REDIRECT:
            return Reply(302, b"", {"Location": mishap.location})
        case Kind.HUGE:
            return Reply(200, _padded(mishap.size), {"Content-Type": "application/json"})
        case Kind.BOMB:
            headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
            return Reply(200, gzip.compress(_padded(mishap.size), 6), headers)
        case Kind.ENTITIES:
            return Reply(200, entities(), {"Content-Type": "application/xml"})
    raise ValueError(f"No reply for {mishap.kind}")


def entities() -> bytes:
    """A small document that a careless XML parser makes gigabytes of."""
    lines = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    return f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY e0 "muster">{lines}]><a>&e9;</a>'.encode()


def _padded(size: int) -> bytes:
    frame = b'{"servers": [], "padding": "%s"}'
    return frame % (b" " * max(0, size - len(frame) + 2))
