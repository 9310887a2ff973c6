"""What agents told is written by one flush at a time, and a flush that returned has left nothing unwritten."""

from __future__ import annotations

import asyncio
import threading
from unittest.mock import Mock

from servers.agents.lean.buffer import Buffer, Heard


def test_a_flush_returns_only_when_what_another_has_begun_to_write_is_written_too() -> None:
    begun, go, written = threading.Event(), threading.Event(), list[Heard]()

    def write(heard: list[Heard]) -> None:
        begun.set()
        assert go.wait(10)
        written.extend(heard)

    async def scenario() -> None:
        buffer = Buffer(write)
        buffer.hear(Mock(session=b"one"), 1, 0.0)
        first = asyncio.create_task(buffer.flush())
        assert await asyncio.to_thread(begun.wait, 10)
        second = asyncio.create_task(buffer.flush())
        await asyncio.sleep(0)
        assert not second.done() and not written
        go.set()
        await second
        assert [one.sequence for one in written] == [1]
        await first
        await buffer.end()

    asyncio.run(scenario())
