"""Samples of servers over time: by the minute for days, a quarter of an hour for weeks, six hours for two years.

Plain partitioned tables without a model: partitions are made ahead and dropped when their time is over, which costs
nothing, and a coarser table is filled from the finer one. Rows name their server and refer to nothing, so a COPY of
thousands checks no key; they go with the server (receivers.py) or with their time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import connection, transaction
from django.utils import timezone

_EPOCH: Final = datetime(2026, 1, 5, tzinfo=UTC)  # a Monday: where partitions are counted from
_LOCK: Final = 0x6D75_7374  # advisory: one makes partitions at a time


@dataclass(frozen=True)
class Grain:
    """One table: a row each `step`, kept for `keep`, in partitions that span `span`."""

    table: str
    step: timedelta
    keep: timedelta
    span: timedelta


MINUTE: Final = Grain("agents_sample", timedelta(minutes=1), timedelta(days=3), timedelta(days=1))
QUARTER: Final = Grain("agents_sample_quarter", timedelta(minutes=15), timedelta(days=45), timedelta(days=7))
SIX_HOURS: Final = Grain("agents_sample_six_hours", timedelta(hours=6), timedelta(days=730), timedelta(days=91))
GRAINS: Final = (MINUTE, QUARTER, SIX_HOURS)
LATE: Final = timedelta(hours=2)  # a sample may come so long after its time: an agent that was cut off keeps some
EARLY: Final = timedelta(minutes=5)  # before it: hosts' clocks differ

NUMBERS: Final = {
    "load1": "real", "load5": "real", "load15": "real", "cpu_percent": "real", "memory_used_bytes": "bigint",
    "memory_total_bytes": "bigint", "swap_used_bytes": "bigint", "swap_total_bytes": "bigint",
    "uptime_seconds": "bigint",
}  # fmt: skip
_NAMES: Final = ", ".join(NUMBERS)
_TOLD: Final = ", ".join(
    f"(sample->>'{name}')::{'float8::' * (kind == 'bigint')}{kind}" for name, kind in NUMBERS.items()
)
_KEEP: Final = (
    f"INSERT INTO {MINUTE.table} (server_id, at, {_NAMES}, disks, nics)"  # noqa: S608 - our own names
    f" SELECT server, to_timestamp(at), {_TOLD}, sample->'disks', sample->'nics' FROM agents_heard"
    " WHERE sample IS NOT NULL AND server IS NOT NULL ON CONFLICT DO NOTHING"
)
_MEANS: Final = ", ".join(f"avg({name})::{kind} AS {name}" for name, kind in NUMBERS.items())
_SET: Final = ", ".join(f"{name} = EXCLUDED.{name}" for name in (*NUMBERS, "disks", "nics"))


def keep(cursor: Any) -> None:
    """Store the samples that stand in the temporary table `agents_heard` (lean/flushing.py), each once."""
    cursor.execute(_KEEP)


def prepare(now: datetime | None = None) -> None:
    """Make the partitions of now and of the time to come, and drop those whose time is over. Harmless at any time."""
    now = now or timezone.now()
    for grain in GRAINS:
        present = (now - _EPOCH) // grain.span
        wanted = {_name(grain, number): number for number in range(present - 1, present + 3)}
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
            there = _partitions(cursor, grain)
            for name in wanted.keys() - there:
                _make(cursor, grain, name, wanted[name])
            for name in there - wanted.keys():
                if _begin(grain, int(name.rsplit("_", 1)[1]) + 1) < now - grain.keep:
                    cursor.execute(f"DROP TABLE {name}")


def roll_up(now: datetime | None = None) -> int:
    """Fill the coarser tables with what is finished and was not there, or may have become more. Rows written."""
    now = now or timezone.now()
    written = 0
    for finer, coarser in ((MINUTE, QUARTER), (QUARTER, SIX_HOURS)):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SELECT max(at) FROM {coarser.table}")  # noqa: S608 - our own names
            last = cursor.fetchone()[0] or now - finer.keep
            begin = _floor(min(last + coarser.step, now - LATE - coarser.step), coarser.step)
            end = _floor(now, coarser.step)
            times: dict[str, Any] = {"step": coarser.step, "begin": begin, "end": end, "origin": _EPOCH}
            cursor.execute(_roll(finer, coarser), times)
            written += cursor.rowcount
    return written


def forget(servers: Iterable[UUID]) -> None:
    """Delete what is kept of these servers."""
    ids = list(servers)
    with connection.cursor() as cursor:
        for grain in GRAINS:
            cursor.execute(f"DELETE FROM {grain.table} WHERE server_id = ANY(%s)", [ids])  # noqa: S608 - our own names


def _roll(finer: Grain, coarser: Grain) -> str:
    """Means of each step; of each disk and NIC too. PostgreSQL rounds a mean of bytes to whole ones."""
    return f"""
    WITH told AS (
        SELECT *, date_bin(%(step)s, at, %(origin)s) AS slot FROM {finer.table} WHERE at >= %(begin)s AND at < %(end)s
    ), disk AS (
        SELECT server_id, slot, jsonb_agg(jsonb_build_object(
            'mount', mount, 'used_bytes', used, 'total_bytes', total) ORDER BY mount) AS disks
        FROM (
            SELECT server_id, slot, d->>'mount' AS mount, avg((d->>'used_bytes')::numeric)::bigint AS used,
                max((d->>'total_bytes')::numeric)::bigint AS total
            FROM told, jsonb_array_elements(disks) d GROUP BY 1, 2, 3
        ) AS mounts GROUP BY 1, 2
    ), nic AS (
        SELECT server_id, slot, jsonb_agg(jsonb_build_object(
            'name', name, 'rx_bytes_per_second', rx, 'tx_bytes_per_second', tx) ORDER BY name) AS nics
        FROM (
            SELECT server_id, slot, n->>'name' AS name, avg((n->>'rx_bytes_per_second')::float8) AS rx,
                avg((n->>'tx_bytes_per_second')::float8) AS tx
            FROM told, jsonb_array_elements(nics) n GROUP BY 1, 2, 3
        ) AS names GROUP BY 1, 2
    )
    INSERT INTO {coarser.table} (server_id, at, {_NAMES}, disks, nics)
    SELECT server_id, slot, {_NAMES}, coalesce(disk.disks, '[]'), coalesce(nic.nics, '[]')
    FROM (SELECT server_id, slot, {_MEANS} FROM told GROUP BY 1, 2) AS means
    LEFT JOIN disk USING (server_id, slot) LEFT JOIN nic USING (server_id, slot)
    ON CONFLICT (server_id, at) DO UPDATE SET {_SET}
    """  # noqa: S608 - our own names


def _make(cursor: Any, grain: Grain, name: str, number: int) -> None:
    """Attached, and not created in place: that would wait for, and hold up, every reader and writer."""
    begin, end = _begin(grain, number), _begin(grain, number + 1)
    cursor.execute(f"CREATE TABLE {name} (LIKE {grain.table} INCLUDING ALL)")
    cursor.execute(f"CREATE INDEX ON {name} USING brin (at)")
    cursor.execute(f"ALTER TABLE {grain.table} ATTACH PARTITION {name} FOR VALUES FROM (%s) TO (%s)", [begin, end])


def _partitions(cursor: Any, grain: Grain) -> set[str]:
    cursor.execute("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = %s::regclass", [grain.table])
    return {name for (name,) in cursor.fetchall()}


def _name(grain: Grain, number: int) -> str:
    return f"{grain.table}_{number}"


def _begin(grain: Grain, number: int) -> datetime:
    return _EPOCH + number * grain.span


def _floor(moment: datetime, step: timedelta) -> datetime:
    return _EPOCH + (moment - _EPOCH) // step * step


@dataclass(frozen=True)
class Series:
    """Means of equal steps, in columns: `at` is when each begins; a number is None where the host did not tell it.

    A step in which nothing was heard is not there. `disks` and `nics`: name → number → column. Two steps that lie
    further apart than `gap` have a silence between them.
    """

    step: timedelta
    gap: timedelta
    at: list[datetime]
    numbers: dict[str, list[float | None]]
    disks: dict[str, dict[str, list[float | None]]]
    nics: dict[str, dict[str, list[float | None]]]


MOST_POINTS: Final = 800  # of a series: more than a screen shows


def series(server: UUID, since: datetime, until: datetime) -> Series:
    """What a server's agent told from `since` to before `until`, in at most MOST_POINTS steps.

    From the finest table that goes back so far, and where that is not filled yet, from the samples by the minute.
    """
    age = timezone.now() - since
    grain = next((one for one in GRAINS if age <= one.keep), GRAINS[-1])
    step = grain.step * max(1, -(-(until - since) // (grain.step * MOST_POINTS)))
    columns = f"at, {_NAMES}, disks, nics"
    sql = f"SELECT {columns} FROM {grain.table} WHERE server_id = %(server)s AND at >= %(since)s AND at < %(until)s"  # noqa: S608 - our own names
    if grain is not MINUTE:
        sql += f""" UNION ALL SELECT {columns} FROM {MINUTE.table} WHERE server_id = %(server)s AND at < %(until)s
            AND at >= coalesce((SELECT max(at) FROM {grain.table} WHERE server_id = %(server)s AND at >= %(since)s
            AND at < %(until)s) + %(step)s, %(since)s)"""  # noqa: S608 - our own names
    given: dict[str, Any] = {"server": server, "since": _floor(since, step), "until": until, "step": grain.step}
    slots: dict[datetime, dict[tuple[str, str, str], list[float]]] = {}
    with connection.cursor() as cursor:
        cursor.execute(sql, given)
        for at, *numbers, disks, nics in cursor.fetchall():
            told = slots.setdefault(_floor(at, step), {})
            for name, value in zip(NUMBERS, numbers, strict=True):
                _add(told, ("", "", name), value)
            for kind, key, items in (("disks", "mount", disks), ("nics", "name", nics)):
                for item in json.loads(items) if isinstance(items, str) else items:
                    for name in item.keys() - {key}:
                        _add(told, (kind, str(item.get(key)), name), item[name])
    order = sorted(slots)
    means = {
        name: [sum(heard) / len(heard) if (heard := slots[at].get(name)) else None for at in order]
        for name in sorted({name for told in slots.values() for name in told})
    }
    kinds: dict[str, dict[str, dict[str, list[float | None]]]] = {"disks": {}, "nics": {}}
    for (kind, item, name), column in means.items():
        if kind:
            kinds[kind].setdefault(item, {})[name] = column
    whole = {name: means.get(("", "", name), [None] * len(order)) for name in NUMBERS}
    return Series(step, step + max(grain.step, timedelta(seconds=90)), order, whole, kinds["disks"], kinds["nics"])


def _add(told: dict[tuple[str, str, str], list[float]], name: tuple[str, str, str], value: Any) -> None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        told.setdefault(name, []).append(float(value))
