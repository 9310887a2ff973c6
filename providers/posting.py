"""One POST of one event, as https://www.standardwebhooks.com writes it. No database here: threads do this."""

from __future__ import annotations

import base64
import hmac
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

import requests

from console.lib.faults import Fault
from console.lib.outbound import Session

PREFIX: Final = "whsec_"
TOTAL: Final = 10.0  # seconds, from the name look-up to the status line
LONGEST_WAIT: Final = 3600.0  # that an endpoint may ask for
_DOWN: Final = frozenset({429, 502, 503, 504})  # it says that it is busy or away, whatever the event
_AGENT: Final = "Muster-Webhooks/1"


@dataclass(frozen=True)
class Message:
    """A signed request, ready to go. `moment`: its `webhook-timestamp`."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    moment: int


@dataclass(frozen=True)
class Answer:
    """How a try went. `status` None: no reply. `down`: the endpoint is away, whatever the event. `gone`: it said 410.
    `wait`: seconds that it asked for. `moment` and `url`: the request's."""

    status: int | None
    seconds: float
    words: str
    down: bool = False
    wait: float = 0.0
    moment: int = 0
    url: str = ""

    @property
    def taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        return self.status == 410


def headers(event: str, moment: int) -> dict[str, str]:
    """Those of a try at `moment` (seconds since 1970), but for the signature."""
    return {
        "content-type": "application/json",
        "user-agent": _AGENT,
        "webhook-id": event,
        "webhook-timestamp": str(moment),
    }


def signed(url: str, event: str, body: bytes, secrets: Sequence[str], moment: int) -> Message:
    """The request, with a signature for each secret (`whsec_…`), the newest first."""
    content = f"{event}.{moment}.".encode() + body
    signatures = [
        "v1," + base64.b64encode(hmac.digest(base64.b64decode(text.removeprefix(PREFIX)), content, "sha256")).decode()
        for text in secrets
    ]
    return Message(url, {**headers(event, moment), "webhook-signature": " ".join(signatures)}, body, moment)


def post(session: Session, message: Message) -> Answer:
    """Send it; every failure is an answer too."""
    started = time.monotonic()
    try:
        reply = session.post(message.url, data=message.body, headers=dict(message.headers))
    except Fault as fault:
        return Answer(None, _since(started), fault.words[:500], down=True, moment=message.moment, url=message.url)
    status = reply.status_code
    return Answer(status, _since(started), _said(status), status in _DOWN, _asked(reply), message.moment, message.url)


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)


def _said(status: int) -> str:
    try:
        return f"The endpoint answered {status} {HTTPStatus(status).phrase}."
    except ValueError:
        return f"The endpoint answered {status}."


def _asked(reply: requests.Response) -> float:
    """`Retry-After` in seconds, of a number or a date; 0 when it says nothing."""
    text = reply.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), LONGEST_WAIT)
    try:
        seconds = parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), LONGEST_WAIT)
