"""A circuit breaker per endpoint (SECURITY.md §7): a cloud that is down is not asked by every account in turn.

It lives in Valkey, where it may be lost without harm: the accounts' own back-off stands behind it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import structlog
from django.core.cache import cache
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

FAILURES: Final = 5  # in a row, over all accounts of the endpoint
PAUSE: Final = 300  # seconds in which no scheduled sync goes to it


def failed(endpoint_id: Any) -> None:
    """The endpoint did not answer."""
    try:
        cache.add(_count(endpoint_id), 0, PAUSE * 2)
        if cache.incr(_count(endpoint_id)) >= FAILURES:
            cache.set(_open(endpoint_id), 1, PAUSE)
            cache.delete(_count(endpoint_id))
            log.warning("endpoint paused", endpoint=str(endpoint_id), seconds=PAUSE)
    except (RedisError, ValueError) as fault:  # ValueError: the count expired between the two calls
        log.warning("breaker not counted", endpoint=str(endpoint_id), reason=str(fault))


def worked(endpoint_id: Any) -> None:
    """The endpoint answered, whatever it said."""
    try:
        cache.delete_many([_count(endpoint_id), _open(endpoint_id)])
    except RedisError as fault:
        log.warning("breaker not reset", endpoint=str(endpoint_id), reason=str(fault))


def paused(endpoint_ids: Iterable[Any]) -> set[Any]:
    """Those endpoints that are given a rest at the moment."""
    wanted = {_open(endpoint_id): endpoint_id for endpoint_id in endpoint_ids}
    try:
        return {wanted[key] for key in cache.get_many(wanted)} if wanted else set()
    except RedisError as fault:
        log.warning("breaker not read", reason=str(fault))
        return set()


def _count(endpoint_id: Any) -> str:
    return f"breaker:count:{endpoint_id}"


def _open(endpoint_id: Any) -> str:
    return f"breaker:open:{endpoint_id}"
