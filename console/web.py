"""Serve HTTP and websockets on a listening socket that `up` holds: `python -m console.web FD`.

The socket outlives this process, so that connections wait in its queue while web is started again.
"""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import sys
from importlib import import_module
from typing import Any, Final

import django
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HELD: Final = 65536  # bytes that are gathered at most before they are sent


class Joined:
    """A transport that sends what is written in one turn of the event loop in one piece.

    uvicorn writes the head and the body of an answer one after the other: two system calls, and two packets.
    """

    __slots__ = ("_loop", "_parts", "_size", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._parts: list[bytes] = []
        self._size = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if not self._parts:
            self._loop.call_soon(self._send)
        self._parts.append(data)
        self._size += len(data)
        if self._size > HELD:
            self._send()

    def close(self) -> None:
        self._send()
        self._transport.close()

    def _send(self) -> None:
        if self._parts:
            data = b"".join(self._parts)
            self._parts.clear()
            self._size = 0
            if not self._transport.is_closing():
                self._transport.write(data)


class Protocol(HttpToolsProtocol):
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(Joined(transport, self.loop))  # type: ignore[arg-type]


class Server(uvicorn.Server):
    """Tells the application that the end is near, so that agents which wait are let go instead of cut off."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        from console.asgi import application

        application.leave()
        await super().shutdown(sockets)


def main() -> None:
    """Until SIGTERM; requests that run get two seconds more."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")
    django.setup()
    from django.conf import settings
    from django.urls import get_resolver

    import_module("console.asgi")
    get_resolver().url_patterns  # noqa: B018  # views are imported now, not by the first request
    gc.collect()
    gc.freeze()  # what is loaded stays: without this, now and then a request waits while all of it is looked through
    # Tens of thousands of agents that wait are a million objects, which a full collection would look at every few
    # seconds, for half a second each time. What dies in a cycle dies young, and the young are looked at.
    gc.set_threshold(20_000, 50, 500)
    server = Server(
        uvicorn.Config(
            "console.asgi:application",
            log_config=None,  # Django's LOGGING holds
            access_log=False,  # django-structlog writes one line a request, with its id
            lifespan="on",  # what agents brought is written at the end
            loop="uvloop",
            http=Protocol,
            ws="websockets-sansio",
            ws_max_size=65536,
            server_header=False,
            proxy_headers=bool(settings.TRUSTED_PROXIES),
            forwarded_allow_ips=settings.TRUSTED_PROXIES,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=2,
        )
    )
    server.run(sockets=[socket.socket(fileno=int(sys.argv[1]))])


if __name__ == "__main__":
    main()
