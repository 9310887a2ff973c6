"""One time line of everything that happened in a person's workspaces, with what goes on now at its top."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_safe

from accounts.models import SyncRun
from accounts.visit import Visit, visit
from console.lib.jobs.rows import ACTIVE
from console.lib.pages import signed_in
from console.models import AuditEntry
from providers.acting import ACTING
from providers.scope import DOOR
from servers.actions.models import ActionBatch
from servers.installs.models import InstallBatch
from servers.web import moments

PAGE = 40
SYNCS = 100  # readings worth telling, in the time that one page covers


@signed_in
@require_safe
def page(request: HttpRequest) -> HttpResponse:
    """Newest first. `?before=ID` continues; the hints fetch the first page again."""
    seen, before = visit(request), _number(request.GET.get("before", ""))
    entries, more = _entries(request, seen, before)
    told = [moments.of_audit(entry) for entry in entries]
    told += [moments.of_sync(run) for run in _syncs(seen, entries, before, more)]
    context = {
        "section": "activity",
        "moments": moments.in_order(told),
        "older": f"{reverse('servers:activity')}?before={entries[-1].pk}" if more else "",
        "newer": reverse("servers:activity") if before else "",
        "batches": [] if before else [*_under_way(seen), *_acting(seen)],
        "first": not before,
    }
    return render(request, "activity/page.html", context)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


def _entries(request: HttpRequest, seen: Visit, before: int) -> tuple[list[AuditEntry], bool]:
    """A page of entries: each customer's newest by the index, and the person's own sign-ins, merged."""
    scopes = [Q(customer_id=customer.pk) for customer in seen.customers]
    # A sign-in that a provider issued tells nothing of the person's other hosts; staff's own are no customer's matter.
    if not request.session.get(DOOR) and not request.session.get(ACTING):
        scopes.append(Q(customer_id=None, target_kind="user", target_id=str(request.user.pk)))
    older = Q(pk__lt=before) if before else Q()
    parts = [AuditEntry.objects.filter(scope, older).order_by("-pk").values_list("pk")[: PAGE + 1] for scope in scopes]
    if not parts:
        return [], False
    keys = parts[0].union(*parts[1:]).order_by("-id")[: PAGE + 1] if len(parts) > 1 else parts[0]
    found = list(AuditEntry.objects.filter(pk__in=[key for (key,) in keys]).order_by("-pk"))
    return found[:PAGE], len(found) > PAGE


def _syncs(seen: Visit, entries: list[AuditEntry], before: int, more: bool) -> list[SyncRun]:
    """Readings that failed, or that somebody asked for, from the time that this page covers."""
    told = Q(state="failed") | (~Q(trigger=SyncRun.Trigger.SCHEDULE) & Q(state="done"))
    runs = SyncRun.objects.filter(told, account__in=[account.pk for account in seen.accounts]).select_related("account")
    if before:
        runs = runs.filter(queued_at__lte=_moment_of(before))
    if more:
        runs = runs.filter(queued_at__gt=entries[-1].at)
    return list(runs.order_by("-queued_at")[:SYNCS])


def _moment_of(pk: int) -> Any:
    return AuditEntry.objects.filter(pk=pk).values("at")


def _under_way(seen: Visit) -> list[dict[str, Any]]:
    """Installs that have not ended, newest first, with how far they are."""
    batches = InstallBatch.objects.of([customer.pk for customer in seen.customers]).filter(ended_at=None)
    counted = batches.select_related("by").annotate(
        total=Count("installs"),
        live=Count("installs", filter=Q(installs__state__in=ACTIVE)),
        done=Count("installs", filter=Q(installs__state="done")),
        waits=Count("installs", filter=Q(installs__state="waiting", installs__stage="verify_host")),
    )
    return [
        {"batch": batch, "href": reverse("installs:batch", args=[batch.pk]), "what": "Install on",
         "total": batch.total, "live": batch.live, "done": batch.done, "waits": batch.waits,
         "failed": batch.total - batch.live - batch.done}
        for batch in counted.order_by("-created_at")[:20]
    ]  # fmt: skip


def _acting(seen: Visit) -> list[dict[str, Any]]:
    """Actions that have not ended, newest first, with how far they are."""
    batches = ActionBatch.objects.of([customer.pk for customer in seen.customers]).filter(ended_at=None)
    counted = batches.select_related("by").annotate(
        total=Count("actions"),
        live=Count("actions", filter=Q(actions__state__in=ACTIVE)),
        done=Count("actions", filter=Q(actions__state="done")),
    )
    return [
        {"batch": batch, "href": reverse("actions:batch", args=[batch.pk]), "what": batch.does.label,
         "total": batch.total, "live": batch.live, "done": batch.done, "waits": 0,
         "failed": batch.total - batch.live - batch.done}
        for batch in counted.order_by("-created_at")[:20]
    ]  # fmt: skip
