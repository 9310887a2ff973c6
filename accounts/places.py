"""Places at an endpoint: so many workers call one cloud at a time, so that one that crawls leaves the others to others.

Walk: `place` takes a key of Valkey's that nobody has, and gives it back. The place of a worker that was killed is free
again by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final
from uuid import uuid4

import structlog
from redis.exceptions import RedisError

from console.lib import outbound
from console.lib.valkey import client

log = structlog.get_logger(__name__)

WORK: Final = "work"  # what the worker of actions does: actions, and challenges of machines that claim
WORK_AT_ONCE: Final = 3  # of the threads of that worker (console/management/parts.py), at one endpoint
WORK_WITHIN: Final = 30.0  # seconds in which a step of such work may begin another call
WORK_WAITS: Final = "Other work at this cloud comes first."  # said of a step that got no place


@contextmanager
def place(use: str, endpoint_id: Any, at_once: int, longest: float) -> Iterator[bool]:
    """Whether there was a place left of the `at_once` that this use has at the endpoint; it is ours meanwhile.

    `longest`: seconds after which it begins no other call. Without Valkey there is no place.
    """
    ours = uuid4().hex
    kept = int((longest + outbound.TOTAL + 10) * 1000)
    keys = (f"places:{use}:{endpoint_id}:{number}" for number in range(at_once))
    try:
        taken = next((key for key in keys if client().set(key, ours, nx=True, px=kept)), "")
    except RedisError as fault:
        log.warning("place not taken", endpoint=str(endpoint_id), reason=str(fault))
        taken = ""
    try:
        yield bool(taken)
    finally:
        try:
            if taken and client().get(taken) == ours:
                client().delete(taken)
        except RedisError as fault:  # it is free again by itself
            log.warning("place not given back", endpoint=str(endpoint_id), reason=str(fault))


def work(endpoint_id: Any) -> AbstractContextManager[bool]:
    """A place for one step of an action, or of a challenge."""
    return place(WORK, endpoint_id, WORK_AT_ONCE, WORK_WITHIN)
