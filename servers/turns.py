"""Whose turn it is to be read: every endpoint and every customer gets a share, however many accounts another has."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Case, Count, Exists, F, OuterRef, Q, Value, When
from django.db.models.functions import Now

from accounts import breaker, linking, pacing
from accounts.models import CloudAccount, SyncRun
from console.lib.jobs import ring
from console.lib.jobs.rows import ACTIVE, JobState

AT_ONCE: Final = 4  # runs of one endpoint
SLOW: Final = timedelta(seconds=10)  # an endpoint with a run that takes longer gets no other beside it
MOST: Final = 64  # runs of all endpoints: the queue stays short, so that who comes next is decided late
_LOCK: Final = 0x5E7C  # of the one who hands out turns

# Two counts in a row: of a customer's accounts at an endpoint, with those that are being read already, and by it of the
# endpoint's. `{due}` is the ORM's own text, its values are parameters.
_CHOSEN: Final = """
WITH due AS ({due}),
     busy AS (SELECT a.endpoint_id, a.customer_id, count(*) AS runs FROM accounts_syncrun r
              JOIN accounts_cloudaccount a ON a.id = r.account_id WHERE r.state = ANY(%s) GROUP BY 1, 2),
     dealt AS (SELECT id, endpoint_id, next_sync_at, coalesce(runs, 0) + row_number() OVER (
                 PARTITION BY endpoint_id, customer_id ORDER BY next_sync_at, id) AS turn
               FROM due LEFT JOIN busy USING (endpoint_id, customer_id)),
     placed AS (SELECT id, endpoint_id, next_sync_at, row_number() OVER (
                  PARTITION BY endpoint_id ORDER BY turn, next_sync_at, id) AS place FROM dealt)
SELECT id FROM placed LEFT JOIN unnest(%s::uuid[], %s::int[]) AS room (endpoint_id, runs) USING (endpoint_id)
WHERE place <= coalesce(room.runs, %s) ORDER BY place, next_sync_at, id LIMIT %s
"""


def due(now: datetime) -> int:
    """Make and ring a run for those accounts whose time has come and whose turn it is; returns how many.

    An endpoint has at most AT_ONCE runs at a time, one when it is slow, none while it rests (`accounts.breaker`); there
    a customer with few accounts comes before one with many. Ask again when a run has ended. Two at once are harmless:
    one of them hands out.
    """
    waiting = (
        CloudAccount.objects.readable()
        .filter(~Exists(SyncRun.objects.filter(account=OuterRef("pk"), state__in=ACTIVE)), next_sync_at__lte=now)
        .order_by()
    )
    with transaction.atomic():
        if not _alone():
            return 0
        resting = breaker.paused(set(waiting.values_list("endpoint_id", flat=True).distinct()))
        if resting:
            later = now + timedelta(seconds=random.uniform(0.2, 1.2) * breaker.PAUSE)  # noqa: S311  # spreads load
            CloudAccount.objects.filter(pk__in=waiting.filter(endpoint_id__in=resting).values("pk")).update(
                next_sync_at=later
            )
        chosen = _chosen(waiting)
        held = set(
            waiting.filter(pk__in=chosen)
            .select_for_update(skip_locked=True, no_key=True, of=("self",))
            .values_list("pk", flat=True)
        )
        runs = [SyncRun(account_id=pk) for pk in chosen if pk in held]
        SyncRun.objects.bulk_create(runs, ignore_conflicts=True)
        # A run sets its own next time when it ends; this one stands when it cannot.
        CloudAccount.objects.filter(pk__in=held).update(next_sync_at=now + timedelta(seconds=pacing.EVERY))
        for run in runs:
            ring(linking.SYNC, run.pk)
    return len(runs)


def _alone() -> bool:
    """For the rest of this transaction nobody else hands out turns; False when somebody does."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
        return bool(cursor.fetchone()[0])


def _chosen(waiting: Any) -> list[UUID]:
    rooms, active = _rooms()
    due, values = waiting.values("id", "endpoint_id", "customer_id", "next_sync_at").query.sql_with_params()
    with connection.cursor() as cursor:
        cursor.execute(
            _CHOSEN.format(due=due),
            [*values, [str(state) for state in ACTIVE], list(rooms), list(rooms.values()), AT_ONCE,
             max(0, MOST - active)],
        )  # fmt: skip
        return [pk for (pk,) in cursor.fetchall()]


def _rooms() -> tuple[dict[UUID, int], int]:
    """How many more runs each endpoint that has some may get, and how many there are."""
    slow = Q(state=JobState.RUNNING, started_at__lt=Now() - SLOW)
    counted = (
        SyncRun.objects.active()
        .values(endpoint=F("account__endpoint_id"))
        .annotate(runs=Count("pk"), slow=Count(Case(When(slow, then=Value(1)))))
        .order_by()
    )
    rooms, active = {}, 0
    for endpoint, runs, crawling in counted.values_list("endpoint", "runs", "slow"):
        rooms[endpoint] = max(0, (1 if crawling else AT_ONCE) - runs)
        active += runs
    return rooms, active
