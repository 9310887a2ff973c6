"""Reading vCloud's replies: XML or a fault, in the cell's own words.

Errors are <Error majorErrorCode minorErrorCode message> (or JSON from /cloudapi and /oauth). Traps, from recorded
replies and issue threads (../shared/CLOUDS.md §2.1): what does not exist is a 403 ACCESS_TO_RESOURCE_IS_FORBIDDEN,
BUSY_ENTITY is a 400, the body of a 401 may be empty.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import orjson
import requests

from accounts.clouds import vcloud_xml as xml
from console.lib.faults import BadCredentials, Fault, Refused, SlowDown, Unexpected, Unreachable

CELL: Final = "The vCloud cell"
_LONGEST: Final = 300
_MARKUP: Final = re.compile(r"<(head|style|script)\b.*?</\1>|<[^>]+>", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Error:
    """What an error reply says. `code` is vCloud's minor code, such as BUSY_ENTITY; "" when it has none."""

    code: str
    words: str


def body(response: requests.Response, secrets: Iterable[str] = ()) -> xml.Element:
    """The XML of a good reply; otherwise the fault that fits."""
    if not 200 <= response.status_code < 300:
        raise fault(response, secrets)
    return xml.parse(response.content, CELL)


def missing(response: requests.Response) -> bool:
    """Whether the cell says that this does not exist, in any of the ways that it has for it."""
    if response.status_code in (404, 410):
        return True
    return response.status_code == 403 and error(response.content).code in (
        "ACCESS_TO_RESOURCE_IS_FORBIDDEN",
        "NOT_FOUND",
    )


def fault(response: requests.Response, secrets: Iterable[str] = ()) -> Fault:
    """The fault that an error reply means. `secrets` are struck out of the cell's words."""
    status = response.status_code
    told = error(response.content)
    own = told.words
    for secret in secrets:
        if secret:
            own = own.replace(secret, "[removed]")
    said = f": {own}" if own else "."
    if status == 401:
        return BadCredentials(f"{CELL} did not accept the credentials{said}")
    if told.code == "BUSY_ENTITY":
        return SlowDown(f"{CELL} is at work on this already{said}", _retry_after(response))
    if status in (413, 429, 503) or told.code == "OPERATION_LIMITS_EXCEEDED":
        return SlowDown(f"{CELL} asks for fewer calls ({status}){said}", _retry_after(response))
    if status in (502, 504):
        return Unreachable(f"{CELL} is not reachable behind its proxy ({status}){said}")
    if status >= 500:
        return Unexpected(f"{CELL} failed inside ({status}){said}")
    if status >= 400:
        return Refused(f"{CELL} refused ({status}){said}")
    return Unexpected(f"{CELL} answered {status} where its protocol has a page{said}")


def error(content: bytes) -> Error:
    """The error in a reply, whatever its shape; never a fault of its own."""
    if content.lstrip()[:1] in (b"{", b"["):
        try:
            found = orjson.loads(content)
        except orjson.JSONDecodeError:
            return Error("", _text(content))
        return _json(found)
    try:
        root = xml.parse(content)
    except Unexpected:
        return Error("", _text(content))
    if xml.name_of(root) != "Error":
        return Error("", _text(content))
    return told(root)


def told(element: xml.Element) -> Error:
    """An <Error>, also one inside a task."""
    return Error(element.get("minorErrorCode", "").strip(), _short(element.get("message", "")))


def _json(found: object) -> Error:
    if not isinstance(found, dict):
        return Error("", "")
    code = found.get("minorErrorCode") or found.get("error") or ""
    words = found.get("message") or found.get("error_description") or code
    return Error(str(code), _short(str(words)))


def _text(content: bytes) -> str:
    return _short(html.unescape(_MARKUP.sub(" ", content[:20_000].decode("utf-8", "replace"))))


def _short(words: str) -> str:
    words = " ".join(words.split())
    return words if len(words) <= _LONGEST else words[: _LONGEST - 1] + "…"


def _retry_after(response: requests.Response) -> float | None:
    value = response.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.now(UTC)).total_seconds())
