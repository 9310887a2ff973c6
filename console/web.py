"""Serve HTTP and websockets on a listening socket that `up` holds: `python -m console.web FD`.

The socket outlives this process, so that connections wait in its queue while web is started again.
"""

from __future__ import annotations

import gc
import os
import socket
import sys
from importlib import import_module

import django
import uvicorn


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
            http="httptools",
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
