"""Reading OpenStack's replies: JSON or a fault, in the cloud's own words.

Shapes seen on live servers (../shared/captures): {"itemNotFound": {"message", "code"}}, {"error": {"message", "code",
"title"}}, overLimit as 403 (Diablo) or 413 (Essex) with JSON under Content-Type text/html, HTML from proxies.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar

import msgspec
import orjson
import requests

from console.lib.faults import BadCredentials, Fault, Refused, SlowDown, Unexpected, Unreachable

T = TypeVar("T")
_LONGEST: Final = 300
_MARKUP: Final = re.compile(r"<(head|style|script)\b.*?</\1>|<[^>]+>", re.IGNORECASE | re.DOTALL)


def body(response: requests.Response, of: str, secrets: Iterable[str] = ()) -> dict[str, Any]:
    """The JSON object of a good reply; otherwise the fault that fits. `of` names the service for people."""
    if not 200 <= response.status_code < 300:
        raise fault(response, of, secrets)
    try:
        found = orjson.loads(response.content)
    except orjson.JSONDecodeError as error:
        raise Unexpected(f"{of} answered something that is not complete JSON.") from error
    if not isinstance(found, dict):
        raise Unexpected(f"{of} answered JSON of a shape that its protocol does not have.")
    return found


def decoded(response: requests.Response, decoder: msgspec.json.Decoder[T], of: str, secrets: Iterable[str] = ()) -> T:
    """A good reply as what `decoder` makes of it; otherwise the fault that fits. `of` names the service for people."""
    if not 200 <= response.status_code < 300:
        raise fault(response, of, secrets)
    try:
        return decoder.decode(response.content)
    except msgspec.ValidationError as error:
        raise Unexpected(f"{of} answered JSON of a shape that its protocol does not have.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unexpected(f"{of} answered something that is not complete JSON.") from error


def fault(response: requests.Response, of: str, secrets: Iterable[str] = ()) -> Fault:
    """The fault that an error reply means. `secrets` are struck out of the cloud's words."""
    status = response.status_code
    own = words(response.content)
    for secret in secrets:
        if secret:
            own = own.replace(secret, "[removed]")
    said = f": {own}" if own else "."
    if status == 401:
        return BadCredentials(f"{of} did not accept the credentials{said}")
    if status == 413 and response.headers.get("Retry-After", "").strip() == "0":
        return Refused(f"{of} refused ({status}){said}")  # Essex says so of a quota that is used up: waiting is no help
    if status in (413, 429, 503) or (status == 403 and b"overLimit" in response.content):
        return SlowDown(f"{of} asks for fewer calls ({status}){said}", _retry_after(response))
    if status in (502, 504):
        return Unreachable(f"{of} is not reachable behind its proxy ({status}){said}")
    if status >= 500:
        return Unexpected(f"{of} failed inside ({status}){said}")
    if status >= 400:
        return Refused(f"{of} refused ({status}){said}")
    return Unexpected(f"{of} answered {status} where its protocol has a page{said}")


def names_nobody(response: requests.Response) -> bool:
    """Whether Keystone knows no such application credential: it answers 404 then, not 401 (seen in Keystone 30)."""
    return response.status_code == 404 and words(response.content).startswith("Could not find")


def words(content: bytes) -> str:
    """The cloud's own sentence in an error reply, "" when it holds none."""
    try:
        found = orjson.loads(content)
    except orjson.JSONDecodeError:
        text = html.unescape(_MARKUP.sub(" ", content[:20_000].decode("utf-8", "replace")))
    else:
        text = _message(found)
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _message(found: object) -> str:
    if not isinstance(found, dict):
        return ""
    message = found.get("message")
    if isinstance(message, str):
        return message
    for inner in found.values():
        if isinstance(inner, dict) and isinstance(inner.get("message"), str):
            return str(inner["message"])
    return ""


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
