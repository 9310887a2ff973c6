"""One write for all that was heard in a second: COPY into a temporary table, one UPDATE, one INSERT (NUMBERS.md).

A sample travels as its JSON; PostgreSQL takes it apart, which costs the web process nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

from django.db import DatabaseError, OperationalError, connection, transaction

from console.lib import notify
from servers import watching
from servers.agents import samples
from servers.agents.checkin import HINTS, SAMPLES
from servers.agents.lean.buffer import Heard

_TABLE: Final = """
CREATE TEMPORARY TABLE IF NOT EXISTS agents_heard (
    agent uuid, session uuid, server uuid, sequence bigint, seen double precision, at double precision, sample jsonb
) ON COMMIT DELETE ROWS
"""
_COPY: Final = "COPY agents_heard FROM STDIN"
# Few rows of a large table, whatever the planner thinks of a temporary table without statistics.
_PLAN: Final = "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL lock_timeout = '2s'"
_UPDATE: Final = """
UPDATE agents_agent a SET
    last_seen_at = greatest(a.last_seen_at, to_timestamp(h.seen)),
    sequence = greatest(a.sequence, h.sequence),
    load1 = CASE WHEN h.sample IS NULL THEN a.load1 ELSE (h.sample->>'load1')::float8 END,
    cpu_percent = CASE WHEN h.sample IS NULL THEN a.cpu_percent ELSE (h.sample->>'cpu_percent')::float8 END,
    memory_used = CASE WHEN h.sample IS NULL THEN a.memory_used ELSE (h.sample->>'memory_used_bytes')::bigint END,
    memory_total = CASE WHEN h.sample IS NULL THEN a.memory_total ELSE (h.sample->>'memory_total_bytes')::bigint END,
    disk_used = CASE WHEN h.sample IS NULL THEN a.disk_used ELSE (h.disk->>'used_bytes')::bigint END,
    disk_total = CASE WHEN h.sample IS NULL THEN a.disk_total ELSE (h.disk->>'total_bytes')::bigint END,
    metrics = coalesce(h.sample, a.metrics),
    recent_load = (a.recent_load || h.loads)[greatest(1, cardinality(a.recent_load) + cardinality(h.loads) - %s):]
FROM (
    SELECT g.*, (
        SELECT d FROM jsonb_array_elements(g.sample->'disks') d
        ORDER BY coalesce(d->>'mount' = '/', false) DESC, (d->>'total_bytes')::bigint DESC NULLS LAST LIMIT 1
    ) AS disk
    FROM (
        SELECT agent, session, max(sequence) AS sequence, max(seen) AS seen,
            (array_agg(sample ORDER BY at DESC) FILTER (WHERE sample IS NOT NULL))[1] AS sample,
            coalesce(array_agg((sample->>'load1')::float8 ORDER BY at) FILTER (WHERE sample->>'load1' IS NOT NULL),
                '{}') AS loads
        FROM agents_heard GROUP BY agent, session
    ) g
) h
WHERE a.id = h.agent AND a.session = h.session AND a.state = 'live'
"""
_LOCK: Final = """
DELETE FROM agents_heard WHERE agent NOT IN (
    SELECT id FROM agents_agent WHERE id IN (SELECT agent FROM agents_heard) FOR NO KEY UPDATE SKIP LOCKED
)
"""


def write(heard: list[Heard]) -> None:
    """Store it, and tell the open pages that show one of these servers. DatabaseError: nothing was stored."""
    try:
        _store(heard, patient=True)
    except OperationalError:  # a row is held by a deed, or two processes meet: leave out those rows, this once
        _store(heard, patient=False)
    except DatabaseError as fault:
        if "no partition of relation" not in str(fault):
            raise
        samples.prepare()
        _store(heard, patient=True)
    _hint(heard)


def _store(heard: list[Heard], *, patient: bool) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_TABLE)
        cursor.execute(_PLAN)
        with cursor.copy(_COPY) as copy:
            copy.write("".join(_lines(heard)))
        samples.keep(cursor)
        if not patient:
            cursor.execute(_LOCK)
        cursor.execute(_UPDATE, [SAMPLES - 1])


def _lines(heard: list[Heard]) -> Iterator[str]:
    for one in heard:
        known = one.known
        start = f"{known.id}\t{known.session.decode()}\t{known.server or chr(92) + 'N'}\t{one.sequence}\t{one.seen}\t"
        if not one.samples:
            yield start + "\\N\t\\N\n"
        for at, sample in one.samples:
            yield f"{start}{at}\t{sample.decode().replace(chr(92), chr(92) * 2)}\n"


def _hint(heard: list[Heard]) -> None:
    """Of servers that somebody looks at, and of each not more often than every HINTS."""
    now = time.time()
    looked: Any = watching.looked_at(now)
    if not looked:
        return
    with transaction.atomic():  # gathers them
        for one in heard:
            known = one.known
            if known.server in looked and known.customer and now - known.hinted >= HINTS.total_seconds():
                known.hinted = now
                notify.changed(known.customer, f"server-{known.server}")
