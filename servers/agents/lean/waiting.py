"""Agents that wait for work: a future each, and nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Iterable
from typing import Final

TICK: Final = 0.25  # seconds: how exactly a wait ends


class Waiting:
    """One wait an agent: whoever waits anew takes the place of a connection that may be dead."""

    def __init__(self) -> None:
        self._of: dict[str, asyncio.Future[None]] = {}
        self._ends: dict[int, list[asyncio.Future[None]]] = {}  # by tick
        self._loop = asyncio.get_running_loop()
        self._closed = False
        self._task = self._loop.create_task(self._run())

    def __len__(self) -> int:
        return len(self._of)

    def __contains__(self, agent: str) -> bool:
        return agent in self._of

    def wait(self, agent: str, seconds: float) -> asyncio.Future[None]:
        """Done when the agent is rung for, or the time is over."""
        self._done(self._of.get(agent))
        future = self._loop.create_future()
        if self._closed:
            future.set_result(None)
            return future
        self._of[agent] = future
        self._ends.setdefault(int((self._loop.time() + seconds) / TICK) + 1, []).append(future)
        return future

    def over(self, agent: str, future: asyncio.Future[None]) -> None:
        if self._of.get(agent) is future:
            del self._of[agent]

    def ring(self, agents: Iterable[str]) -> None:
        for agent in agents:
            self._done(self._of.get(agent))

    def close(self, within: float) -> None:
        """Let everybody go, spread over so many seconds, since they come back at once."""
        self._closed = True
        for future in self._of.values():
            self._loop.call_later(random.uniform(0, within), self._done, future)  # noqa: S311 - spreads load

    async def end(self) -> None:
        self._closed = True
        self.ring(list(self._of))
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        tick = int(self._loop.time() / TICK)
        while True:
            await asyncio.sleep(TICK)
            now = int(self._loop.time() / TICK)
            for passed in range(tick, now + 1):
                for future in self._ends.pop(passed, ()):
                    self._done(future)
            tick = now

    @staticmethod
    def _done(future: asyncio.Future[None] | None) -> None:
        if future is not None and not future.done():
            future.set_result(None)
