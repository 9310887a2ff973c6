"""A provider's webhook receiver on loopback: it keeps what came, and answers as a test says."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks.webhooks import Webhook as Verifier


@dataclass
class Call:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def told(self) -> dict[str, Any]:
        return json.loads(self.body)

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    def verified(self, secret: str) -> dict[str, Any]:
        """The body, when the reference implementation of Standard Webhooks takes its signature. It raises otherwise."""
        return Verifier(secret).verify(self.body, self.headers)


@dataclass
class Receiver:
    url: str
    calls: list[Call] = field(default_factory=list)
    answer: Callable[[Call], tuple[int, dict[str, str], bytes]] = lambda call: (204, {}, b"")
    lock: threading.Lock = field(default_factory=threading.Lock)
    open: threading.Event = field(default_factory=threading.Event)  # set: replies are not held back

    def says(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        """From now on, this to every call."""
        self.answer = lambda call: (status, headers or {}, body)

    def types(self) -> list[str]:
        return [call.told["type"] for call in self.calls]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        site: Receiver = self.server.site  # type: ignore[attr-defined]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        call = Call(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
        with site.lock:
            site.calls.append(call)
        site.open.wait(30)
        status, headers, reply = site.answer(call)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Transfer-Encoding" not in headers and "Content-Length" not in headers:
            self.send_header("Content-Length", str(len(reply)))
        self.end_headers()
        self.wfile.write(reply)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Tests read what came, not a log."""


class _Site(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Who hangs up on us means it."""


@contextmanager
def receiving(held: bool = False) -> Iterator[Receiver]:
    """A receiver on 127.0.0.1. `held`: it answers nobody until its `open` is set."""
    server = _Site(("127.0.0.1", 0), _Handler)
    site = Receiver(f"http://127.0.0.1:{server.server_address[1]}/hooks")
    server.site = site  # type: ignore[attr-defined]
    if not held:
        site.open.set()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield site
    finally:
        site.open.set()
        server.shutdown()
        thread.join()
        server.server_close()
