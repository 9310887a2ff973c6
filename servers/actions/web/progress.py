"""What became of an action: the batch, and each server of it, live."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from accounts.visit import visit
from console.lib.jobs.rows import ACTIVE, ENDED, JobState
from console.lib.pages import person, signed_in
from servers.actions import actions, passwords
from servers.actions.models import Action, ActionBatch

PAGE = 100
SHOWN = ("name", "image_name", "size_name", "snapshot_name")  # of the parameters
VIEWS = {
    "all": ("All", Q(), "total"),
    "active": ("Under way", Q(state__in=ACTIVE), "active"),
    "failed": ("Not done", Q(state__in=ENDED) & ~Q(state=JobState.DONE), "failed"),
    "done": ("Done", Q(state=JobState.DONE), "done"),
}


@dataclass(frozen=True)
class Line:
    """A server of a batch as its line shows it. `mine`: whoever looks is who asked for it."""

    row: Action
    mine: bool

    @property
    def label(self) -> str:
        """A row that was called and waits for its cloud is under way, whatever the job core calls it."""
        if self.row.state in ACTIVE:
            return self.row.does.doing.split(" ")[0] if self.row.called_at else "Queued"
        return str(self.row.status.label)

    @property
    def tone(self) -> str:
        return "changing" if self.row.state in ACTIVE else self.row.status.tone

    @property
    def words(self) -> str:
        if self.row.state == JobState.DONE:
            return "" if self.row.outcome == self.row.does.outcome else self.row.outcome
        return self.row.outcome or self.row.phase

    @property
    def href(self) -> str:
        return reverse("servers:server", args=[self.row.server_id]) if self.row.server_id else ""

    @property
    def password(self) -> bool:
        """Whether its first password can be shown to who looks."""
        return self.mine and passwords.has_one(self.row)

    @property
    def took(self) -> float | None:
        if not (self.row.started_at and self.row.ended_at):
            return None
        return float((self.row.ended_at - self.row.started_at).total_seconds())


def batch_of(request: HttpRequest, pk: UUID) -> ActionBatch:
    """A batch of a customer that is open to this request; else a 404."""
    batches = ActionBatch.objects.of([customer.pk for customer in visit(request).customers])
    found: ActionBatch = get_object_or_404(batches.select_related("customer", "by"), pk=pk)
    return found


@signed_in
@require_safe
def page(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Live progress; `?show=failed` narrows it, `?page=2` goes on."""
    batch = batch_of(request, pk)
    show = request.GET.get("show", "all")
    if show not in VIEWS:
        raise Http404("No such view.")
    counts = actions.progress(batch)
    number = request.GET.get("page", "1")
    at = (int(number) if number.isascii() and number.isdigit() and 0 < len(number) < 4 else 1) - 1
    at = max(at, 0)
    found = list(_rows(batch).filter(VIEWS[show][1])[at * PAGE : (at + 1) * PAGE + 1])
    here = reverse("actions:batch", args=[pk])
    context = {
        "section": "activity",
        "batch": batch,
        "does": batch.does,
        "params": _shown(batch.params),
        "counts": counts,
        "lines": [Line(row, batch.by_id == person(request).pk) for row in found[:PAGE]],
        "views": [(label, f"{here}?show={key}" if key != "all" else here, counts[name], key == show)
                  for key, (label, _, name) in VIEWS.items() if counts[name] or key in ("all", show)],
        "newer": f"{here}?show={show}&page={at}" if at else "",
        "older": f"{here}?show={show}&page={at + 2}" if len(found) > PAGE else "",
    }  # fmt: skip
    return render(request, "actions/batch.html", context)


@signed_in
@require_safe
def line(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One line, as the page draws it."""
    row: Action = get_object_or_404(rows_of(request).select_related("batch"), pk=pk)
    return render(request, "actions/line.html", {"line": Line(row, row.batch.by_id == person(request).pk)})


def rows_of(request: HttpRequest) -> QuerySet[Action]:
    """The rows of customers that are open to this request."""
    return Action.objects.filter(customer__in=[customer.pk for customer in visit(request).customers])


def _shown(params: dict[str, Any]) -> list[Any]:
    """What was asked for beside the kind; a snapshot by its id where nobody told its name."""
    shown = [params[name] for name in SHOWN if params.get(name)]
    return shown or [params[name] for name in ("snapshot_id",) if params.get(name)]


def _rows(batch: ActionBatch) -> QuerySet[Action]:
    return batch.actions.order_by("name", "pk")
