"""CloudStack's signature of a call, checked as ApiServer.verifyRequest does it (Java's rules, not Python's)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

LITERAL = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-*_")
"""What java.net.URLEncoder leaves alone: "*" stays and "~" becomes %7E, the other way round from RFC 3986."""
EXPIRES = "%Y-%m-%dT%H:%M:%S%z"
LONGEST = timedelta(minutes=15)
"""How far ahead `expires` may lie where enforce.post.requests.and.timestamps is on."""


def java_encoded(value: str) -> str:
    """URLEncoder.encode(value, "UTF-8") with "+" made %20 again, as the server does before it signs."""
    return "".join(chr(byte) if byte in LITERAL else f"%{byte:02X}" for byte in value.encode("utf-8", "replace"))


def signature(params: Sequence[tuple[str, str]], secret: str) -> str:
    """The signature that the server computes: sorted by raw name, values encoded, lower-cased, HMAC-SHA1, base64.

    Names are not encoded, and `signature` itself (in any case) is left out.
    """
    signed = sorted((name, value) for name, value in params if name.lower() != "signature")
    text = "&".join(f"{name}={java_encoded(value)}" for name, value in signed).lower()
    return base64.b64encode(hmac.new(secret.encode(), text.encode(), hashlib.sha1).digest()).decode()


def verified(
    params: Sequence[tuple[str, str]], secrets: Mapping[str, str], now: datetime, *, enforced: bool = False
) -> str | None:
    """The API key that signed this call, or None: the server tells nobody why it refuses.

    `secrets` are by API key. `enforced` demands signatureVersion=3 and an `expires` within 15 minutes.
    """
    given = {name.lower(): value for name, value in params}
    key, signed = given.get("apikey"), given.get("signature")
    if key is None or signed is None:
        return None
    if given.get("signatureversion") == "3":
        try:
            expires = datetime.strptime(given.get("expires", ""), EXPIRES)
        except ValueError:
            return None
        if expires < now or (enforced and expires > now + LONGEST):
            return None
    elif enforced:
        return None
    secret = secrets.get(key)
    if secret is None or not hmac.compare_digest(signature(params, secret).encode(), signed.encode()):
        return None
    return key
