"""Secrets at rest: AES-256-GCM under a data key that is wrapped by a key-encryption key (SECURITY.md §4).

A sealed value is `v1:kid:wrapped data key:ciphertext` (the last two base64url). The additional data binds it to
version, key, table, column, row and tenant, so that a ciphertext moved to another place does not open.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import secrets as random
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE = 12  # bytes


class SealBroken(Exception):
    """A sealed value did not open: altered, moved to another row, or its key is gone. Never ignore it."""


class Secret:
    """A string that does not show itself in a repr, a log line or a traceback. `.reveal()` gives it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(…)"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and random.compare_digest(self._value.encode(), other._value.encode())

    def __hash__(self) -> int:
        return hash(self._value)


@dataclass(frozen=True)
class Place:
    """Where a sealed value stands. `row` and `tenant` are UUIDs as text, known before the row is inserted."""

    table: str
    column: str
    row: str
    tenant: str

    def bound(self, kid: str) -> bytes:
        return "\0".join(("v1", kid, self.table, self.column, self.row, self.tenant)).encode()


Keys = tuple[tuple[str, bytes], ...]


def parse_keys(text: str) -> Keys:
    """`NAME:BASE64,…` → ((name, 32 bytes), …); the first one seals, all open. ValueError when it is not that."""
    keys: dict[str, bytes] = {}
    for part in filter(None, (piece.strip() for piece in re.split(r"[,\n]", text))):
        name, _, coded = part.partition(":")
        try:
            key = base64.b64decode(coded, validate=True)
        except binascii.Error as fault:
            raise ValueError("not base64") from fault
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", name) or len(key) != 32 or name in keys:
            raise ValueError("a key is NAME:BASE64 of 32 bytes, each name once")
        keys[name] = key
    return tuple(keys.items())


def _code(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def close(values: Mapping[str, str], place: Place, keys: Keys | None = None) -> str:
    """Seal a flat mapping of strings for `place`."""
    kid, kek = (keys or _keys())[0]
    bound = place.bound(kid)
    data_key = AESGCM.generate_key(256)
    return ":".join(("v1", kid, _lock(kek, data_key, bound), _lock(data_key, json.dumps(dict(values)).encode(), bound)))


def open_(sealed: str, place: Place, keys: Keys | None = None) -> dict[str, str]:
    """What was sealed at `place`; SealBroken when it was not sealed there with a key that we have."""
    try:
        version, kid, wrapped, text = sealed.split(":")
        kek = dict(keys or _keys())[kid]
        if version != "v1":
            raise SealBroken(f"unknown seal version {version!r}")
        bound = place.bound(kid)
        values = json.loads(_unlock(_unlock(kek, wrapped, bound), text, bound))
    except (ValueError, KeyError, InvalidTag, binascii.Error) as fault:
        raise SealBroken(f"the sealed value of {place.table}.{place.column} of {place.row} does not open") from fault
    return {str(name): str(value) for name, value in values.items()}


def rewrap(sealed: str, place: Place, keys: Keys | None = None) -> str:
    """The same value under the first key."""
    return close(open_(sealed, place, keys), place, keys)


def _lock(key: bytes, plain: bytes, bound: bytes) -> str:
    nonce = random.token_bytes(NONCE)
    return _code(nonce + AESGCM(key).encrypt(nonce, plain, bound))


def _unlock(key: bytes, text: str, bound: bytes) -> bytes:
    raw = _decode(text)
    return AESGCM(key).decrypt(raw[:NONCE], raw[NONCE:], bound)


def _keys() -> Keys:
    from django.conf import settings

    keys: Keys = settings.SEAL_KEYS
    return keys


# --- logs -----------------------------------------------------------------------------------------------------------

_NAMES = re.compile(r"pass(word|phrase)?$|secret|token|api_?key|private_?key|authorization|credential|cookie", re.I)
_TEXTS = re.compile(
    r"(?:mst_(?:live|test)_[A-Za-z0-9]+_|mct_[A-Za-z0-9]+_|Bearer\s+|mja_|mjt_|whsec_)[A-Za-z0-9_\-.~+/]+=*"
    r"|(?<=/welcome/)[A-Za-z0-9_-]{20,}|(?<=/in/|key/)[A-Za-z0-9_-]{20,}"  # links that let a person in
    r"|(?<=/handoff/)[A-Za-z0-9_-]{20,}|(?<=/join/|~join/)[A-Za-z0-9_:%.-]{20,}"
    r"|(?<=[?&]code=)[^\s&'\"]{8,}"  # what an identity server sends a browser back with
    r"|(?<=://)[^\s/@]*:[^\s/@]+(?=@)"  # user and password of an address
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    re.S,
)


_PAIRS = re.compile(
    r"""((?:pass(?:word|phrase)|secret(?:_?key)?|api_?key|token)["']?\s*[:=]\s*["']?)[^\s"'&,;}]{4,}""", re.I
)


def redact(text: str) -> str:
    """`text` without what looks like one of our keys, tokens, a private key, or a password in an address or a pair."""
    return _PAIRS.sub(r"\1[redacted]", _TEXTS.sub("[redacted]", text))


def redact_event(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: no value under a secret's name, no text that looks like a secret, at any depth."""
    for name, value in event.items():
        event[name] = _shown(name, value)
    return event


def _shown(name: str, value: Any) -> Any:
    if value is None or isinstance(value, (int, float)):
        return value
    if _NAMES.search(name):
        return "[redacted]"
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {str(key): _shown(str(key), inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_shown(name, inner) for inner in value]
    return value
