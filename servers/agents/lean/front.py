"""The ASGI application that stands before Django: it takes the agents' hot path and passes everything else on."""

from __future__ import annotations

import asyncio
import contextlib
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator
from functools import partial
from typing import Any, Final, cast

import structlog
from django.db import DatabaseError
from psycopg_pool import PoolTimeout

from servers.agents.lean import replies
from servers.agents.lean.desk import Desk
from servers.agents.lean.replies import Message, Receive, Refused, Send
from servers.agents.program import protocol

log = structlog.get_logger(__name__)
BODY: Final = 15.0  # seconds in which a body has to be here
App = Callable[[Any, Receive, Send], Awaitable[Any]]


class Front:
    """`beyond` gets what is not for us. The desk is made by the server's start, or by the first request."""

    def __init__(self, beyond: App) -> None:
        self._beyond = beyond
        self._desk: Desk | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._paths = {
            protocol.CHECKIN_PATH: Desk.checkin,
            protocol.OUTPUT_PATH: Desk.output,
            protocol.LEAVE_PATH: Desk.leaving,
        }

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http" and scope["path"] in self._paths:
            await self._serve(scope, receive, send)
        elif kind == "lifespan":
            await self._live(receive, send)
        else:
            await self._beyond(scope, receive, send)

    def desk(self) -> Desk:
        """Of the event loop that runs."""
        if self._desk is None or self._loop is None or self._loop.is_closed():
            self._desk, self._loop = Desk(), asyncio.get_running_loop()
        return self._desk

    def leave(self) -> None:
        """The server is asked to stop; called on its event loop (console/web.py)."""
        if self._desk:
            self._desk.leave()

    async def end(self) -> None:
        if self._desk:
            desk, self._desk = self._desk, None
            await desk.end()

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self.desk()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self.end()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _serve(self, scope: Any, receive: Receive, send: Send) -> None:
        path = scope["path"]
        try:
            head = dict(scope["headers"])
            body = await _body(scope["method"], head, receive)
            asked = self._paths[path](self.desk(), head, body)
            scope["headers"].clear()  # it may wait for long, with tens of thousands of others: hold nothing
            del head, body
            answer = await asked
        except _Gone:
            return
        except Exception as fault:  # noqa: BLE001 - whatever it is, the caller gets the one error shape, and the log this
            await replies.refuse(send, _refusal(fault, path), path)
        else:
            await replies.answer(send, answer)


class _Gone(Exception):
    """The caller hung up before the request was whole."""


def _refusal(fault: Exception, path: str) -> Refused:
    if isinstance(fault, DatabaseError | PoolTimeout):
        log.warning("agents_database_away", path=path, reason=str(fault))
        return replies.busy("The console cannot reach its database just now. Try again.")
    refused = replies.of(fault)
    if refused is None:
        log.error("agents_broken", path=path, exc_info=fault)
        return Refused(500, "broken", "Something broke on our side. Staff can find it by the request id.")
    return refused


async def _body(method: str, head: dict[bytes, bytes], receive: Receive) -> bytes:
    """The request's body. Refused early when it is too large, and when it comes too slowly."""
    if method != "POST":
        raise Refused(405, "method_not_allowed", "This address answers POST only.")
    length = head.get(b"content-length", b"0")
    if not length.isdigit() or len(length) > 18:
        raise Refused(400, "bad_request", "The Content-Length header is not a number.", close=True)
    if int(length) > protocol.MAX_BODY:
        raise _too_large()
    reading = _whole(receive)
    try:
        first = reading.send(None)
    except StopIteration as done:  # all of it is there, as nearly always: that costs no timer
        return cast(bytes, done.value)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(BODY):
            return await _rest(reading, first)
    raise Refused(408, "too_slow", "The body did not come in time.", close=True)


async def _whole(receive: Receive) -> bytes:
    message: Message = await receive()
    body: bytes = message.get("body", b"")
    while message["type"] == "http.request" and message.get("more_body"):
        if len(body) > protocol.MAX_BODY:
            raise _too_large()
        message = await receive()
        body += message.get("body", b"")
    if message["type"] != "http.request":
        raise _Gone
    if len(body) > protocol.MAX_BODY:
        raise _too_large()
    return body


@types.coroutine
def _rest(begun: Coroutine[Any, Any, bytes], first: Any) -> Generator[Any, Any, bytes]:
    """What is left of a coroutine that was begun, and that waits for `first`."""
    while True:
        try:
            yield first
        except BaseException as fault:  # noqa: BLE001 - it is the coroutine's to answer: it is being cancelled
            go_on = partial(begun.throw, fault)
        else:
            go_on = partial(begun.send, None)
        try:
            first = go_on()
        except StopIteration as done:
            return cast(bytes, done.value)


def _too_large() -> Refused:
    return Refused(413, "too_large", f"A body here has at most {protocol.MAX_BODY} bytes.", close=True)
