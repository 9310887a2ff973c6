"""What agents told and is not written yet: who was heard, the last sequence, samples. Written about once a second.

It is swapped on the event loop and written by a thread of its own. While that fails, the same is tried again, and the
lean application takes nothing more: what it acknowledges is written within LATEST seconds, or lost with the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Final

import structlog
from django.db import DatabaseError

from servers.agents.lean.known import Known
from servers.agents.lean.replies import busy
from servers.agents.lean.sequences import LATEST
from servers.agents.lean.threads import Threads

log = structlog.get_logger(__name__)
EVERY: Final = 0.8  # seconds


class Heard:
    """One session since the last write."""

    __slots__ = ("known", "samples", "seen", "sequence")

    def __init__(self, known: Known) -> None:
        self.known = known
        self.sequence = 0
        self.seen = 0.0
        self.samples: list[tuple[float, bytes]] = []  # (at, JSON)


class Buffer:
    """`write` stores what it is given, in a thread, or raises DatabaseError and stores nothing."""

    def __init__(self, write: Callable[[list[Heard]], None]) -> None:
        self._write = write
        self._heard: dict[bytes, Heard] = {}
        self._oldest = 0.0  # monotonic time from which on something is not written; 0 when all is
        self._thread = Threads(1, "lean-flush")
        self._flushing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    def ready(self) -> None:
        """Refused while what came before cannot be written."""
        if self._oldest and time.monotonic() - self._oldest > LATEST:
            raise busy("The console cannot write just now. Try again.")

    def hear(self, known: Known, sequence: int, now: float) -> Heard:
        heard = self._heard.get(known.session)
        if heard is None:
            heard = self._heard[known.session] = Heard(known)
            self._oldest = self._oldest or time.monotonic()
        heard.sequence = max(heard.sequence, sequence)
        heard.seen = now
        return heard

    async def end(self) -> None:
        """Write what is left, for some seconds."""
        if self._task:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LATEST):
                while self._heard and not await self._flush(list(self._heard.values())):
                    await asyncio.sleep(0.2)
                self._heard = {}
        await self._thread.end()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            await self.flush()

    async def flush(self) -> None:
        """Write what there is now; returns when it is written, also what another flush has begun to write."""
        async with self._flushing:
            if not self._heard:
                return
            taken, self._heard = self._heard, {}
            began = time.monotonic()
            try:
                while not await self._flush(list(taken.values())):
                    await asyncio.sleep(0.3)
            except asyncio.CancelledError:
                self._heard = taken | self._heard
                raise
            self._oldest = began if self._heard else 0.0

    async def _flush(self, heard: list[Heard]) -> bool:
        try:
            await asyncio.shield(self._thread.run(self._write, heard))
        except (DatabaseError, OSError) as fault:
            log.warning("agents_not_written", agents=len(heard), reason=str(fault))
            return False
        return True
