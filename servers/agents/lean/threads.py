"""The few threads in which the lean application uses the database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from django.db import DEFAULT_DB_ALIAS, close_old_connections, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from servers.agents.lean.replies import busy

T = TypeVar("T")
THREADS: Final = 4
QUEUE: Final = 2000  # deeds that may wait for a thread


class Threads:
    """Runs deeds beside the event loop, so many at once; refuses when too many wait."""

    def __init__(self, threads: int = THREADS, name: str = "lean-deeds") -> None:
        self._held: list[BaseDatabaseWrapper] = []
        self._pool = ThreadPoolExecutor(threads, name, initializer=self._begin)
        self._waiting = 0

    async def run(self, deed: Callable[..., T], *given: Any) -> T:
        if self._waiting >= QUEUE:
            raise busy("Too many agents call at once. Try again in some seconds.")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, _done, deed, given)
        finally:
            self._waiting -= 1

    async def end(self) -> None:
        """Let the deeds that run finish, and give the threads' connections back."""
        await asyncio.to_thread(self._end)

    def _end(self) -> None:
        self._pool.shutdown()
        for held in self._held:
            held.close()

    def _begin(self) -> None:
        mine = connections[DEFAULT_DB_ALIAS]
        mine.inc_thread_sharing()  # closed by whoever ends us
        self._held.append(mine)


def _done(deed: Callable[..., T], given: tuple[Any, ...]) -> T:
    close_old_connections()
    try:
        return deed(*given)
    finally:
        close_old_connections()
