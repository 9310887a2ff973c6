"""The console's side of the agent protocol in one small HTTP server, for tests of the agent alone.

It checks every signature with `cryptography`, every sequence and every time: what it takes, the real console takes.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import json
import secrets
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from servers.agents.program import protocol

Reply = tuple[int, dict[str, Any]]
WRONG_SIGNATURE = "wrong_signature"
SIGNED = ("Muster-Signature", "Muster-Session", "Muster-Sequence", "Muster-Time")


def refused(status: int, code: str) -> Reply:
    return status, {"error": {"code": code, "message": "No.", "request_id": "r"}}


def decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Known:
    """One agent, as this console knows it."""

    id: str
    public_key: str
    epoch: int = 0
    session: str = ""
    key: bytes = b""
    sequence: int = 0
    instance_id: str = ""
    boots: list[str] = field(default_factory=list)


class SmallConsole:
    """Knows its join tokens and its agents. `heard` keeps every request as (path, body, answer's status).

    `rule` may answer in its place; `bring` is put into the next check-in's answer, which comes at once then. `ahead` is
    by how many seconds this console's clock is ahead of the host's.
    """

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.tokens = {"join-token-one": "", "join-token-two": ""}  # token → the public key that used it
        self.agents: dict[str, Known] = {}
        self.heard: list[tuple[str, dict[str, Any], int]] = []
        self.rule: Callable[[str, dict[str, Any]], Reply | None] = lambda path, body: None
        self.keys: list[dict[str, str]] = []
        self.bring: dict[str, Any] = {}
        self.nonce = ""  # stands at the instance that claims; whoever proves to have read it is let in
        self.offer: dict[str, Any] = {}  # a release that is offered in every answer to a check-in
        self.releases: dict[str, bytes] = {}  # what is got for a release, by the SHA-256 that is asked for
        self.interval = 1
        self.ahead = 0.0
        self.connections = 0
        self.url = ""

    def time(self) -> float:
        return time.time() + self.ahead

    def answer(self, path: str, data: bytes, signed: dict[str, str]) -> Reply:
        body = json.loads(data)
        with self.changed:
            reply = self.rule(path, body) or self._own(path, body, data, signed)
            self.heard.append((path, body, reply[0]))
            self.changed.notify_all()
            if path == protocol.CHECKIN_PATH and reply[0] == 200:
                self.changed.wait_for(lambda: bool(self.bring), body.get("wait", 0))
                reply[1].update({"release": self.offer} if self.offer else {}, **self.bring, time=self.time())
                self.bring = {}
            return reply

    def _own(self, path: str, body: dict[str, Any], data: bytes, signed: dict[str, str]) -> Reply:
        if not signed["Muster-Signature"]:
            return refused(400, "bad_request")
        digest = hashlib.sha256(data).hexdigest()
        if path == protocol.ENROL_PATH:
            return self._enrol(body, protocol.signed_text("POST", path, digest), signed)
        if path == protocol.SESSION_PATH:
            return self._begin(body, protocol.signed_text("POST", path, digest), signed)
        if path in (protocol.CLAIM_PATH, protocol.PROOF_PATH):
            return self._admit(path, body, protocol.signed_text("POST", path, digest), signed)
        known = next((a for a in self.agents.values() if a.session and a.session == signed["Muster-Session"]), None)
        if known is None:
            return refused(401, protocol.UNKNOWN_SESSION)
        sequence, moment = signed["Muster-Sequence"], signed["Muster-Time"]
        text = protocol.signed_text("POST", path, digest, known.session, sequence, moment)
        if not hmac.compare_digest(signed["Muster-Signature"], hmac.digest(known.key, text, "sha256").hex()):
            return refused(401, WRONG_SIGNATURE)
        if int(sequence) <= known.sequence:
            return refused(409, protocol.REPLAYED)
        if abs(int(moment) - self.time()) > protocol.CLOCK:
            return refused(401, protocol.WRONG_TIME)
        known.sequence = int(sequence)
        if path == protocol.LEAVE_PATH:
            del self.agents[known.id]
            return 200, {}
        if path == protocol.CHECKIN_PATH:
            return 200, {"interval": self.interval, "work": []}
        return 200, {}

    def _enrol(self, body: dict[str, Any], text: bytes, signed: dict[str, str]) -> Reply:
        key = body["public_key"]
        if self.tokens.get(body["token"]) not in ("", key):
            return refused(401, protocol.UNKNOWN_TOKEN)
        if not self._signed(key, text, signed):
            return refused(401, WRONG_SIGNATURE)
        self.tokens[body["token"]] = key
        known = next((a for a in self.agents.values() if a.public_key == key), None)
        if known is None:
            known = Known(f"agent-{len(self.agents) + 1}", key)
            self.agents[known.id] = known
        return 200, {"agent_id": known.id, "keys": self.keys}

    def _admit(self, path: str, body: dict[str, Any], text: bytes, signed: dict[str, str]) -> Reply:
        key = body["public_key"]
        if not self._signed(key, text, signed):
            return refused(401, WRONG_SIGNATURE)
        if path == protocol.CLAIM_PATH or not body.get("proof") or not self.nonce:
            return 202, {"retry": 1}
        proven = protocol.proof_text(key, body["instance_id"], self.nonce)
        if not self._signed(key, proven, dict.fromkeys(SIGNED, "") | {"Muster-Signature": body["proof"]}):
            return 202, {"retry": 1}
        known = Known(f"agent-{len(self.agents) + 1}", key)
        self.agents[known.id] = known
        return 200, {"agent_id": known.id, "keys": self.keys}

    def _begin(self, body: dict[str, Any], text: bytes, signed: dict[str, str]) -> Reply:
        known = self.agents.get(body["agent_id"])
        if known is None:
            return refused(401, protocol.UNKNOWN_AGENT)
        if not self._signed(known.public_key, text, signed):
            return refused(401, WRONG_SIGNATURE)
        if known.instance_id not in ("", body["instance_id"]):
            return refused(403, protocol.PROVE_AGAIN)
        if body["epoch"] <= known.epoch:
            status, said = refused(409, protocol.EPOCH_USED)
            return status, {**said, "epoch": known.epoch}
        known.epoch, known.instance_id, known.sequence = body["epoch"], body["instance_id"], 0
        known.session, known.key = secrets.token_hex(16), secrets.token_bytes(32)
        known.boots.append(body["boot_id"])
        key = base64.urlsafe_b64encode(known.key).decode().rstrip("=")
        return 200, {"session": known.session, "key": key, "time": self.time(), "interval": self.interval}

    def _signed(self, key: str, text: bytes, signed: dict[str, str]) -> bool:
        assert not any(signed[name] for name in SIGNED[1:])
        try:
            Ed25519PublicKey.from_public_bytes(decode(key)).verify(decode(signed["Muster-Signature"]), text)
        except InvalidSignature:
            return False
        return True

    def release(self, path: str) -> bytes | None:
        """A program's bytes, as they are asked for. It is heard, too."""
        with self.changed:
            found = self.releases.get(path.removeprefix(protocol.RELEASE_PATH))
            self.heard.append((path, {}, 404 if found is None else 200))
            self.changed.notify_all()
            return found

    def checkins(self) -> list[dict[str, Any]]:
        """Those that were taken."""
        return [body for path, body, status in self.heard if path == protocol.CHECKIN_PATH and status == 200]

    def paths(self) -> list[str]:
        return [path.rpartition("/")[2] for path, _, _ in self.heard]

    def tell(self, **brought: Any) -> None:
        """Wake whoever waits, with this."""
        with self.changed:
            self.bring = brought
            self.changed.notify_all()

    def wait(self, true: Callable[[], bool], seconds: float = 20.0) -> None:
        """Until the condition holds; it is looked at after each request that comes in."""
        with self.changed:
            assert self.changed.wait_for(true, seconds), f"did not happen; heard {self.paths()}"

    @contextlib.contextmanager
    def serving(self, context: ssl.SSLContext | None = None) -> Iterator[SmallConsole]:
        """At `url` until the end of the block; over HTTPS, as localhost, with a context."""
        console = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                console.connections += 1

            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["Content-Length"]))
                signed = {name: self.headers.get(name, "") for name in SIGNED}
                status, said = console.answer(self.path, data, signed)
                said = dict(said)
                self.send_response(status)
                for name, value in said.pop("headers", {}).items():
                    self.send_header(name, value)
                data = json.dumps(said).encode()
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def do_GET(self) -> None:
                data = console.release(self.path)
                self.send_response(404 if data is None else 200)
                self.send_header("Content-Length", str(len(data or b"")))
                self.end_headers()
                self.wfile.write(data or b"")

            def date_time_string(self, timestamp: float | None = None) -> str:
                return super().date_time_string(int(console.time()))

            def log_message(self, format: str, *args: object) -> None:
                """Silent."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that was killed is no error of ours."""

        server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{server.server_port}"
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
            self.url = f"https://localhost:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
