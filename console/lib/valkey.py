"""A client of the broker's Valkey, for what may be lost without harm: paces, turns, who looks at what."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry


@lru_cache(maxsize=1)
def client() -> Any:
    """One pool a process; answers are text. Every call may raise redis.RedisError, within two seconds."""
    return dialled(settings.REDIS_URL)


def dialled(url: str) -> Any:
    """A client that does not try again by itself: whoever calls can do without an answer."""
    return redis.Redis.from_url(
        url, socket_connect_timeout=2, socket_timeout=2, decode_responses=True, health_check_interval=30,
        retry=Retry(NoBackoff(), 0),
    )  # fmt: skip
