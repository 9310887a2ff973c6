"""The console as agents meet it: console.asgi under uvicorn, in a thread, over the test's database."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import uvicorn
import uvloop
from django.core.signals import request_finished
from django.db import connections

from console.asgi import router
from console.web import Protocol
from servers.agents.lean.desk import Desk
from servers.agents.lean.front import Front
from tests.processes import wait


class LiveConsole:
    """`url`, and what a test may ask of the application that runs there."""

    def __init__(self) -> None:
        self.front = Front(router)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        config = uvicorn.Config(
            self.front,
            log_config=None,
            access_log=False,
            lifespan="on",
            interface="asgi3",
            http=Protocol,
            timeout_graceful_shutdown=3,
        )
        self.server = uvicorn.Server(config)
        self.loop: asyncio.AbstractEventLoop | None = None

    @property
    def desk(self) -> Desk:
        found = self.front._desk
        assert found is not None
        return found

    def run(self) -> None:
        async def serve() -> None:
            self.loop = asyncio.get_running_loop()
            await self.server.serve(sockets=[self.socket])

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # the loop of console/web.py
            runner.run(serve())

    def do(self, deed: Callable[..., Awaitable[Any]] | Callable[..., Any], *given: Any) -> Any:
        """Run it on the server's event loop; its result."""
        assert self.loop is not None

        async def inside() -> Any:
            found = deed(*given)
            return await found if asyncio.iscoroutine(found) else found

        return asyncio.run_coroutine_threadsafe(inside(), self.loop).result(20)

    def waits(self, machine: Any) -> None:
        """Until the machine's agent waits for work."""
        wait(lambda: machine.agent_id in self.desk.waiting, words="the agent waits")

    def written(self) -> None:
        """Until what agents brought so far is in the database."""
        self.do(self.desk.buffer.flush)


def _close(**_: Any) -> None:
    """Django's ASGI handler serves each request in a thread of its own, whose connection nobody would close."""
    if threading.current_thread() is not threading.main_thread():
        connections.close_all()


@contextmanager
def served() -> Iterator[LiveConsole]:
    """Needs `django_db(transaction=True)`: it has connections of its own."""
    console = LiveConsole()
    thread = threading.Thread(target=console.run, daemon=True)
    request_finished.connect(_close)
    thread.start()
    try:
        wait(lambda: console.server.started, 60, "the console serves")
        console.do(lambda: asyncio.wait_for(console.desk.hearing.on.wait(), 60))
        yield console
    finally:
        if console.loop is not None:
            with suppress(RuntimeError):
                console.loop.call_soon_threadsafe(console.front.leave)
        console.server.should_exit = True
        thread.join(20)
        console.socket.close()
        request_finished.disconnect(_close)
        assert not thread.is_alive(), "the console did not end"
