"""The kinds of work: which rows, which task, how long a lease, and what becomes of work whose worker died."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import structlog
from celery import shared_task
from django.db import InterfaceError, OperationalError, close_old_connections

from console.lib.faults import Fault, SlowDown, Unreachable
from console.lib.jobs import sharing
from console.lib.jobs.bell import ring_in
from console.lib.jobs.leases import Keeper, Lease, Lost, claim
from console.lib.jobs.rows import Job, JobState

log = structlog.get_logger(__name__)
J = TypeVar("J", bound=Job)

SOON = 20.0  # seconds: a row that rests no longer is rung for at its moment; the sweep comes for the others
LATE = 0.05  # seconds by which that ring comes after the moment, since before it the row is not to be had


@dataclass(frozen=True)
class Kind:
    """`lost` says what the sweep does with a row whose worker died: run it `again` (the work is repeatable), or end it
    as `interrupt`ed (running it twice would harm). `ring_by` is the column whose value the task is given. `owner` is
    the column of those who share its workers, where one of them may ask for very many (jobs.sharing)."""

    name: str
    model: type[Job]
    seconds: float = 30.0
    attempts: int = 5
    lost: Literal["again", "interrupt"] = "again"
    ring_by: str = "pk"
    owner: str = ""


KINDS: dict[str, Kind] = {}


def register(kind: Kind) -> Kind:
    """Put the kind under the care of the sweep."""
    KINDS[kind.name] = kind
    return kind


def answers(
    name: str,
    model: type[J],
    *,
    seconds: float = 30.0,
    attempts: int = 5,
    lost: Literal["again", "interrupt"] = "again",
    owner: str = "",
) -> Callable[[Callable[[J, Lease], str | None]], Any]:
    """Make `function(row, lease)` the worker of this kind, as the Celery task `name`.

    It returns how it went, in words (the row ends as done), unless it ended or parked the row itself. A `Fault` that
    time may heal puts the row back, with full-jitter back-off, up to `attempts`; any other ends it as failed.
    """
    kind = register(Kind(name, model, seconds, attempts, lost, owner=owner))

    def made(function: Callable[[J, Lease], str | None]) -> Any:
        @shared_task(name=name, ignore_result=True)
        def task(pk: str) -> None:
            close_old_connections()
            for row, lease in claim(model._default_manager.filter(pk=pk), kind.seconds, take_abandoned=lost == "again"):
                with Keeper([lease]):
                    work(kind, function, row, lease)

        return task

    return made


def work(kind: Kind, function: Callable[[Any, Lease], str | None], row: Any, lease: Lease) -> None:
    """Run `function` on a row that is held, and write down how it ended."""
    try:
        outcome = function(row, lease)
        if outcome is not None:
            lease.end(JobState.DONE, outcome)
    except Lost:
        log.info("lease lost", kind=kind.name, pk=str(lease.pk))
    except (OperationalError, InterfaceError) as fault:
        # The database was away: nothing can be written down. The lease runs out, and the sweep does what `lost` says.
        log.warning("database lost in the middle of a job", kind=kind.name, pk=str(lease.pk), reason=str(fault))
        close_old_connections()
    except Exception as fault:  # noqa: BLE001  # the row must end with words whatever broke; the trace goes to the log
        _settle(kind, row, lease, fault)
    soon = None if lease.resumes is None or lease.resumes > SOON else lease.resumes + LATE
    if kind.owner:
        theirs = kind.model._default_manager.filter(**{kind.owner: getattr(row, kind.owner)})
        sharing.go_on(kind.name, theirs, lease.pk, soon)
    elif soon is not None:
        ring_in(kind.name, lease.pk, soon)


def _settle(kind: Kind, row: Any, lease: Lease, fault: Exception) -> None:
    try:
        if isinstance(fault, (Unreachable, SlowDown)) and row.attempts < kind.attempts:
            lease.again(pause(row.attempts, fault), fault.words)
        elif isinstance(fault, Fault):
            lease.end(JobState.FAILED, fault.words)
        else:
            log.error("job broke", kind=kind.name, pk=str(lease.pk), exc_info=fault)
            lease.end(JobState.FAILED, "Something broke on our side. Staff can see what in the log.")
    except Lost:
        log.info("lease lost", kind=kind.name, pk=str(lease.pk))


def pause(attempt: int, fault: Fault | None = None, base: float = 5.0, most: float = 900.0) -> float:
    """Seconds to wait before attempt `attempt + 1`: full jitter, or longer when the far side said how long."""
    asked = fault.retry_after if isinstance(fault, SlowDown) and fault.retry_after else 0.0
    return max(asked, random.uniform(0, min(most, base * 2**attempt)))  # noqa: S311  # spreads load, guards nothing
