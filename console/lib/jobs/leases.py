"""Claim a row, hold it with a fence, keep the hold, end it: conditional updates, all on the database's clock."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, TypeVar

import structlog
from django.db import Error, connection, models, transaction
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Now

from console.lib.jobs.rows import ENDED, Job, JobState
from console.lib.jobs.signals import ended

log = structlog.get_logger(__name__)
J = TypeVar("J", bound=Job)


class Lost(Exception):
    """Somebody else holds the row now, or it was canceled. Stop working on it and write nothing more."""


class Lease:
    """The right to work on one row. Every write carries the fence number; a stale one raises `Lost`.

    `resumes`: in how many seconds the row is to be taken up again, once it was put back or rests.
    """

    def __init__(self, model: type[Job], pk: Any, fence: int, seconds: float) -> None:
        self.model, self.pk, self.fence, self.seconds = model, pk, fence, seconds
        self.resumes: float | None = None

    def _mine(self) -> models.QuerySet[Any]:
        return self.model._default_manager.filter(pk=self.pk, fence=self.fence, state=JobState.RUNNING)

    def write(self, **fields: Any) -> None:
        """Change columns of the row while we hold it."""
        if not self._mine().update(**fields):
            raise Lost(f"{self.model._meta.label} {self.pk}")

    def hold(self) -> None:
        """Lock the row for the rest of this transaction, so that what it writes elsewhere stands or falls with us."""
        if not self._mine().select_for_update().values_list("pk").first():
            raise Lost(f"{self.model._meta.label} {self.pk}")

    def renew(self) -> None:
        self.write(leased_until=Now() + timedelta(seconds=self.seconds))

    def end(self, state: JobState, outcome: str = "", **fields: Any) -> None:
        """The work is over, with how it ended in words."""
        with transaction.atomic():
            self.write(state=state, outcome=outcome, ended_at=Now(), leased_until=None, **fields)
            announce(self.model, [self.pk])

    def park(self, until: datetime, outcome: str = "", **fields: Any) -> None:
        """Let go until something changes; at `until` a worker takes it up again."""
        self.write(
            state=JobState.WAITING, due_at=until, outcome=outcome, leased_until=None, rung_at=None, attempts=0, **fields
        )

    def rest(self, seconds: float, outcome: str = "", **fields: Any) -> None:
        """Let go for some seconds by the database's clock, which also says when the row may be taken up again."""
        self.write(
            state=JobState.WAITING,
            due_at=Now() + timedelta(seconds=seconds),
            outcome=outcome,
            leased_until=None,
            rung_at=None,
            attempts=0,
            **fields,
        )
        self.resumes = seconds

    def again(self, seconds: float, outcome: str, **fields: Any) -> None:
        """Put it back; a worker tries again after `seconds`."""
        self.write(
            state=JobState.QUEUED,
            due_at=Now() + timedelta(seconds=seconds),
            outcome=outcome,
            leased_until=None,
            rung_at=None,
            **fields,
        )
        self.resumes = seconds


def hold_free(leases: Sequence[Lease]) -> set[Any]:
    """Lock those rows of one model, for the rest of this transaction, that are still ours and that nobody else writes
    to just now; their ids. For the others, each write by itself says what it says."""
    if not leases:
        return set()
    rows = leases[0].model._default_manager.filter(pk__in=[one.pk for one in leases], state=JobState.RUNNING)
    held = dict(rows.select_for_update(skip_locked=True, of=("self",)).values_list("pk", "fence"))
    return {one.pk for one in leases if held.get(one.pk) == one.fence}


def announce(model: type[Job], pks: Iterable[Any]) -> None:
    """Tell receivers that these rows ended, in the transaction that ended them."""
    for pk in pks:
        ended.send(sender=model, pk=pk)


def claim(
    rows: models.QuerySet[J], seconds: float, limit: int = 1, take_abandoned: bool = True
) -> list[tuple[J, Lease]]:
    """Take up to `limit` of `rows` that nobody holds. Two workers never get the same row."""
    free = Q(state__in=(JobState.QUEUED, JobState.WAITING), due_at__lte=Now())
    if take_abandoned:
        free |= Q(state=JobState.RUNNING, leased_until__lt=Now())
    model = rows.model
    with transaction.atomic():
        pks = list(
            rows.filter(free)
            .exclude(expires_at__lte=Now())
            .order_by("due_at", "pk")
            .select_for_update(skip_locked=True, of=("self",))
            .values_list("pk", flat=True)[:limit]
        )
        if not pks:
            return []
        model._default_manager.filter(pk__in=pks).update(
            state=JobState.RUNNING,
            fence=F("fence") + 1,
            attempts=F("attempts") + 1,
            worker=who(),
            leased_until=Now() + timedelta(seconds=seconds),
            started_at=Coalesce("started_at", Now()),
        )
        taken = list(model._default_manager.filter(pk__in=pks).order_by("due_at", "pk"))
    return [(row, Lease(model, row.pk, row.fence, seconds)) for row in taken]


def who() -> str:
    """This worker's name in a row: machine, process, thread."""
    return f"{socket.gethostname()}:{os.getpid()}:{threading.get_ident() % 100000}"[:120]


class Keeper:
    """Renews leases from a thread of its own while the work goes on. A lease that was lost is dropped, and said so."""

    def __init__(self, leases: Sequence[Lease]) -> None:
        self._leases = {(lease.model, lease.pk): lease for lease in leases}
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="lease-keeper", daemon=True)
        self._every = min((lease.seconds for lease in leases), default=30.0) / 3

    def add(self, lease: Lease) -> None:
        """Hold this one too."""
        with self._lock:
            self._leases[lease.model, lease.pk] = lease

    def drop(self, lease: Lease) -> None:
        """This one is over; renew it no more."""
        with self._lock:
            self._leases.pop((lease.model, lease.pk), None)

    def __enter__(self) -> Keeper:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stop.wait(self._every):
                with self._lock:
                    held = list(self._leases.values())
                self._renew(held)
        finally:
            connection.close()

    def _renew(self, held: list[Lease]) -> None:
        by_model: dict[type[Job], list[Lease]] = {}
        for lease in held:
            by_model.setdefault(lease.model, []).append(lease)
        for model, leases in by_model.items():
            mine = Q(pk__in=[])
            for lease in leases:
                mine |= Q(pk=lease.pk, fence=lease.fence)
            seconds = max(lease.seconds for lease in leases)
            try:
                model._default_manager.filter(mine, state=JobState.RUNNING).update(
                    leased_until=Now() + timedelta(seconds=seconds)
                )
            except Error as fault:  # the database is away: try again at the next beat, the fence guards us
                log.warning("leases not renewed", reason=str(fault))
                connection.close()


def cancel(rows: models.QuerySet[Any], outcome: str) -> list[Any]:
    """Cancel those of `rows` that have not ended, running ones too: their worker finds out at its next write."""
    with transaction.atomic():
        pks = list(rows.exclude(state__in=ENDED).select_for_update(of=("self",)).values_list("pk", flat=True))
        rows.model._default_manager.filter(pk__in=pks).update(
            state=JobState.CANCELED, outcome=outcome, ended_at=Now(), leased_until=None, fence=F("fence") + 1
        )
        announce(rows.model, pks)
    return pks
