"""What a benchmark says: a figure, and the baseline that was measured in the same run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Result:
    """`ratio` = value / baseline. `detail` says in words what was compared."""

    name: str
    value: float
    unit: str
    baseline: float | None = None
    detail: str = ""

    @property
    def ratio(self) -> float | None:
        return self.value / self.baseline if self.baseline else None


def timed(function: Callable[[], object]) -> float:
    """Seconds that `function` took."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def median(function: Callable[[], object], runs: int = 5, warm_up: int = 1) -> float:
    """The median of `runs` timings, in seconds, after `warm_up` runs that do not count."""
    for _ in range(warm_up):
        function()
    return statistics.median(timed(function) for _ in range(runs))
