"""The staff pages' first page and sidebar: what wants attention, and what staff live in first."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.models.functions import Now
from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse

from accounts.models import CloudAccount, SyncRun
from providers.models import Mail, Provider
from servers.actions.models import Action
from servers.installs.models import Install

_GROUPS: tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...] = (
    (
        "Providers",
        (
            ("Health", "monitor_heart", "providers.provider"),
            ("Providers", "business", "providers.provider"),
            ("Members", "badge", "providers.providermember"),
            ("Keys", "key", "providers.providerkey"),
            ("Cloud endpoints", "cloud", "providers.cloudendpoint"),
            ("Identity servers", "passkey", "providers.identityserver"),
            ("Brands", "palette", "providers.brand"),
            ("Mail wording", "edit_note", "providers.mailtemplate"),
            ("API log", "receipt_long", "providers.apicall"),
            ("Webhooks", "webhook", "providers.webhook"),
            ("Deliveries", "outbox", "providers.delivery"),
        ),
    ),
    (
        "Customers",
        (
            ("Customers", "groups", "providers.customer"),
            ("Cloud accounts", "cloud_sync", "accounts.cloudaccount"),
            ("Imports", "upload_file", "accounts.import"),
            ("Mail", "mail", "providers.mail"),
            ("People", "person", "console.user"),
            ("API tokens", "token", "providers.apitoken"),
            ("Acting for customers", "support_agent", "providers.actingfor"),
        ),
    ),
    (
        "Work",
        (
            ("Syncs", "sync", "accounts.syncrun"),
            ("Servers", "dns", "servers.server"),
            ("Actions", "play_circle", "actions.action"),
            ("Action batches", "playlist_play", "actions.actionbatch"),
            ("Agents", "smart_toy", "agents.agent"),
            ("Claims", "waving_hand", "agents.claim"),
            ("Challenges", "lock_open", "agents.challenge"),
            ("Agent releases", "new_releases", "agents.release"),
            ("Agent work", "terminal", "agents.work"),
            ("Installs", "download", "installs.install"),
            ("Install batches", "inventory_2", "installs.installbatch"),
            ("Join tokens", "vpn_key", "agents.jointoken"),
            ("Host keys", "fingerprint", "installs.hostkey"),
            ("Host keys of jump hosts", "fingerprint", "installs.jumphostkey"),
        ),
    ),
    ("Console", (("Audit log", "history", "console.auditentry"), ("Groups", "shield", "auth.group"))),
)

_PAGES = {"Health": "portal:providers-health"}  # that are no list of rows


def navigation(request: HttpRequest) -> list[dict[str, Any]]:
    """The groups, each with those links that this member of staff may open."""
    made = []
    for title, items in _GROUPS:
        links = [
            {
                "title": name,
                "icon": icon,
                "link": reverse(_PAGES.get(name, f"admin:{label.replace('.', '_')}_changelist")),
            }
            for name, icon, label in items
            if _may_see(request, label)
        ]
        if links:
            made.append({"title": title, "separator": True, "items": links})
    return made


def script(request: HttpRequest) -> str:
    """Landmarks that Unfold leaves out."""
    return static("staff.js")


def style(request: HttpRequest) -> str:
    """Colours of Unfold's that nobody could read."""
    return static("staff.css")


def _may_see(request: HttpRequest, label: str) -> bool:
    app, model = label.split(".")
    return any(request.user.has_perm(f"{app}.{right}_{model}") for right in ("view", "change"))


def overview(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """The first page: what wants somebody's attention, each with where to look. A calm day has zeros."""
    day = Now() - timedelta(days=1)
    unwell = CloudAccount.objects.present().exclude(status__in=("ok", "pending"))
    counts = [
        (
            "providers.provider",
            "Providers that wait to be enabled",
            "?status__exact=pending",
            Provider.objects.filter(status="pending"),
        ),
        ("accounts.cloudaccount", "Cloud accounts that cannot be read", "", unwell.exclude(customer__status="closed")),
        (
            "accounts.syncrun",
            "Syncs that failed in a day",
            "?state__exact=failed",
            SyncRun.objects.filter(state="failed", ended_at__gt=day),
        ),
        (
            "providers.mail",
            "Mails that failed in a day",
            "?state__exact=failed",
            Mail.objects.filter(state="failed", ended_at__gt=day),
        ),
        (
            "installs.install",
            "Installs that failed in a day",
            "?state__exact=failed",
            Install.objects.filter(state="failed", ended_at__gt=day),
        ),
        (
            "actions.action",
            "Actions that went wrong in a day",
            "?state__in=failed,interrupted",
            Action.objects.filter(state__in=("failed", "interrupted"), ended_at__gt=day),
        ),
    ]
    context["attention"] = [
        {"words": words, "count": rows.count(), "link": reverse(f"admin:{label.replace('.', '_')}_changelist") + query}
        for label, words, query, rows in counts
        if _may_see(request, label)
    ]
    return context
