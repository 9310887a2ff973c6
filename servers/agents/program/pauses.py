"""How long the agent waits between two tries."""

import os

SLOWEST = 300.0  # seconds: the longest pause between tries, before jitter
SOONEST = 0.2  # seconds between two answers that brought something
BUSY = 1.0  # seconds that the console may wait with its answer while a script runs here: what it writes should be seen


def chance() -> float:
    """From 0 to 1, as random.random(), which would cost a megabyte of modules."""
    return int.from_bytes(os.urandom(7), "big") / 2.0**56


def after(failures: int, share: float) -> float:
    """Seconds after so many failures in a row: twice as many each time, of which a random `share` is taken, so that
    thousands of agents do not come back at once."""
    return max(0.5, share * min(SLOWEST, 2.0 ** min(failures, 10)))
