"""What became of an install: the batch, each server of it, and what a person can still do."""

from __future__ import annotations

from collections.abc import Iterable
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
from console.lib.pages import signed_in
from servers.installs import install, trusting
from servers.installs.install import REACHABLE, WAITS
from servers.installs.models import Install, InstallBatch

PAGE = 100
SHOWN_KEYS = 50
FAILED = (JobState.FAILED, JobState.EXPIRED, JobState.INTERRUPTED)
VIEWS = {
    "all": ("All", Q(), "total"),
    "waiting": ("Waits for you", WAITS, "waiting_for_you"),
    "reachable": ("Can be reached", REACHABLE, "reachable"),
    "active": ("Under way", Q(state__in=ACTIVE) & ~WAITS & ~REACHABLE, "active"),
    "failed": ("Not installed", Q(state__in=ENDED) & ~Q(state=JobState.DONE), "failed"),
    "done": ("Done", Q(state=JobState.DONE), "done"),
}
LABELS = {"running": "Installing", "waiting": "Waits for you", "done": "Done"}


@dataclass(frozen=True)
class Step:
    label: str
    state: str
    seconds: float | None


@dataclass(frozen=True)
class Host:
    """A server of a batch as its line shows it."""

    row: Install

    @property
    def label(self) -> str:
        if self.row.state == "waiting" and self.row.stage == Install.Stage.SIGN_IN:
            return "Can be reached"
        return LABELS.get(self.row.state, str(self.row.status.label))

    @property
    def steps(self) -> list[Step]:
        """All stages in order: those gone through with their seconds, the live one, and those to come."""
        gone = {entry["stage"]: entry for entry in self.row.stages}
        return [self._step(stage, gone.get(stage.value)) for stage in Install.Stage]

    def _step(self, stage: Install.Stage, entry: dict[str, Any] | None) -> Step:
        here = self.row.stage == stage
        seconds = entry["seconds"] if entry else None
        if self.row.state == JobState.DONE or (entry and entry["ok"]):
            return Step(stage.label, "done", seconds)
        if here and entry and self.row.state == JobState.WAITING and stage == Install.Stage.VERIFY_HOST:
            return Step(stage.label, "asks", seconds)
        if entry and (entry["ok"] is False or (here and self.row.has_ended)):
            return Step(stage.label, "failed", seconds)
        if here and entry and not self.row.has_ended:
            return Step(stage.label, "live", seconds)
        return Step(stage.label, "skipped" if self.row.has_ended else "waiting", None)

    @property
    def took(self) -> float | None:
        if not (self.row.started_at and self.row.ended_at):
            return None
        return float((self.row.ended_at - self.row.started_at).total_seconds())

    @property
    def key_changed(self) -> bool:
        """It met another host key than the one on record: a person may forget that one."""
        return self.row.state in FAILED and bool(self.row.fingerprint)


def batch_of(request: HttpRequest, pk: UUID) -> InstallBatch:
    """A batch of a customer that is open to this request; else a 404."""
    batches = InstallBatch.objects.of([customer.pk for customer in visit(request).customers])
    found: InstallBatch = get_object_or_404(batches.select_related("customer", "by").defer("sealed"), pk=pk)
    return found


def host_of(request: HttpRequest, pk: UUID) -> Install:
    installs = Install.objects.filter(batch__customer__in=[customer.pk for customer in visit(request).customers])
    found: Install = get_object_or_404(installs.select_related("server", "batch"), pk=pk)
    return found


def hosts(rows: Iterable[Install]) -> list[Host]:
    return [Host(row) for row in rows]


@signed_in
@require_safe
def page(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Live progress; `?show=failed` narrows it, `?page=2` goes on."""
    batch = batch_of(request, pk)
    show = request.GET.get("show", "all")
    if show not in VIEWS:
        raise Http404("No such view.")
    counts = install.progress(batch)
    number = request.GET.get("page", "1")
    at = (int(number) if number.isascii() and number.isdigit() and 0 < len(number) < 4 else 1) - 1
    found = list(_rows(batch).filter(VIEWS[show][1])[at * PAGE : (at + 1) * PAGE + 1])
    here = reverse("installs:batch", args=[pk])
    context = {
        "section": "activity",
        "batch": batch,
        "counts": counts,
        "hosts": hosts(found[:PAGE]),
        "views": [(label, f"{here}?show={key}" if key != "all" else here, counts[name], key == show)
                  for key, (label, _, name) in VIEWS.items() if counts[name] or key in ("all", show)],
        "newer": f"{here}?show={show}&page={at}" if at else "",
        "older": f"{here}?show={show}&page={at + 2}" if len(found) > PAGE else "",
        "waiting": list(_rows(batch).filter(WAITS).exclude(host_key="")[:SHOWN_KEYS]),
        "can_retry": counts["failed"] > 0 and _failed(batch).exists(),
        "retry_kind": "secondary" if counts["waiting_for_you"] else "primary",
        "retry_href": reverse("installs:retry", args=[pk]),
        "cancel_href": reverse("installs:cancel", args=[pk]),
        "can_cancel": batch.ended_at is None and counts["total"] > counts["done"] + counts["failed"],
        "can_go_on": batch.held and batch.ended_at is None and counts["reachable"] > 0,
        "can_forget_jump": bool(batch.jump_host) and counts["failed"] > 0 and bool(trusting.known_of_jump(batch)),
    }  # fmt: skip
    return render(request, "installs/batch.html", context)


@signed_in
@require_safe
def host(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One line, as the page draws it."""
    return render(request, "installs/host.html", {"host": Host(host_of(request, pk))})


def _rows(batch: InstallBatch) -> QuerySet[Install]:
    return batch.installs.select_related("server").order_by("server__name", "pk")


def _failed(batch: InstallBatch) -> QuerySet[Install]:
    return batch.installs.filter(state__in=FAILED)
