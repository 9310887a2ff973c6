"""Staff's pages of providers' health: everybody in one table, and one provider with what went wrong last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.timesince import timesince
from django.views.decorators.http import require_safe

from accounts.models import CloudAccount
from console.portal import providerhealth
from console.portal.providerhealth import LOST, MAILS, Health
from providers.models import ApiCall, Mail, Provider, Webhook

MOST: Final = 200  # providers in the table
LAST: Final = 8  # lines of what went wrong
_HEADS: Final = (
    "Provider", "Health", "Customers", "Accounts", "Oldest reading", "Servers", "Agents", "Mails", "Webhooks",
    "API calls",
)  # fmt: skip
_RANK: Final = {"failed": 0, "attention": 1, "running": 2, "stopped": 3}


@dataclass(frozen=True)
class Line:
    """One thing that went wrong, and its page."""

    name: str
    words: str
    href: str


@dataclass(frozen=True)
class Section:
    """`numbers` are (what, how many)."""

    title: str
    numbers: Sequence[tuple[str, Any]]
    lines: Sequence[Line] = field(default_factory=tuple)


@require_safe
def everybody(request: HttpRequest) -> HttpResponse:
    """The worst first."""
    rows = providerhealth.of(Provider.objects.order_by("name")[:MOST])
    rows.sort(key=lambda row: (_RANK[row.tone], row.provider.name.lower()))
    return _page(request, "admin/health.html", title="Health of providers", rows=rows, heads=_HEADS)


@require_safe
def one(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One provider in full."""
    provider = get_object_or_404(Provider, pk=pk)
    [health] = providerhealth.of([provider])
    sections = [_syncs(health), _mails(health), _webhooks(health), _agents(health), _calls(health)]
    shown = {"title": f"Health of {provider}", "health": health, "sections": sections}
    return _page(request, "admin/provider_health.html", **shown)


def _syncs(health: Health) -> Section:
    rows = providerhealth.accounts_of([health.provider.pk]).exclude(status__in=("ok", "pending"))
    unwell = rows.select_related("customer").defer("sealed", "pending_sealed").order_by("-last_sync_at")[:LAST]
    numbers = [
        ("Customers", health.customers),
        ("Servers", health.servers),
        *health.statuses,
        ("Stale", health.stale),
        ("Never read", health.never),
        ("Oldest reading", f"{timesince(health.oldest)} ago" if health.oldest else "–"),
    ]
    lines = [
        Line(f"{row.name} of {row.customer}", row.status_reason or CloudAccount.Status(row.status).label, _admin(row))
        for row in unwell
    ]
    return Section("Syncs", numbers, lines)


def _mails(health: Health) -> Section:
    rows = Mail.objects.filter(providerhealth.mails_of([health.provider.pk]), queued_at__gt=Now() - MAILS)
    lost = rows.filter(Q(state__in=LOST) | Q(bounced_at__isnull=False)).order_by("-queued_at")[:LAST]
    numbers = [("In 7 days", health.mails), ("Waiting", health.mails_waiting), ("Failed or bounced", health.mails_lost)]
    return Section("Mails", numbers, [Line(mail.to, mail.report or mail.outcome, _admin(mail)) for mail in lost])


def _webhooks(health: Health) -> Section:
    bad = health.provider.webhooks.filter(Q(enabled=False) | Q(failing_since__isnull=False))[:LAST]
    numbers = [
        ("Webhooks", health.webhooks),
        ("Failing", health.webhooks_failing),
        ("Off", health.webhooks_off),
        ("Deliveries that wait", health.deliveries_waiting),
    ]
    return Section("Webhooks", numbers, [Line(str(hook), _standing(hook), _admin(hook)) for hook in bad])


def _standing(hook: Webhook) -> str:
    if hook.enabled:
        return f"Nothing arrived for {timesince(hook.failing_since)}." if hook.failing_since else ""
    return "We turned it off: it failed for too long." if hook.disabled_at else "The provider turned it off."


def _agents(health: Health) -> Section:
    return Section("Agents", [("Live", health.agents), ("Offline", health.agents_offline)])


def _calls(health: Health) -> Section:
    wrong = ApiCall.objects.filter(provider=health.provider, status__gte=400).order_by("-id")[:LAST]
    numbers = [
        ("In the last hour", health.calls),
        ("Refused (4xx)", health.calls_refused),
        ("Failed at our side (5xx)", health.calls_failed),
    ]
    lines = [
        Line(f"{call.status} {call.code}".strip(), f"{call.method} {call.path}, {timesince(call.at)} ago", _admin(call))
        for call in wrong
    ]
    return Section("API", numbers, lines)


def _admin(row: Any) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


def _page(request: HttpRequest, template: str, **shown: Any) -> HttpResponse:
    if not request.user.has_perm("providers.view_provider"):
        raise PermissionDenied
    return TemplateResponse(request, template, admin.site.each_context(request) | shown)
