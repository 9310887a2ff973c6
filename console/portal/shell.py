"""What the frame around every page says: whose accounts these are, and how fresh what they show is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any
from uuid import UUID

from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

from accounts.health import STALE_AFTER
from accounts.models import CloudAccount
from console.models import User
from providers import branding, members
from providers.branding import Look
from providers.scope import DOOR, customers_of

MOST = 200  # accounts in the switcher; who has more finds them by the list's own filter


@dataclass(frozen=True)
class AccountLine:
    """An account in the switcher."""

    id: UUID
    name: str
    tone: str
    customer_id: UUID
    customer: str
    synced_at: datetime | None


@dataclass(frozen=True)
class Workspace:
    """A customer and its accounts, as the switcher groups them."""

    id: UUID
    name: str
    accounts: tuple[AccountLine, ...]


@dataclass(frozen=True)
class Shell:
    """Everything the frame needs, from one query. `fresh_at` is the oldest complete reading among the accounts."""

    accounts: tuple[AccountLine, ...] = ()
    customers: tuple[Workspace, ...] = ()
    place: str = "All accounts"
    chosen: str = ""
    fresh_at: datetime | None = None
    stale: bool = False
    never: int = 0
    providers: tuple[UUID, ...] = ()  # of these accounts; usually one


def shell(request: HttpRequest) -> dict[str, Any]:
    """Context processor: `shell`, `look` and `places`, read only by pages that draw the frame."""
    made: Any = SimpleLazyObject(lambda: shell_of(request))
    return {
        "shell": made,
        "look": SimpleLazyObject(lambda: look_of(request, made)),
        "places": SimpleLazyObject(lambda: places_of(request)),
        "acts_for": getattr(request, "acting", None),
    }


def places_of(request: HttpRequest) -> list[tuple[str, str]]:
    """Providers at which this person works, as (slug, name); none for a sign-in that came by a provider's door."""
    user = getattr(request, "user", None)
    return members.places(user) if isinstance(user, User) and not request.session.get(DOOR) else []


def look_of(request: HttpRequest, shell: Shell) -> Look | None:
    """The brand of the provider whose servers these are; Muster's own (None) when there are several, or none."""
    if not getattr(request, "user", None) or not request.user.is_authenticated:
        return None
    providers = list(shell.providers)
    if not shell.accounts:
        ids = customers_of(request).values_list("provider_id", flat=True)
        providers = [pk for pk in ids.distinct()[:2] if pk is not None]
    return branding.live_of(providers).get(providers[0]) if len(providers) == 1 else None


def shell_of(request: HttpRequest) -> Shell:
    """The frame of this request; empty for a stranger."""
    if not getattr(request, "user", None) or not request.user.is_authenticated:
        return Shell()
    rows = CloudAccount.objects.of(customers_of(request)).select_related("customer").order_by("customer_id", "name")
    rows_read = list(rows.defer("sealed", "pending_sealed")[:MOST])
    accounts = tuple(
        AccountLine(
            row.pk, row.name, CloudAccount.Status(row.status).tone, row.customer_id, str(row.customer), row.last_sync_at
        )
        for row in rows_read
    )
    chosen = request.GET.get("account", "")
    synced = [line.synced_at for line in accounts if line.synced_at]
    oldest = min(synced, default=None)
    return Shell(
        accounts=accounts,
        customers=tuple(
            Workspace(key[0], key[1], tuple(lines))
            for key, lines in groupby(accounts, key=lambda line: (line.customer_id, line.customer))
        ),
        place=next((line.name for line in accounts if str(line.id) == chosen), "All accounts"),
        chosen=chosen,
        fresh_at=oldest,
        stale=oldest is not None and timezone.now() - oldest > STALE_AFTER,
        never=len(accounts) - len(synced),
        providers=tuple({row.customer.provider_id for row in rows_read if row.customer.provider_id}),
    )
