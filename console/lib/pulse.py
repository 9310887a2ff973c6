"""Signs of life: beat and each queue's workers leave one in the cache every few seconds, `readyz` reads them.

A worker's comes from its main loop, not from a task, so that a worker whose pool is busy for minutes is still alive.
"""

from __future__ import annotations

import time

import structlog
from django.core.cache import cache
from redis.exceptions import RedisError

EVERY = 4.0  # seconds
STALE_AFTER = 20.0  # seconds without a sign
EXPECTED = {
    "beat": "beat",
    "default": "a worker of the queue 'default'",
    "actions": "a worker of the queue 'actions'",
    "sync": "a worker of the queue 'sync'",
    "ssh": "a worker of the queue 'ssh'",
    "webhooks": "a worker of the queue 'webhooks'",
}

log = structlog.get_logger(__name__)
_left: dict[str, float] = {}


def leave(name: str, at: float | None = None) -> None:
    """`name` (beat, or a queue) was alive at `at` (seconds since 1970; now). A broker that is away is only logged."""
    try:
        cache.set(f"pulse:{name}", time.time() if at is None else at, timeout=600)
    except (RedisError, OSError) as fault:
        log.warning("sign of life not left", name=name, reason=str(fault))


def leave_sometimes(name: str) -> None:
    """`leave`, at most every EVERY seconds from this process."""
    now = time.monotonic()
    if now - _left.get(name, -EVERY) >= EVERY:
        _left[name] = now
        leave(name)


def missing() -> list[str]:
    """A sentence for each part that gave no sign of life for STALE_AFTER seconds. RedisError, OSError: no broker."""
    seen = cache.get_many([f"pulse:{name}" for name in EXPECTED])
    words = []
    for name, who in EXPECTED.items():
        at = seen.get(f"pulse:{name}")
        if at is None:
            words.append(f"No sign of life from {who} yet.")
        elif time.time() - at > STALE_AFTER:
            words.append(f"No sign of life from {who} for {time.time() - at:.0f} s.")
    return words
