"""Fair ringing: of one owner's rows few have a message on its way at a time, however many were asked for.

A queue is worked in the order of its messages. Who asks for a thousand things would have everybody else wait behind
them; so AT_ONCE are rung for, the one that is worked rings for the next, and the sweep takes owners by turns.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import structlog
from django.db import InterfaceError, OperationalError, models, transaction
from django.db.models import Count, F, Q, Window
from django.db.models.functions import Now, RowNumber

from console.lib.jobs.bell import ring_now
from console.lib.jobs.rows import JobState

log = structlog.get_logger(__name__)

AT_ONCE: Final = 20  # rows of one owner; two that race may ring for a few more
RING_AGAIN_AFTER: Final = timedelta(seconds=15)  # then a message counts as lost

_RESTING = Q(state__in=(JobState.QUEUED, JobState.WAITING))
UNRUNG: Final = Q(rung_at__isnull=True) | Q(rung_at__lt=Now() - RING_AGAIN_AFTER)


def ring_for(name: str, rows: models.QuerySet[Any]) -> None:
    """Once this transaction commits, ring for those of `rows` (all that one owner has) whose time has come, the oldest
    first and no more than AT_ONCE."""
    transaction.on_commit(lambda: _go_on(name, rows))


def go_on(name: str, rows: models.QuerySet[Any], pk: Any, resumes: float | None) -> None:
    """As `ring_for`, after the work on one of them: those that are due come before this one's own next step, which is
    `resumes` seconds away (None: there is none, or the sweep comes for it)."""
    transaction.on_commit(lambda: _go_on(name, rows, pk, resumes))


def _go_on(name: str, rows: models.QuerySet[Any], pk: Any = None, resumes: float | None = None) -> None:
    try:
        with transaction.atomic():
            room = AT_ONCE - on_their_way(rows).count()
            due = rows.filter(_RESTING, UNRUNG, due_at__lte=Now()).order_by("due_at", "pk")
            found = list(
                due.select_for_update(skip_locked=True, of=("self",)).values_list("pk", flat=True)[: max(0, room)]
            )
            rows.filter(pk__in=found).update(rung_at=Now())
            mine = resumes is not None and len(found) < room and rows.filter(
                _RESTING, UNRUNG, pk=pk, due_at__gt=Now()
            ).update(rung_at=F("due_at"))  # fmt: skip
        sound(name, rows, [(one, one) for one in found])
        if mine and not ring_now(name, pk, resumes or 0.0):
            rows.filter(pk=pk).update(rung_at=None)
    except (OperationalError, InterfaceError) as fault:  # the rows are written; the sweep rings for them
        log.warning("the next ones not rung for", task=name, reason=str(fault))


def on_their_way(rows: models.QuerySet[Any]) -> models.QuerySet[Any]:
    """Those of `rows` that were rung for, and that no worker has answered yet."""
    return rows.filter(_RESTING, rung_at__gte=Now() - RING_AGAIN_AFTER)


def by_turns(rows: models.QuerySet[Any], owner: str, most: int) -> list[Any]:
    """Whom to ring for among `rows` of many owners that are due: the first of each, then the second of each …"""
    every = rows.model._default_manager.all()
    counted = on_their_way(every).order_by().values(owner).annotate(rung=Count("pk"))
    rung = dict(counted.values_list(owner, "rung"))
    turn = Window(RowNumber(), partition_by=F(owner), order_by=("due_at", "pk"))
    dealt = rows.annotate(turn=turn).filter(turn__lte=AT_ONCE).order_by("turn", "due_at")
    return [pk for pk, whose, at in dealt.values_list("pk", owner, "turn")[:most] if at <= AT_ONCE - rung.get(whose, 0)]


def sound(name: str, rows: models.QuerySet[Any], found: list[tuple[Any, Any]]) -> None:
    """Ring for rows that were marked as rung (id, and what the task is given). Once the broker takes no more, the rest
    are marked as not rung: the next sweep comes for them."""
    rung: set[Any] = set()
    for pk, key in found:
        if key not in rung and not ring_now(name, key):
            rows.filter(pk__in=[one for one, given in found if given not in rung]).update(rung_at=None)
            log.info("the rest is left to the sweep", task=name, after=str(pk))
            return
        rung.add(key)
