"""What this process hears of others: agents that have something to come for, and agents that changed (waking.py)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import Final

import redis.asyncio
import structlog
from django.conf import settings
from redis.exceptions import RedisError

from servers.agents import waking

log = structlog.get_logger(__name__)
AGAIN: Final = 1.0  # seconds until Valkey is tried again
Hear = Callable[[Iterable[str]], None]


class Hearing:
    """One subscription a process, and its own fan-out."""

    def __init__(self, woken: Hear, dropped: Hear) -> None:
        self._hear = {waking.WAKE.encode(): woken, waking.DROP.encode(): dropped}
        self.on = asyncio.Event()  # it listens
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def end(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        while True:
            valkey = redis.asyncio.Redis.from_url(
                settings.REDIS_URL, socket_connect_timeout=2, health_check_interval=15
            )
            try:
                async with valkey, valkey.pubsub(ignore_subscribe_messages=True) as heard:
                    await heard.subscribe(*self._hear)
                    self.on.set()
                    while True:
                        message = await heard.get_message(timeout=10.0)
                        if message is not None:
                            self._hear[message["channel"]](message["data"].decode().split())
            except (RedisError, OSError) as fault:
                log.warning("agents_hints_lost", reason=str(fault) or type(fault).__name__)
            self.on.clear()
            await asyncio.sleep(AGAIN)
