"""The console's time, carried on by a clock of this host that nobody can set: a wrong host clock harms nothing."""

import time
from typing import Any, Callable, Optional

BOOTTIME = getattr(time, "CLOCK_BOOTTIME", 7)  # Linux's number for it; named since Python 3.7


def since_boot() -> float:
    """Seconds that only move forward, and also while the machine is suspended."""
    return time.clock_gettime(BOOTTIME)


class Clock:
    """`now` and `at` are in seconds since 1970: the console's, once it told us; until then this host's."""

    def __init__(self, since: Callable[[], float] = since_boot, host: Callable[[], float] = time.time) -> None:
        self._host = host
        self._offset = None  # type: Optional[float]
        self.since = since

    def now(self) -> float:
        return self.at(self.since())

    def at(self, moment: float) -> float:
        """The time at a moment of `since`."""
        if self._offset is None:
            return moment + self._host() - self.since()
        return moment + self._offset

    def told(self, when: Any) -> None:
        """The console's time, just heard."""
        if isinstance(when, (int, float)) and 0 < when < 2**40:
            self._offset = when - self.since()

    def skew(self) -> Optional[float]:
        """By how many seconds this host's clock is ahead of the console's; None until that one is known."""
        return None if self._offset is None else self._host() - self.now()
