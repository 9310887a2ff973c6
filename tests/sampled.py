"""Servers whose agent has told how they were for some time."""

from __future__ import annotations

import json
import math
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection

from servers.agents import samples
from servers.agents.samples import NUMBERS, Grain

GB = 2**30


def sample(number: int, **other: Any) -> dict[str, Any]:
    """A host that is busier and less busy in turns."""
    wave = (1 + math.sin(number / 9)) / 2
    return {
        "load1": 0.2 + 2 * wave, "load5": 0.4 + 1.5 * wave, "load15": 0.7 + wave, "cpu_percent": 5 + 60 * wave,
        "memory_used_bytes": int(GB * (1 + wave)), "memory_total_bytes": 4 * GB, "swap_used_bytes": int(GB / 9 * wave),
        "swap_total_bytes": GB, "uptime_seconds": 60 * number,
        "disks": [{"mount": "/", "used_bytes": 11 * GB + number * 2**20, "total_bytes": 40 * GB}],
        "nics": [{"name": "eth0", "rx_bytes_per_second": 90_000 * wave, "tx_bytes_per_second": 20_000 * wave}],
    } | other  # fmt: skip


def tell(grain: Grain, server: UUID, rows: list[tuple[datetime, dict[str, Any]]]) -> None:
    """Put samples into a table, whose partitions are made where they are missing."""
    _partitions(grain, [at for at, _ in rows])
    names = (*NUMBERS, "disks", "nics")
    values = [
        (server, at, *(json.dumps(row[name]) if name in ("disks", "nics") else row[name] for name in names))
        for at, row in rows
    ]
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {grain.table} (server_id, at, {', '.join(names)})"  # noqa: S608 - our own names
            f" VALUES ({', '.join(['%s'] * (len(names) + 2))})",
            values,
        )


def _partitions(grain: Grain, times: list[datetime]) -> None:
    """As samples.prepare makes them, of the past too; what lies before the first one of all is one partition, "000"."""
    with connection.cursor() as cursor:
        there = samples._partitions(cursor, grain)
        for number in {max(-1, (at - samples._EPOCH) // grain.span) for at in times}:
            name = samples._name(grain, number) if number >= 0 else f"{grain.table}_000"
            if name in there:
                continue
            if number >= 0:
                samples._make(cursor, grain, name, number)
                continue
            cursor.execute(f"CREATE TABLE {name} (LIKE {grain.table} INCLUDING ALL)")
            bounds = [samples._EPOCH - timedelta(days=3650), samples._EPOCH]
            cursor.execute(f"ALTER TABLE {grain.table} ATTACH PARTITION {name} FOR VALUES FROM (%s) TO (%s)", bounds)


def steadily(grain: Grain, server: UUID, until: datetime, steps: int, *, but: range = range(0)) -> None:
    """A sample each step up to `until`, without those of these numbers."""
    first: datetime = until - steps * grain.step + timedelta(seconds=1)
    tell(grain, server, [(first + number * grain.step, sample(number)) for number in range(steps) if number not in but])
