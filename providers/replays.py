"""`Idempotency-Key`: the same call again is answered as the first time, without doing it again; for 24 hours."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from django.db import OperationalError, connection, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone
from psycopg.errors import LockNotAvailable

from providers.models import Provider, Replay

KEPT = timedelta(hours=24)
SWEPT = 10_000  # rows in one look
PATIENCE = 2  # seconds that a rival waits for the first call's answer
Answer = tuple[int, Any]


class Mismatch(Exception):
    """The key was used for another body before."""


class InProgress(Exception):
    """A call with this key is under way still."""


def once(provider: Provider, key: str, call: bytes, act: Callable[[], Answer]) -> Answer:
    """`act()`'s status and JSON, or what it was when `key` came first. Raises Mismatch when `call` differs from then.

    All in one transaction: a rival with the same key waits for the answer, but not for long: then InProgress is raised.
    When `act` raises, the key is free again.
    """
    digest = sha256(call).hexdigest()
    with transaction.atomic():
        _forget(provider)
        until = timezone.now() + KEPT
        row = _hold(provider, key, digest, until)
        if row.expires_at <= timezone.now():
            row.digest, row.status, row.expires_at = digest, None, until
        if row.digest != digest:
            raise Mismatch
        if row.status is None:
            row.status, row.answer = act()
            row.save()
    return row.status, row.answer


def forget() -> None:
    """Drop what is over, of every provider: an answer holds a person's name and address."""
    Replay.objects.filter(pk__in=list(_over(Replay.objects.all())[:SWEPT])).delete()


def _hold(provider: Provider, key: str, digest: str, until: datetime) -> Replay:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{PATIENCE * 1000:.0f}ms"])
        try:
            row, _ = Replay.objects.select_for_update().get_or_create(
                provider=provider, key=key, defaults={"digest": digest, "expires_at": until}
            )
        except OperationalError as fault:
            if isinstance(fault.__cause__, LockNotAvailable):
                raise InProgress from fault
            raise
        cursor.execute("SELECT set_config('lock_timeout', '0', true)")  # the deed itself waits as long as it must
    return row


def _forget(provider: Provider) -> None:
    """Drop some of what is over; rows that somebody else holds are left to them."""
    Replay.objects.filter(pk__in=list(_over(Replay.objects.filter(provider=provider))[:100])).delete()


def _over(rows: QuerySet[Replay]) -> QuerySet[Replay, int]:
    return rows.filter(expires_at__lte=Now()).select_for_update(skip_locked=True).values_list("pk", flat=True)
