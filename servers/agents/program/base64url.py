"""Binary values as they stand in JSON here: base64url without padding (RFC 4648, 5)."""

import base64
import binascii
from typing import Any


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def decode(text: Any) -> bytes:
    """b"" for whatever is not that."""
    if not isinstance(text, str):
        return b""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return b""
