"""How many calls a provider's programs may make: one counter a minute for all its keys, in Valkey, atomic.

Valkey may be away: then nobody is counted, since a customer's portal is worth more than the count.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import structlog
from redis.exceptions import RedisError

from console.lib.valkey import client
from providers.models import Provider

log = structlog.get_logger(__name__)

WINDOW: Final = 60  # seconds
# KEYS: the counter. ARGV: milliseconds of a window. Answers the count with this call, and how long it still counts.
_COUNT: Final = """
local count = redis.call('INCR', KEYS[1])
if count == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return {count, redis.call('PTTL', KEYS[1])}
"""


@dataclass(frozen=True)
class Allowance:
    """What is left of this window's calls. `resets`: whole seconds until the next one."""

    limit: int
    left: int
    resets: int
    exceeded: bool

    @property
    def headers(self) -> dict[str, str]:
        """`RateLimit` and `RateLimit-Policy` as draft-ietf-httpapi-ratelimit-headers (08 and on) writes them."""
        return {
            "RateLimit-Policy": f'"calls";q={self.limit};w={WINDOW}',
            "RateLimit": f'"calls";r={self.left};t={self.resets}',
        }


def take(provider: Provider) -> Allowance | None:
    """Count a call of this provider. None when nobody counts."""
    try:
        told: Any = client().eval(_COUNT, 1, f"limits:calls:{provider.pk}", WINDOW * 1000)
    except RedisError as fault:
        log.warning("call not counted", provider=str(provider.pk), reason=str(fault))
        return None
    count, milliseconds = int(told[0]), int(told[1])
    limit = provider.calls_per_minute
    return Allowance(limit, max(0, limit - count), max(1, math.ceil(milliseconds / 1000)), count > limit)
