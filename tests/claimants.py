"""Machines without an identity, as tests need them: each has a key and claims over the real addresses."""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.test import Client

from console.lib import signing
from console.lib.jobs import kinds, leases
from providers.models import Provider
from servers.agents import challenging, looking
from servers.agents.models import Challenge, Claim
from servers.agents.program import protocol

KIND = kinds.Kind(challenging.CHALLENGE, Challenge, 60.0, 8)


@dataclass
class Machine:
    """`channel` is the provider whose image it runs. Addresses are those of its own cards."""

    channel: Any
    instance_id: str = ""
    macs: tuple[str, ...] = ()
    ips: tuple[str, ...] = ()
    address: str = "198.51.100.9"
    seed: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def public_key(self) -> str:
        return signing.encode(signing.public(self.seed))

    @property
    def row(self) -> Claim:
        return Claim.objects.get(public_key=self.public_key)

    def sign(self, data: bytes) -> str:
        return signing.encode(Ed25519PrivateKey.from_private_bytes(self.seed).sign(data))

    def post(self, path: str, body: dict[str, Any], signature: str | None = None) -> tuple[int, dict[str, Any]]:
        data = json.dumps(body).encode()
        text = protocol.signed_text("POST", path, hashlib.sha256(data).hexdigest())
        reply = Client(REMOTE_ADDR=self.address).post(
            path, data, content_type="application/json",
            headers={"Muster-Signature": self.sign(text) if signature is None else signature},
        )  # fmt: skip
        return reply.status_code, reply.json()

    def said(self) -> dict[str, Any]:
        """The body of its claim."""
        return {
            "version": "0.2.0", "public_key": self.public_key, "channel": str(self.channel),
            "platform": "openstack", "instance_id": self.instance_id, "dmi_uuid": "", "macs": list(self.macs),
            "addresses": list(self.ips), "hostname": "web-1", "boot_id": "b", "at": 0, **self.more,
        }  # fmt: skip

    def claim(self) -> tuple[int, dict[str, Any]]:
        return self.post(protocol.CLAIM_PATH, self.said())

    def ask(self, nonce: str | None = None) -> tuple[int, dict[str, Any]]:
        """Asks whether it is in by now; with a nonce it proves that it could read it."""
        body: dict[str, Any] = {"public_key": self.public_key, "instance_id": self.instance_id, "version": "0.2.0"}
        if nonce is not None:
            body["proof"] = self.sign(protocol.proof_text(self.public_key, self.instance_id, nonce))
        return self.post(protocol.PROOF_PATH, body)


def match(provider: Provider) -> None:
    """What a worker does when claims came: match them, and put the nonces that follow from it."""
    looking.look(provider.pk)
    work()


def work() -> None:
    """Every challenge that is due, until none is."""
    while held := leases.claim(Challenge.objects.all(), 60.0, limit=100):
        for row, lease in held:
            kinds.work(KIND, challenging.perform, row, lease)


def nonce_of(server: Any) -> str:
    """The nonce that stands there, as our own row has it: tests of what its instance reads ask the instance's side."""
    found = challenging.nonce(Challenge.objects.active().get(server=server))
    assert found is not None
    return found
