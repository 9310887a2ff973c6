"""A CloudStack that says what a test tells it to, over real HTTP, and checks each signature by Java's rules."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from accounts import clouds
from accounts.clouds import ServerFacts
from accounts.clouds.cloudstack import CloudStack
from console.lib.outbound import Transport
from tests.shared import shared

KEYS = {"api_key": "key-1", "secret_key": "s3cret-word"}
# java.net.URLEncoder's own list of what stays as it is.
_SAFE = set(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-*_")


def java(value: str) -> str:
    """URLEncoder.encode(value, UTF_8).replace("+", "%20"), as ApiServer.verifyRequest has it."""
    return "".join(chr(byte) if byte in _SAFE else f"%{byte:02X}" for byte in value.encode())


def signature(params: dict[str, str], secret: str) -> str:
    """What the server computes for these parameters."""
    text = "&".join(f"{key}={java(params[key])}" for key in sorted(params) if key != "signature").lower()
    return base64.b64encode(hmac.new(secret.encode(), text.encode(), hashlib.sha1).digest()).decode()


@dataclass(frozen=True)
class Said:
    """A reply: status, body (bytes as they are, or the object inside), content type."""

    body: Any
    status: int = 200
    kind: str = "application/json;charset=UTF-8"
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    kind: str
    params: dict[str, str]

    @property
    def command(self) -> str:
        return self.params["command"]


Answer = Said | Callable[[dict[str, str]], Said]


class Scripted:
    """Replies by command, a queue each: the last one stays. What nobody told is an error as CloudStack words it."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[Asked] = []
        self.replies: dict[str, list[Answer]] = {}
        self.capable("4.20.0.0")

    def say(self, command: str, *answers: Answer | dict[str, Any]) -> None:
        told = [Said(answer) if isinstance(answer, dict) else answer for answer in answers]
        self.replies.setdefault(command, []).extend(told)

    def capable(self, version: str, **more: Any) -> None:
        self.replies["listCapabilities"] = [Said({"capability": {"cloudstackversion": version, **more}})]

    def fixture(self, command: str, name: str, status: int = 200) -> None:
        """Answers a command with a recorded reply, as it was recorded; a list is empty from page 2 on."""
        whole = shared("fixtures", "cloudstack-libcloud", f"{name}.json").read_bytes()

        def answer(params: dict[str, str]) -> Said:
            return Said(whole if params.get("page", "1") == "1" else {}, status)

        self.replies[command] = [answer]

    def commands(self) -> list[str]:
        return [asked.command for asked in self.asked]

    def answer(self, asked: Asked) -> Said:
        self.asked.append(asked)
        if asked.params.get("signature") != signature(asked.params, KEYS["secret_key"]):
            return error(401, "unable to verify user credentials and/or request signature")
        queue = self.replies.get(asked.command)
        if not queue:
            return error(432, f"The given command:{asked.command} does not exist")
        told = queue.pop(0) if len(queue) > 1 else queue[0]
        return told if isinstance(told, Said) else told(asked.params)


def error(code: int, text: str, status: int | None = None, **more: Any) -> Said:
    return Said({"uuidList": [], "errorcode": code, "cserrorcode": 9999, "errortext": text, **more}, status or code)


def machine(number: int, **more: Any) -> dict[str, Any]:
    return {"id": f"vm-{number}", "name": f"n{number}", "state": "Running", "zonename": "Sydney", **more}


def paged(noun: str, rows: list[dict[str, Any]], largest: int = 500, *, count: str = "total") -> Answer:
    """A list that honours page and pagesize. `count`: "total", "page" (the length of the page) or "none"."""

    def answer(params: dict[str, str]) -> Said:
        size, page = int(params.get("pagesize", "500")), int(params.get("page", "1"))
        if size > largest:
            return error(431, f"Page size can not exceed max allowed page size value: {largest}", cserrorcode=4350)
        shown = rows[(page - 1) * size : page * size]
        if not shown:
            return Said({})
        counts = {"total": {"count": len(rows)}, "page": {"count": len(shown)}, "none": {}}[count]
        return Said({**counts, noun: shown})

    return answer


@contextmanager
def scripted() -> Iterator[Scripted]:
    cloud = Scripted()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            parts = urlsplit(self.path)
            params = dict(parse_qsl(parts.query or body, keep_blank_values=True))
            asked = Asked(self.command, parts.path, self.headers.get("Content-Type", ""), params)
            told = cloud.answer(asked)
            name = asked.command.lower() + "response"
            whole = told.body if isinstance(told.body, bytes) else json.dumps({name: told.body}).encode()
            self.send_response(told.status)
            self.send_header("Content-Type", told.kind)
            for key, value in told.headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(whole)))
            self.end_headers()
            self.wfile.write(whole)

        do_GET = do_POST = _serve

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    cloud.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield cloud
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def opened(url: str, **more: Any) -> CloudStack:
    """A driver through the registry, as the console opens it."""
    more.setdefault("credentials", KEYS)
    driver = clouds.open("cloudstack", url=url, transport=Transport(["127.0.0.1/32"], allow_http=True), **more)
    assert isinstance(driver, CloudStack)
    return driver


def listing(driver: CloudStack) -> list[ServerFacts]:
    return [facts for page in driver.servers() for facts in page]
