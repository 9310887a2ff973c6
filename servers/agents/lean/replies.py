"""What goes back: JSON that is ready, and refusals in the one error shape (console/lib/api/errors.py)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from uuid import uuid4

import orjson
import structlog

from console.lib.denials import Wrong
from servers.agents import checkin
from servers.agents.program import protocol

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

log = structlog.get_logger(__name__)
_JSON = (b"content-type", b"application/json")


class Refused(Exception):
    """The answer is no. `retry`: seconds after which it may be another one; `close`: and no more on this connection."""

    def __init__(
        self, status: int, code: str, words: str, *, fields: Any = None, retry: int = 0, close: bool = False
    ) -> None:
        super().__init__(code)
        self.status, self.code, self.words = status, code, words
        self.fields, self.retry, self.close = fields, retry, close


def busy(words: str) -> Refused:
    return Refused(503, "unavailable", words, retry=5)


def unknown_session() -> Refused:
    return Refused(401, protocol.UNKNOWN_SESSION, "This session is over or unknown. Begin another one.")


def of(fault: Exception) -> Refused | None:
    """The refusal that a deed's exception means; None for what nobody foresaw."""
    match fault:
        case Refused():
            return fault
        case Wrong():
            return Refused(400, fault.code, fault.words, fields=fault.fields)
        case checkin.UnknownAgent():
            return Refused(401, protocol.UNKNOWN_AGENT, "No such agent reports here any more. Install again.")
        case checkin.Removed():
            return Refused(410, protocol.REMOVED, "This agent was removed from its server. It uninstalls itself.")
        case checkin.ProveAgain():
            words = "This identity was given to another instance, or is used by two."
            return Refused(403, protocol.PROVE_AGAIN, words)
    return None


async def answer(send: Send, body: bytes) -> None:
    headers = [_JSON, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def refuse(send: Send, refused: Refused, path: str) -> None:
    """Tell it, and leave a line in the log that can be found by the id in it."""
    request_id = uuid4().hex
    error: dict[str, Any] = {"code": refused.code, "message": refused.words, "request_id": request_id}
    if refused.fields:
        error["fields"] = dict(refused.fields)
    body = orjson.dumps({"error": error})
    headers = [_JSON, (b"content-length", b"%d" % len(body)), (b"x-request-id", request_id.encode())]
    if refused.retry:
        headers.append((b"retry-after", b"%d" % refused.retry))
    if refused.close:
        headers.append((b"connection", b"close"))
    if refused.status == 405:
        headers.append((b"allow", b"POST"))
    log.info("agent_refused", path=path, status=refused.status, code=refused.code, request_id=request_id)
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
