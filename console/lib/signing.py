"""Ed25519 signatures of what agents take from us: work and releases (SECURITY.md §2). The keys are in no database."""

from __future__ import annotations

import base64
import binascii

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings


def sign(purpose: bytes, data: bytes) -> tuple[str, str]:
    """(key id, signature as base64url) of `data` for this purpose, by the first of SIGN_KEYS."""
    kid, seed = settings.SIGN_KEYS[0]
    return kid, encode(Ed25519PrivateKey.from_private_bytes(seed).sign(purpose + data))


def current() -> str:
    """The id of the key that signs now: what is signed names it."""
    return str(settings.SIGN_KEYS[0][0])


def public_keys() -> list[dict[str, str]]:
    """`[{id, key}]` of all SIGN_KEYS, as agents pin them."""
    return [{"id": kid, "key": encode(public(seed))} for kid, seed in settings.SIGN_KEYS]


def public(seed: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def verifies(public_key: bytes, signature: bytes, data: bytes) -> bool:
    """Whether the signature is this key's over `data`. False for whatever is no key or no signature."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


def encode(data: bytes) -> str:
    """base64url without padding."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def decode(text: str) -> bytes:
    """Back from `encode`. ValueError when it is not that."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as fault:
        raise ValueError("not base64url") from fault
