"""A machine that speaks the agents' protocol as its words say, with `cryptography` in place of the agent's own code."""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import time
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.test import Client

from console.lib import signing
from servers.agents.program import protocol

VERSION = "0.2.0"
SAMPLE = {
    "load1": 0.5, "load5": 0.4, "load15": 0.3, "cpu_percent": 12.5, "memory_used_bytes": 100, "memory_total_bytes": 400,
    "swap_used_bytes": 0, "swap_total_bytes": 0, "uptime_seconds": 60,
    "disks": [
        {"mount": "/data", "used_bytes": 900, "total_bytes": 1000}, {"mount": "/", "used_bytes": 10, "total_bytes": 50},
    ],
    "nics": [{"name": "eth0", "rx_bytes_per_second": 1000.5, "tx_bytes_per_second": 20}],
}  # fmt: skip
Answer = tuple[int, dict[str, Any]]


class Machine:
    """One key, and the session that it is in. Every call returns (status, JSON)."""

    def __init__(self, url: str) -> None:
        self.url = urlsplit(url)
        self.private = Ed25519PrivateKey.generate()
        self.public = signing.encode(self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
        self.agent_id = ""
        self.epoch = 0
        self.session, self.key, self.sequence, self.ahead = "", b"", 0, 0.0

    def enrol(self, token: str, **facts: Any) -> Answer:
        body = {"token": token, "public_key": self.public, "version": VERSION, "facts": {"hostname": "web-1", **facts}}
        status, said = self.prove(protocol.ENROL_PATH, body)
        self.agent_id = said.get("agent_id", self.agent_id)
        return status, said

    def begin(self, **change: Any) -> Answer:
        """A session."""
        self.epoch += 1
        body = {"agent_id": self.agent_id, "epoch": self.epoch, "version": VERSION, "instance_id": "", "boot_id": "b"}
        status, said = self.prove(protocol.SESSION_PATH, body | change)
        if status == 200:
            self.session, self.key, self.sequence = said["session"], signing.decode(said["key"]), 0
            self.ahead = said["time"] - time.time()
        return status, said

    def checkin(self, *samples: dict[str, Any], **more: Any) -> Answer:
        return self.tell(protocol.CHECKIN_PATH, {"version": VERSION, "samples": list(samples), **more})

    def prove(self, path: str, body: Any) -> Answer:
        """A POST under the machine's key."""
        data = written(body)
        return self.post(path, data, self.signed(path, data))

    def signed(self, path: str, data: bytes) -> dict[str, str]:
        """The headers of such a POST."""
        signature = self.private.sign(protocol.signed_text("POST", path, hashlib.sha256(data).hexdigest()))
        return {"Muster-Signature": signing.encode(signature)}

    def tell(self, path: str, body: Any, **change: str) -> Answer:
        """A POST in the session."""
        data = written(body)
        return self.post(path, data, self.headers(path, data) | change)

    def headers(self, path: str, data: bytes) -> dict[str, str]:
        self.sequence += 1
        sequence, moment = str(self.sequence), str(int(time.time() + self.ahead))
        text = protocol.signed_text("POST", path, hashlib.sha256(data).hexdigest(), self.session, sequence, moment)
        return {
            "Muster-Session": self.session,
            "Muster-Sequence": sequence,
            "Muster-Time": moment,
            "Muster-Signature": hmac.digest(self.key, text, "sha256").hex(),
        }

    def post(self, path: str, data: bytes, headers: dict[str, str]) -> Answer:
        connection = http.client.HTTPConnection(self.url.hostname or "", self.url.port, timeout=60)
        try:
            connection.request("POST", path, data, {"Content-Type": "application/json", **headers})
            with connection.getresponse() as reply:
                return reply.status, json.loads(reply.read())
        finally:
            connection.close()


class Direct(Machine):
    """Without a console that is served: for what Django alone answers."""

    def __init__(self) -> None:
        super().__init__("")

    def post(self, path: str, data: bytes, headers: dict[str, str]) -> Answer:
        reply = Client(raise_request_exception=False).post(path, data, "application/json", headers=headers)
        return reply.status_code, reply.json()


class Wire:
    """One connection of a machine's, kept open: for many posts."""

    def __init__(self, machine: Machine) -> None:
        self.connection = http.client.HTTPConnection(machine.url.hostname or "", machine.url.port, timeout=60)

    def close(self) -> None:
        self.connection.close()

    def post(self, path: str, data: bytes, headers: dict[str, str]) -> Answer:
        self.connection.request("POST", path, data, headers)
        with self.connection.getresponse() as reply:
            return reply.status, json.loads(reply.read())


def written(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def sample(at: float | None = None, **change: Any) -> dict[str, Any]:
    return {"at": int(time.time()) if at is None else at, **SAMPLE, **change}
