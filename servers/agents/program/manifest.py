"""A release's signed manifest, read with suspicion: which bytes a newer version of this program has."""

import json
from typing import Any, Dict, NamedTuple, Optional, Tuple

from . import base64url, ed25519, protocol

Manifest = NamedTuple("Manifest", [("version", str), ("sha256", str), ("size", int), ("minimum_python", str)])

BIGGEST = 4 * 1024 * 1024  # bytes of a program


class Unfit(Exception):
    """It must not be installed; the words say why."""


def order(version: str) -> Tuple[int, ...]:
    """`1.10.0` as (1, 10, 0), to compare by; () for what is not such a version, which comes before every other."""
    parts = version.split(".")
    return tuple(int(p) for p in parts) if all(p.isdigit() and len(p) < 9 for p in parts) else ()


def opened(offer: Any, keys: Dict[str, bytes], now: float, python: Tuple[int, int]) -> Manifest:
    """The manifest in a check-in's `release`. Unfit when it is not signed, not newer, too old, or not for this host.

    `now` is the console's clock in seconds since 1970, `python` this host's version.
    """
    text = offer.get("manifest") if isinstance(offer, dict) else None
    if not isinstance(text, str):
        raise Unfit("The release has no manifest.")
    key = keys.get(str(offer.get("key_id")))
    if key is None:
        raise Unfit("The release is signed by a key that this agent does not know.")
    if not ed25519.verify(key, base64url.decode(offer.get("signature")), protocol.RELEASE_PURPOSE + text.encode()):
        raise Unfit("The signature of the release is not right.")
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        raise Unfit("The manifest is not JSON.") from None
    found = _manifest(given)
    if found is None or given.get("key_id") != offer.get("key_id"):
        raise Unfit("This agent does not know such a manifest.")
    if order(found.version) <= order(protocol.VERSION):
        raise Unfit("Version {} is not newer than {}.".format(found.version, protocol.VERSION))
    if now > given["expires_at"]:
        raise Unfit("The manifest of version {} is too old.".format(found.version))
    if order(found.minimum_python) > python:
        words = "Version {} needs Python {}, and this is {}.{}."
        raise Unfit(words.format(found.version, found.minimum_python, python[0], python[1]))
    return found


def named(offer: Any) -> str:
    """The version that an offer goes by, whether it is signed or not; "" when that cannot be read."""
    try:
        version = json.loads(offer["manifest"])["version"]
    except (ValueError, RecursionError, TypeError, KeyError):
        return ""
    return version if isinstance(version, str) and order(version) else ""


def _manifest(given: Any) -> Optional[Manifest]:
    if not isinstance(given, dict):
        return None
    version, sha256, size = given.get("version"), given.get("sha256"), given.get("size")
    python, expires = given.get("minimum_python"), given.get("expires_at")
    if not isinstance(version, str) or not order(version) or not isinstance(python, str) or not order(python):
        return None
    if not isinstance(sha256, str) or len(sha256) != 64 or not all(c in "0123456789abcdef" for c in sha256):
        return None
    if isinstance(size, bool) or not isinstance(size, int) or not 0 < size <= BIGGEST:
        return None
    if isinstance(expires, bool) or not isinstance(expires, (int, float)):
        return None
    return Manifest(version, sha256, size, python)
