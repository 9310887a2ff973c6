"""Telling the web processes about agents: some have work and should not wait longer, some are not welcome any more.

Both are hints over Valkey, sent when the transaction commits. A lost one costs a poll, or the five seconds until every
web process has looked at the agents that it knows (lean/).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from uuid import UUID

import structlog
from django.db import transaction
from redis.exceptions import RedisError

from console.lib import valkey

log = structlog.get_logger(__name__)

WAKE: Final = "agents:wake"  # their answers should go out now; the payload is agents' ids, with spaces between
DROP: Final = "agents:drop"  # what is known of them in memory does not hold any more; the same payload
MANY: Final = 1000  # ids in one message


def ring(agents: Iterable[UUID]) -> None:
    """These agents have something to come for."""
    _say(WAKE, agents)


def drop(agents: Iterable[UUID]) -> None:
    """The state, the key or the session of these agents changed."""
    _say(DROP, agents)


def _say(channel: str, agents: Iterable[UUID]) -> None:
    ids = [str(agent) for agent in agents]
    if ids:
        transaction.on_commit(lambda: _publish(channel, ids))


def _publish(channel: str, ids: list[str]) -> None:
    try:
        for start in range(0, len(ids), MANY):
            valkey.client().publish(channel, " ".join(ids[start : start + MANY]))
    except RedisError as fault:
        log.warning("agents_not_told", channel=channel, agents=len(ids), cause=str(fault) or type(fault).__name__)
