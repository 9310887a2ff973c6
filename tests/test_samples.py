"""Samples become means, are kept for their time, and are gone afterwards."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from django.db import connection

from servers.agents import samples
from servers.agents.samples import MINUTE, QUARTER, SIX_HOURS, Grain
from servers.models import Server
from tests.conftest import People
from tests.factories import ServerFactory

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def told(server: UUID, at: datetime, load: float, used: int = 10) -> None:
    disks = json.dumps([{"mount": "/", "used_bytes": used, "total_bytes": 100}])
    nics = json.dumps([{"name": "eth0", "rx_bytes_per_second": load, "tx_bytes_per_second": 0}])
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO agents_sample (server_id, at, load1, memory_used_bytes, disks, nics) VALUES"
            " (%s, %s, %s, %s, %s, %s)",
            [server, at, load, used, disks, nics],
        )


def rows(grain: Grain, server: UUID) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT at, load1, memory_used_bytes, disks, nics FROM {grain.table} WHERE server_id = %s ORDER BY at",  # noqa: S608
            [server],
        )
        return cursor.fetchall()


def tables(grain: Grain) -> set[str]:
    with connection.cursor() as cursor:
        return samples._partitions(cursor, grain)


def none_of(grain: Grain) -> None:
    """Without the partitions that the migrations made for the day on which the tests run."""
    with connection.cursor() as cursor:
        for name in samples._partitions(cursor, grain):
            cursor.execute(f"DROP TABLE {name}")


def test_partitions_are_there_before_their_time_and_gone_after_it() -> None:
    none_of(MINUTE)
    samples.prepare(NOON)
    samples.prepare(NOON)
    before = tables(MINUTE)
    assert len(before) == 4, "of yesterday, today and the two days to come"
    server = uuid4()
    for at in (NOON, NOON + timedelta(days=2), NOON - timedelta(hours=13)):
        told(server, at, 1)
    samples.prepare(NOON + timedelta(days=7))
    assert not before & tables(MINUTE), "three days and a partition's own day are over"
    assert rows(MINUTE, server) == []
    assert len(tables(QUARTER)) >= 4 and len(tables(SIX_HOURS)) >= 4


def test_a_quarter_of_an_hour_is_the_mean_of_its_samples() -> None:
    samples.prepare(NOON)
    server = uuid4()
    for minute in range(30):
        told(server, NOON - timedelta(minutes=60 - minute), load=1 if minute < 15 else 3, used=minute)
    samples.roll_up(NOON)
    first, second = rows(QUARTER, server)
    assert (first[0], first[1], first[2]) == (NOON - timedelta(minutes=60), 1.0, 7)
    assert (second[0], second[1], second[2]) == (NOON - timedelta(minutes=45), 3.0, 22)
    assert json.loads(first[3]) == [{"mount": "/", "used_bytes": 7, "total_bytes": 100}]
    assert json.loads(second[4]) == [{"name": "eth0", "rx_bytes_per_second": 3, "tx_bytes_per_second": 0}]


def test_what_is_not_over_is_not_summed_up_and_what_came_late_is() -> None:
    samples.prepare(NOON)
    server = uuid4()
    now = NOON + timedelta(minutes=5)
    told(server, NOON - timedelta(minutes=10), 1)
    told(server, NOON + timedelta(minutes=1), 9)
    samples.roll_up(now)
    assert [row[1] for row in rows(QUARTER, server)] == [1.0]
    told(server, NOON - timedelta(minutes=5), 3)
    samples.roll_up(now)
    samples.roll_up(now)
    assert [row[1] for row in rows(QUARTER, server)] == [2.0]


def test_six_hours_are_the_mean_of_their_quarters() -> None:
    samples.prepare(NOON)
    server = uuid4()
    for hour in range(6):
        told(server, NOON - timedelta(hours=6 - hour), hour)
    samples.roll_up(NOON)
    assert [(row[0], row[1]) for row in rows(SIX_HOURS, server)] == [(NOON - timedelta(hours=6), 2.5)]


def test_samples_go_with_their_server(people: People) -> None:
    samples.prepare(NOON)
    server, other = ServerFactory(account=people.account), ServerFactory(account=people.account)
    for one in (server, other):
        told(one.pk, NOON, 1)
    gone = server.pk
    server.delete()
    assert rows(MINUTE, gone) == [] and len(rows(MINUTE, other.pk)) == 1 and Server.objects.get() == other
