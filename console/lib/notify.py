"""Hints to open pages (DESIGN.md, rule 10): what changed, never the data.

A browser that hears `server-7` refetches that row through the ordinary view, with the ordinary permission check.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from uuid import UUID

import structlog
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import transaction
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

MANY = 20  # rows of one kind changed in one transaction: more are one hint for their list
WAIT = 2.0  # seconds that a deed waits for a hung broker, once a transaction


def group(customer_id: UUID | str) -> str:
    """The channel group that pages open to this customer's people listen to."""
    return f"customer-{customer_id}"


def changed(customer_id: UUID | str, what: str) -> None:
    """After commit, tell the customer's open pages that `what` changed: `server-<id>`, `servers`, `install-<id>` …

    The same hint is sent once a transaction. A broker that is down loses hints, never the deed; a page catches up when
    it reconnects.
    """
    _gathered().add(str(customer_id), what)


class _Hints:
    """The hints of one transaction, sent when it commits."""

    def __init__(self) -> None:
        self.said: OrderedDict[tuple[str, str], None] = OrderedDict()

    def add(self, customer_id: str, what: str) -> None:
        self.said[customer_id, what] = None

    def __call__(self) -> None:
        if not self.said:
            return
        try:
            async_to_sync(_send)(_fewer(list(self.said)))
        except (RedisError, OSError, TimeoutError) as fault:
            log.warning("hints_lost", hints=len(self.said), cause=str(fault) or type(fault).__name__)


class _Now(_Hints):
    """Outside a transaction there is nothing to wait for."""

    def add(self, customer_id: str, what: str) -> None:
        super().add(customer_id, what)
        self()


def _gathered() -> _Hints:
    """The hints of the innermost savepoint: Django drops the hooks of one that is rolled back, and so its hints."""
    connection = transaction.get_connection()
    if not connection.in_atomic_block:
        return _Now()
    savepoints = set(connection.savepoint_ids)
    for entry in reversed(connection.run_on_commit):
        if isinstance(entry[1], _Hints) and entry[0] == savepoints:
            return entry[1]
    hints = _Hints()
    transaction.on_commit(hints)
    return hints


def _fewer(said: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Rows by the hundred become one hint for their list: ("c", "server-1") × 21 → ("c", "servers")."""
    counts: dict[tuple[str, str], int] = {}
    for customer_id, what in said:
        kind = (customer_id, what.partition("-")[0])
        counts[kind] = counts.get(kind, 0) + ("-" in what)
    fewer = OrderedDict[tuple[str, str], None]()
    for customer_id, what in said:
        word, dash, _ = what.partition("-")
        many = bool(dash) and counts[customer_id, word] > MANY
        fewer[customer_id, f"{word}s" if many else what] = None
    return list(fewer)


async def _send(said: list[tuple[str, str]]) -> None:
    layer = get_channel_layer()
    async with asyncio.timeout(WAIT):
        for customer_id, what in said:
            await layer.group_send(group(customer_id), {"type": "hint", "changed": what})
