"""Deadlines that hold from outside the thread that waits.

paramiko 5 still has waits without a time-out (`recv_exit_status`, channel events: seen in its source), so a thread
that waits in it cannot be trusted to look at a clock. One thread of ours per process does that for all of them.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable

REPEAT = 0.5  # seconds between cuts: paramiko clears an event that was set a moment too early, and would wait on


class Guard:
    """One deadline at work. `expired` turns True when it passed before the work was done; `disarm` ends it.

    As a context manager it ends with the block.
    """

    def __init__(self, cut: Callable[[], None]) -> None:
        self.cut = cut
        self.expired = False
        self.done = False

    def disarm(self) -> None:
        self.done = True

    def __enter__(self) -> Guard:
        return self

    def __exit__(self, *_: object) -> None:
        self.disarm()


class Watchdog:
    """Calls `cut()` for each deadline that passes, again and again until the guarded work has noticed.

    `cut` runs on the watchdog's thread: it must not block, and may be called several times.
    """

    def __init__(self) -> None:
        self._wake = threading.Condition()
        self._heap: list[tuple[float, int, Guard]] = []
        self._order = itertools.count()
        self._thread: threading.Thread | None = None

    def arm(self, seconds: float, cut: Callable[[], None]) -> Guard:
        """From `seconds` from now on, `cut` is called until the guard is disarmed."""
        guard = Guard(cut)
        self._push(time.monotonic() + seconds, guard)
        return guard

    def _push(self, when: float, guard: Guard) -> None:
        with self._wake:
            heapq.heappush(self._heap, (when, next(self._order), guard))
            if self._thread is None or not self._thread.is_alive():
                # Started at first use, and again after a fork: threads do not survive one.
                self._thread = threading.Thread(target=self._run, name="ssh-watchdog", daemon=True)
                self._thread.start()
            elif self._heap[0][2] is guard:
                self._wake.notify()

    def _run(self) -> None:
        while True:
            with self._wake:
                while self._heap and self._heap[0][2].done:
                    heapq.heappop(self._heap)
                if not self._heap:
                    self._wake.wait()
                    continue
                wait = self._heap[0][0] - time.monotonic()
                if wait > 0:
                    self._wake.wait(wait)
                    continue
                _, _, guard = heapq.heappop(self._heap)
                if guard.done:
                    continue
                guard.expired = True
            try:
                guard.cut()
            except (OSError, EOFError):
                guard.expired = True  # the line was already gone: just as good
            self._push(time.monotonic() + REPEAT, guard)


WATCHDOG = Watchdog()
