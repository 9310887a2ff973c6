"""A server on loopback that answers with recorded bodies, read in place from ../shared/captures."""

from __future__ import annotations

import ast
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.shared import shared

_KEPT = ("Content-Type", "Retry-After", "Location", "X-Openstack-Request-Id", "X-Compute-Request-Id")
Key = tuple[str, str, str, str]


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


def recorded(name: str) -> dict[str, tuple[str, str, Reply]]:
    """Title → (method, URL, reply) of one capture file. Its tokens run out a day from now: one that ran out on the day
    after the recording would be replaced before each call."""
    tomorrow = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%dT%H:%M:%S}"
    blocks: dict[str, tuple[str, str, Reply]] = {}
    for block in re.split(r"^### ", shared("captures", name).read_text(), flags=re.M)[1:]:
        lines = block.split("\n")
        method, url = lines[1].split(" ", 1)
        status = next(number for number, line in enumerate(lines) if re.match(r"< \d{3} ", line))
        headers = ast.literal_eval(lines[status + 1][2:])
        body = "\n".join(lines[status + 2 :]).strip()
        body = body.partition("\n   state->")[0]  # what the recorder looked at afterwards
        body = re.sub(r'("expires": ")[^"Z]+', rf"\g<1>{tomorrow}", body)
        kept = {key: value for key, value in headers.items() if key in _KEPT}
        blocks.setdefault(lines[0].strip(), (method, url, Reply(int(lines[status].split()[1]), body.encode(), kept)))
    return blocks


def key(method: str, url: str) -> Key:
    """What identifies a call: method, path, limit and marker."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    return method, parts.path.rstrip("/"), query.get("limit", [""])[0], query.get("marker", [""])[0]


class Replay:
    """Replies by call, a queue each: the last one stays. `asked` holds the calls in order."""

    def __init__(self) -> None:
        self.replies: dict[Key, list[Reply]] = {}
        self.asked: list[Key] = []
        self.headers: list[dict[str, str]] = []
        self.bodies: list[Any] = []
        self.queries: list[str] = []
        self.url = ""

    def say(self, method: str, url: str, *replies: Reply) -> None:
        self.replies.setdefault(key(method, url), []).extend(replies)

    def say_recorded(self, blocks: dict[str, tuple[str, str, Reply]], *titles: str) -> None:
        for title in titles:
            method, url, reply = blocks[title]
            self.say(method, url, reply)

    def answer(self, method: str, path: str) -> Reply:
        wanted = key(method, path)
        self.asked.append(wanted)
        queue = self.replies.get(wanted, [])
        if not queue:
            return Reply(404, b'{"itemNotFound": {"message": "Not recorded.", "code": 404}}')
        reply = queue.pop(0) if len(queue) > 1 else queue[0]
        # The captures name the ports of the recorded servers; all of them are this one here.
        here = self.url.removeprefix("http://").encode()
        return Reply(reply.status, re.sub(rb"127\.0\.0\.1:\d+", here, reply.body), reply.headers)


@contextmanager
def replaying() -> Iterator[Replay]:
    replay = Replay()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            replay.headers.append(dict(self.headers.items()))
            replay.bodies.append(json.loads(body) if body[:1] in (b"{", b"[") else body.decode() or None)
            replay.queries.append(urlsplit(self.path).query)
            reply = replay.answer(self.command, self.path)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        do_GET = do_POST = do_PUT = do_DELETE = _serve

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    replay.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield replay
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
