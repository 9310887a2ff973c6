"""The accounts: how each is, in words, and what its readings brought."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from accounts import asking, ready
from accounts.clouds.operations import Operation
from accounts.health import health
from accounts.models import CloudAccount, CredentialPush, SyncRun
from accounts.visit import visit
from console.lib.denials import Denied
from console.lib.jobs.rows import ACTIVE
from console.lib.pages import person, signed_in

HISTORY = 25  # readings a page
PUSHES = 10
PUSH_TONES = {"passed": "running", "pending": "changing", "refused": "failed", "replaced": "stopped",
              "failed": "failed"}  # fmt: skip


@signed_in
@require_safe
def overview(request: HttpRequest) -> HttpResponse:
    """A card for each account."""
    seen = visit(request)
    active = set(SyncRun.objects.active().filter(account__in=seen.accounts).values_list("account_id", flat=True))
    several = len(seen.with_accounts) > 1
    context = {
        "section": "accounts",
        "cards": [_card(account, account.pk in active) | {"owner": account.customer if several else None}
                  for account in seen.accounts],
        "servers": sum(account.server_count for account in seen.accounts),
        "refused": [account for account in seen.accounts if account.status == CloudAccount.Status.BAD_CREDENTIALS],
        "stranger": not seen.accounts and not seen.customers,
    }  # fmt: skip
    return render(request, "accounts/overview.html", context)


@signed_in
@require_safe
def account(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One account: health, facts, credentials and the history of its readings. `?before=TIME` continues the history."""
    found = visit(request).account(pk)
    before = _moment(request.GET.get("before", ""))
    runs = found.sync_runs.filter(queued_at__lt=before) if before else found.sync_runs.all()
    history = list(runs.order_by("-queued_at")[: HISTORY + 1])
    active = found.sync_runs.filter(state__in=ACTIVE).exists()
    here = reverse("accounts:account", args=[pk])
    context = {
        "section": "accounts",
        **_card(found, active),
        "runs": history[:HISTORY],
        "older": _older(here, history),
        "newest": here if before else "",
        "pushes": [(push, CredentialPush.Outcome(push.outcome).label, PUSH_TONES[push.outcome])
                   for push in found.pushes.order_by("-version", "-pk")[:PUSHES]],
        "facts": _facts(found),
        "servers_href": f"/servers/?account={pk}",
    }  # fmt: skip
    return render(request, "accounts/account.html", context)


@signed_in
@require_POST
def sync(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Ask for a reading, and go back."""
    found = visit(request).account(pk)
    try:
        asking.sync_now(found, by=person(request))
    except Denied as denial:
        messages.error(request, denial.words)
    return HttpResponseRedirect(reverse("accounts:account", args=[pk]))


def _older(here: str, history: list[SyncRun]) -> str:
    """The address of the readings before these; empty when these are the last."""
    if len(history) <= HISTORY:
        return ""
    return f"{here}?{urlencode({'before': history[HISTORY - 1].queued_at.isoformat()})}"


def _card(found: CloudAccount, active: bool) -> dict[str, Any]:
    return {
        "account": found,
        "health": health(found),
        "active": active,
        "no_sync": asking.cannot(found, active),
        "account_pk": str(found.pk),
        "no_create": ready.refusal(found, Operation.CREATE),
        "due": found.next_sync_at <= timezone.now(),
    }


def _facts(found: CloudAccount) -> list[tuple[str, Any]]:
    told = [
        ("Platform", found.endpoint.get_platform_display()),
        ("Version found", found.version_found or found.endpoint.version_found),
        ("Cloud", found.endpoint),
        ("Region", found.endpoint.region),
        ("Provider", found.endpoint.provider),
        ("Workspace", found.customer),
        ("Account id", found.external_id),
        ("Credentials", f"version {found.credentials_version}" if found.credentials_version else "none verified yet"),
    ]
    return [(name, value) for name, value in told if value]


def _moment(text: str) -> datetime | None:
    """A time from the address; one that is not ours means the newest page."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else None
