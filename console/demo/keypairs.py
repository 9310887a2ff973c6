"""The key pairs of a simulated account: /os-keypairs of Diablo, Essex and modern."""

from __future__ import annotations

import base64
import binascii
from hashlib import md5
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from console.demo.calls import Call, Refusal, route
from console.demo.wire import Reply, as_html, as_json

LAST_TO_MAKE_KEYS = 91
"""The last microversion that makes a key pair by itself (CLOUDS.md 2.6)."""


def fingerprint(public: str) -> str:
    """MD5 in pairs of digits, as Nova has it. Raises ValueError for what is no public key."""
    parts = public.split()
    if len(parts) < 2:
        raise ValueError("no key")
    try:
        blob = base64.b64decode(parts[1], validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error
    return md5(blob, usedforsecurity=False).digest().hex(":")


def made() -> tuple[str, str]:
    """A new RSA pair: (public, private)."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    return f"{public.decode()} Generated-by-Nova", private.decode()


def _shown(call: Call, name: str) -> dict[str, Any]:
    public = call.cloud.keypairs[name]
    try:
        print_ = fingerprint(public)
    except ValueError:
        print_ = md5(public.encode(), usedforsecurity=False).digest().hex(":")  # put there by hand
    shown = {"public_key": public, "name": name, "fingerprint": print_}
    return shown if call.old or call.style.minor < 2 else shown | {"type": "ssh"}


def keypairs(call: Call) -> Reply:
    """GET /os-keypairs."""
    return as_json(200, {"keypairs": [{"keypair": _shown(call, name)} for name in list(call.cloud.keypairs)]})


def _missing(call: Call) -> Refusal:
    return call.missing(f"Keypair {call.parts[0]} not found for user {call.token.user.id}")


def keypair(call: Call) -> Reply:
    """GET /os-keypairs/{name}."""
    if call.parts[0] not in call.cloud.keypairs:
        raise _missing(call)
    return as_json(200, {"keypair": _shown(call, call.parts[0]) | {"user_id": call.token.user.id}})


def create(call: Call) -> Reply:
    """POST /os-keypairs: the caller's public key, or a pair made here whose private half is told once."""
    wanted = call.body().get("keypair")
    wanted = wanted if isinstance(wanted, dict) else {}
    name, public, private = str(wanted.get("name") or ""), wanted.get("public_key"), ""
    if not name or len(name) > 255:
        raise Refusal(400, "Keypair name must be between 1 and 255 characters long")
    if name in call.cloud.keypairs:
        words = f"Key pair '{name}' already exists."
        raise Refusal(409, words)
    if public is None:
        if not call.old and call.style.minor > LAST_TO_MAKE_KEYS:
            words = f"Invalid input for field/attribute keypair. Value: {wanted}. 'public_key' is a required property"
            raise Refusal(400, words)
        public, private = made()
    try:
        fingerprint(str(public))
    except ValueError:
        raise Refusal(400, "Keypair data is invalid: failed to generate fingerprint") from None
    call.cloud.keypairs[name] = str(public)
    shown = _shown(call, name) | {"user_id": call.token.user.id}
    if private:
        shown["private_key"] = private
    return as_json(200 if call.old or call.style.minor < 2 else 201, {"keypair": shown})


def delete(call: Call) -> Reply:
    """DELETE /os-keypairs/{name}."""
    if call.cloud.keypairs.pop(call.parts[0], None) is None:
        raise _missing(call)
    if call.old:
        return as_html(202, "")
    return Reply(202 if call.style.minor < 2 else 204, b"", {"Content-Type": "application/json"})


ROUTES = (
    route("GET", "/os-keypairs", keypairs),
    route("POST", "/os-keypairs", create),
    route("GET", "/os-keypairs/{}", keypair),
    route("DELETE", "/os-keypairs/{}", delete),
)
