"""Reading CloudStack's replies: the one object inside, or a fault in the cloud's own words.

Every reply is {"<command>response": {...}}; some names differ (restorevmresponse, errorresponse), so the name is not
read. An error is {"errorcode", "cserrorcode", "errortext"} inside, whose code is the HTTP status too, but some releases
send it with 200 (../shared/CLOUDS.md §2.3, fixtures/cloudstack-libcloud/deployVirtualMachine_deployfail.json).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import orjson
import requests

from console.lib.faults import BadCredentials, Fault, Refused, SlowDown, Unexpected, Unreachable

OF: Final = "CloudStack"
_LONGEST: Final = 300
_RETRY: Final = re.compile(r"after\s+(\d{1,9})\s*(ms|milli)", re.IGNORECASE)
_FRAME: Final = re.compile(r'<frame\b[^>]*\bsrc="([^"]+)"', re.IGNORECASE)
_TAG: Final = re.compile(r"<[^>]*>")
_COMMAND: Final = re.compile(r"\bcommand\b", re.IGNORECASE)
_IDENTITY: Final = re.compile(r"credential|signature|api ?key|log ?in|session", re.IGNORECASE)


class Declined(Refused):
    """CloudStack said no. `code` is its error code: 431 a parameter, 432 not supported, 531 the account, 536 in use."""

    def __init__(self, words: str, code: int) -> None:
        super().__init__(words)
        self.code = code


def body(response: requests.Response, secrets: Iterable[str] = ()) -> dict[str, Any]:
    """The object inside a good reply. Otherwise the fault that fits; `secrets` are struck out of its words."""
    status = response.status_code
    try:
        found = orjson.loads(response.content)
    except orjson.JSONDecodeError as error:
        raise not_json(response) from error
    inner = next(iter(found.values())) if isinstance(found, dict) and len(found) == 1 else None
    if inner == []:
        inner = {}
    if not isinstance(inner, dict):
        if status != 200:
            raise _after(response) or fault(status, "", secrets)
        raise Unexpected(f"{OF} answered JSON of a shape that its protocol does not have.")
    code = inner.get("errorcode")
    if status == 200 and (code is None or code == 0):
        return inner
    told = fault(code if isinstance(code, int) and code else status, str(inner.get("errortext") or ""), secrets)
    waits = _after(response) if isinstance(told, SlowDown) and told.retry_after is None else None
    raise waits or told


def fault(code: int, text: str, secrets: Iterable[str] = ()) -> Fault:
    """What an error code and its text mean (com.cloud's ApiErrorCode)."""
    own = words(text, secrets)
    said = f": {own}" if own else "."
    if code == 401:
        # Some releases say 401 where others say 432: for a command that there is not, or not for this role.
        if _COMMAND.search(text) and not _IDENTITY.search(text):
            return Declined(f"{OF} refused ({code}){said}", code)
        return BadCredentials(f"{OF} did not accept the credentials{said}")
    if code in (429, 503):
        waits = _RETRY.search(text)
        return SlowDown(f"{OF} asks for fewer calls ({code}){said}", int(waits.group(1)) / 1000 if waits else None)
    if code in (502, 504):
        return Unreachable(f"{OF} is not reachable behind its proxy ({code}){said}")
    if code == 530 or 500 <= code < 530:
        return Unexpected(f"{OF} failed inside ({code}){said}")
    if code >= 400:
        return Declined(f"{OF} refused ({code}){said}", code)
    return Unexpected(f"{OF} answered {code} where its protocol has a reply{said}")


def words(text: str, secrets: Iterable[str] = ()) -> str:
    """A text of the cloud's, on one line, not too long, without secrets."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "[removed]")
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def console(page: str) -> str:
    """The address in the frame of a console's page. Refused, in the page's own words, when there is none in it."""
    found = _FRAME.search(page)
    address = found.group(1).replace("&amp;", "&") if found else ""
    if address.startswith(("https://", "http://")):
        return address
    raise Refused(words(_TAG.sub(" ", page)) or "The cloud gave no console address.")


def not_json(response: requests.Response) -> Fault:
    """What a reply means that is none of the API's."""
    status = response.status_code
    if status == 200 and response.content.lstrip()[:1] == b"{":
        return Unexpected(f"{OF} answered something that is not complete JSON.")
    if status in (200, 404, 405):
        return Unexpected(
            f"There is no CloudStack API at this address ({status}): it answered something that is not JSON. "
            "Register the address that ends in /client/api."
        )
    return _after(response) or fault(status, "")


def _after(response: requests.Response) -> SlowDown | None:
    # CloudStack itself sends no Retry-After; a proxy in front of it may.
    value = response.headers.get("Retry-After", "").strip()
    if response.status_code in (429, 503) and value.isascii() and value.isdigit() and len(value) < 7:
        return SlowDown(f"{OF} asks for fewer calls ({response.status_code}).", float(value))
    return None
