"""One question for all that ask at the same moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

from servers.agents.lean.replies import busy

Item = TypeVar("Item")
Found = TypeVar("Found")
MOST: Final = 1000  # items in one question
WAITING: Final = 10_000  # items that may wait; more are refused, and come again


class Batch(Generic[Item, Found]):
    """Gathers items while a question is under way, and asks for all of them in the next one. Of one event loop."""

    def __init__(self, ask: Callable[[list[Item]], Awaitable[Sequence[Found]]]) -> None:
        self._ask = ask
        self._loop = asyncio.get_running_loop()
        self._pending: list[tuple[Item, asyncio.Future[Found]]] = []
        self._task: asyncio.Task[None] | None = None

    async def ask(self, item: Item) -> Found:
        """The answer for this item, or what the question raised. Refused when too many wait."""
        if len(self._pending) >= WAITING:
            raise busy("Too many agents call at once. Try again in some seconds.")
        future: asyncio.Future[Found] = self._loop.create_future()
        self._pending.append((item, future))
        if self._task is None:
            self._task = self._loop.create_task(self._run())
        return await future

    async def _run(self) -> None:
        try:
            while self._pending:
                now, self._pending = self._pending[:MOST], self._pending[MOST:]
                try:
                    found = await self._ask([item for item, _ in now])
                except Exception as fault:  # noqa: BLE001 - raised again in each of those that asked
                    for _, future in now:
                        if not future.done():
                            future.set_exception(fault)
                else:
                    for (_, future), one in zip(now, found, strict=True):
                        if not future.done():
                            future.set_result(one)
        finally:
            self._task = None
