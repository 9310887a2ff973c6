"""The sweep: nothing that was written down is forgotten. Beat rings it every few seconds; twice is harmless."""

from __future__ import annotations

from django.db import models, transaction
from django.db.models import F, Q
from django.db.models.functions import Now

from console.lib.jobs import sharing
from console.lib.jobs.kinds import KINDS, Kind
from console.lib.jobs.leases import announce
from console.lib.jobs.rows import Job, JobState

MOST = 2000  # rows of a kind in one sweep


def sweep() -> dict[str, int]:
    """Expire, interrupt and re-ring over all kinds. Returns how many rows of each outcome were touched."""
    counts = {"expired": 0, "interrupted": 0, "given_up": 0, "rung": 0}
    for kind in KINDS.values():
        rows = kind.model._default_manager.all()
        counts["expired"] += _end(
            rows.filter(state__in=(JobState.QUEUED, JobState.WAITING), expires_at__lte=Now()),
            JobState.EXPIRED,
            "Nobody could start it in time.",
        )
        abandoned = rows.filter(state=JobState.RUNNING, leased_until__lt=Now())
        if kind.lost == "interrupt":
            counts["interrupted"] += _end(
                abandoned,
                JobState.INTERRUPTED,
                "The worker stopped in the middle. It was not run again, since that could do it twice.",
            )
        else:
            counts["given_up"] += _end(
                abandoned.filter(attempts__gte=kind.attempts),
                JobState.FAILED,
                f"Workers stopped in the middle of it {kind.attempts} times.",
            )
        counts["rung"] += _ring(kind)
    return counts


def _end(rows: models.QuerySet[Job], state: JobState, words: str) -> int:
    with transaction.atomic():
        pks = list(rows.select_for_update(skip_locked=True, of=("self",)).values_list("pk", flat=True)[:MOST])
        rows.model._default_manager.filter(pk__in=pks).update(
            state=state, outcome=words, ended_at=Now(), leased_until=None, fence=F("fence") + 1
        )
        announce(rows.model, pks)
    return len(pks)


def _ring(kind: Kind) -> int:
    """Ring for what waits to start and for what a dead worker left, each at most every RING_AGAIN_AFTER; by turns where
    owners share the workers."""
    waiting = Q(state__in=(JobState.QUEUED, JobState.WAITING), due_at__lte=Now())
    if kind.lost == "again":
        waiting |= Q(state=JobState.RUNNING, leased_until__lt=Now())
    rows = kind.model._default_manager.all()
    wanting = rows.filter(waiting & sharing.UNRUNG)
    turns = sharing.by_turns(wanting, kind.owner, MOST) if kind.owner else None
    with transaction.atomic():
        chosen = wanting.order_by("due_at") if turns is None else wanting.filter(pk__in=turns)
        held = chosen.select_for_update(skip_locked=True, of=("self",))
        found = list(held.values_list("pk", kind.ring_by)[:MOST])
        rows.filter(pk__in=[pk for pk, _ in found]).update(rung_at=Now())
    if turns is not None:
        places = {pk: place for place, pk in enumerate(turns)}
        found.sort(key=lambda one: places[one[0]])
    sharing.sound(kind.name, rows, found)
    return len(found)
