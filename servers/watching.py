"""Which servers somebody looks at just now: open pages say so, and it is forgotten after a minute.

It lives in Valkey, where it may be lost without harm: the servers are read with their accounts all the same.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, Final
from uuid import UUID

import structlog
from redis.exceptions import RedisError

from console.lib.valkey import client

log = structlog.get_logger(__name__)

LOOKED: Final = 60.0  # seconds for which a look counts
MOST: Final = 100  # servers of one page
ALL: Final = 5000  # servers that are kept in mind at once, the latest looks first
_KEY: Final = "servers:looked-at"


def note(ids: Iterable[Any], at: float | None = None) -> None:
    """Somebody who may see these servers looks at them, now or `at` (seconds since 1970). `ids` are our own."""
    moment = time.time() if at is None else at
    looked = {str(pk): moment for pk in list(ids)[:MOST]}
    if not looked:
        return
    try:
        pipe = client().pipeline(transaction=False)
        pipe.zadd(_KEY, looked)
        pipe.expire(_KEY, int(LOOKED) * 2)
        pipe.execute()
    except RedisError as fault:
        log.warning("look not noted", reason=str(fault))


def looked_at(now: float) -> set[UUID]:
    """The servers that somebody looked at within the minute before `now`."""
    try:
        client().zremrangebyscore(_KEY, "-inf", now - LOOKED)
        return {UUID(pk) for pk in client().zrevrange(_KEY, 0, ALL - 1)}
    except RedisError as fault:
        log.warning("looks not read", reason=str(fault))
        return set()
