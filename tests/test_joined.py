"""What is written in one turn of the event loop leaves in one piece, and nothing is lost or held for long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from console.web import HELD, Joined


class Wire(asyncio.Transport):
    """Records what leaves."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.1", 5)})
        self.left: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.closed, "written after its end"
        self.left.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def after(*turns: Callable[[Joined], None]) -> Wire:
    """The wire, when each of these was done in a turn of its own."""
    wire = Wire()

    async def run() -> None:
        joined = Joined(wire, asyncio.get_running_loop())
        for turn in turns:
            turn(joined)
            await asyncio.sleep(0)
        await asyncio.sleep(0)

    asyncio.run(run())
    return wire


def answer(joined: Joined) -> None:
    joined.write(b"head ")
    joined.write(b"body")


def test_head_and_body_leave_together_and_the_next_answer_by_itself() -> None:
    assert after(answer, answer).left == [b"head body", b"head body"]


def test_what_is_large_leaves_before_the_turn_is_over() -> None:
    chunk, seen = b"x" * (HELD // 2 + 1), []

    def stream(joined: Joined) -> None:
        for _ in range(5):
            joined.write(chunk)
            seen.append(joined._size)

    wire = after(stream)
    assert max(seen) <= HELD and b"".join(wire.left) == chunk * 5


def test_a_close_sends_what_is_left_first() -> None:
    def last(joined: Joined) -> None:
        answer(joined)
        joined.close()

    wire = after(last)
    assert wire.left == [b"head body"] and wire.closed


@pytest.mark.parametrize("ended", ["before", "between"])
def test_nothing_is_written_to_a_peer_that_is_gone(ended: str) -> None:
    def hang_up(joined: Joined) -> None:
        if ended == "between":
            answer(joined)
        joined._transport.close()
        if ended == "before":
            answer(joined)

    assert after(hang_up).left == []


def test_everything_else_is_the_transports_own() -> None:
    def asked(joined: Joined) -> None:
        assert joined.get_extra_info("peername") == ("192.0.2.1", 5) and not joined.is_closing()

    after(asked)
