"""The console's side of the agent protocol in one small HTTP server, for tests of the agent alone."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from servers.agents.program import protocol

Reply = tuple[int, dict[str, Any]]


def refused(status: int, code: str) -> Reply:
    return status, {"error": {"code": code, "message": "No.", "request_id": "r"}}


class SmallConsole:
    """Knows its join tokens and its agents; `heard` keeps every request as (path, body, authorization)."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.tokens = {"join-token-one": "", "join-token-two": ""}  # token → the attempt that used it
        self.agents: dict[str, str] = {}  # agent token → agent id
        self.heard: list[tuple[str, dict[str, Any], str]] = []
        self.rule: Callable[[str, dict[str, Any]], Reply | None] = lambda path, body: None
        self.interval = 1
        self.url = ""

    def answer(self, path: str, body: dict[str, Any], authorization: str) -> Reply:
        with self.changed:
            self.heard.append((path, body, authorization))
            self.changed.notify_all()
            reply = self.rule(path, body)
            if reply is not None:
                return reply
            if path == protocol.ENROL_PATH:
                return self._enrol(body)
            if authorization.removeprefix("Bearer ") not in self.agents:
                return refused(401, protocol.UNKNOWN_AGENT)
            return 200, {"interval": self.interval}

    def _enrol(self, body: dict[str, Any]) -> Reply:
        if self.tokens.get(body["token"]) not in ("", body["attempt"]):
            return refused(401, protocol.UNKNOWN_TOKEN)
        self.tokens[body["token"]] = body["attempt"]
        secret = f"secret-of-{body['attempt']}"
        self.agents.setdefault(secret, f"agent-{len(self.agents) + 1}")
        return 200, {"agent_id": self.agents[secret], "agent_token": secret, "interval": self.interval}

    def heartbeats(self) -> list[dict[str, Any]]:
        return [body for path, body, _ in self.heard if path == protocol.HEARTBEAT_PATH]

    def wait(self, true: Callable[[], bool], seconds: float = 20.0) -> None:
        """Until the condition holds; it is looked at after each request that comes in."""
        with self.changed:
            assert self.changed.wait_for(true, seconds), f"did not happen; heard {[h[0] for h in self.heard]}"

    @contextlib.contextmanager
    def serving(self) -> Iterator[SmallConsole]:
        console = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, said = console.answer(self.path, body, self.headers.get("Authorization", ""))
                data = json.dumps(said).encode()
                self.send_response(status)
                for name, value in said.pop("headers", {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                """Silent."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        self.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
