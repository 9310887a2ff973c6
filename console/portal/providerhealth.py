"""How providers are, for staff: syncs, mails, webhooks, agents and API calls, counted for all of them at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db.models import Count, Min, Q, QuerySet, Sum
from django.db.models.functions import Now

from accounts.health import STALE_AFTER
from accounts.models import CloudAccount
from console.lib.jobs.rows import ACTIVE
from providers.models import ApiCall, Customer, Delivery, Mail, Provider, Webhook
from servers import quiet
from servers.agents.models import Agent

MAILS: Final = timedelta(days=7)
CALLS: Final = timedelta(hours=1)
LOST = ("failed", "expired", "interrupted")


@dataclass
class Health:
    """One provider's. Counts; `oldest` is the reading that is longest ago among accounts that are read."""

    provider: Provider
    customers: int = 0
    accounts: dict[str, int] = field(default_factory=dict)  # status → how many
    stale: int = 0
    never: int = 0
    oldest: datetime | None = None
    servers: int = 0
    mails: int = 0
    mails_lost: int = 0
    mails_waiting: int = 0
    webhooks: int = 0
    webhooks_failing: int = 0
    webhooks_off: int = 0
    deliveries_waiting: int = 0
    agents: int = 0
    agents_offline: int = 0
    calls: int = 0
    calls_refused: int = 0
    calls_failed: int = 0

    @property
    def total(self) -> int:
        return sum(self.accounts.values())

    @property
    def unwell(self) -> int:
        """Accounts that cannot be read."""
        return sum(count for status, count in self.accounts.items() if status not in ("ok", "pending"))

    @property
    def statuses(self) -> list[tuple[str, int]]:
        return [(str(CloudAccount.Status(status).label), count) for status, count in sorted(self.accounts.items())]

    @property
    def tone(self) -> str:
        """The worst of it: failed where somebody's servers, mails or calls suffer by us or unseen."""
        if self.provider.status != Provider.Status.ENABLED:
            return "stopped"
        if self.calls_failed or self.webhooks_off or (self.total and self.unwell == self.total):
            return "failed"
        worrying = (self.unwell, self.stale, self.mails_lost, self.webhooks_failing, self.agents_offline)
        return "attention" if any(worrying) else "running"

    @property
    def word(self) -> str:
        if self.provider.status != Provider.Status.ENABLED:
            return str(self.provider.get_status_display())
        return {"failed": "Broken", "attention": "Wants a look", "running": "Well"}[self.tone]


def of(providers: Iterable[Provider]) -> list[Health]:
    """In the order of `providers`; seven reads for all of them."""
    found = {provider.pk: Health(provider) for provider in providers}
    ids = list(found)
    customers = Customer.objects.filter(provider__in=ids).exclude(status=Customer.Status.CLOSED)
    for row in _by(customers, "provider", all=Count("pk")):
        found[row["provider"]].customers = row["all"]
    old = Q(last_sync_at__lt=Now() - STALE_AFTER, status="ok")
    accounts = _by(
        accounts_of(ids), "customer__provider", "status",
        all=Count("pk"), stale=Count("pk", filter=old), never=Count("pk", filter=Q(last_sync_at=None)),
        oldest=Min("last_sync_at", filter=Q(status="ok")), servers=Sum("server_count"),
    )  # fmt: skip
    for row in accounts:
        health = found[row["customer__provider"]]
        health.accounts[row["status"]] = row["all"]
        health.stale += row["stale"]
        health.never += row["never"]
        health.servers += row["servers"] or 0
        health.oldest = row["oldest"] or health.oldest
    _mails(found, ids)
    failing, off = Q(enabled=True, failing_since__isnull=False), Q(enabled=False)
    hooks = Webhook.objects.filter(provider__in=ids)
    for row in _by(hooks, "provider", all=Count("pk"), bad=Count("pk", filter=failing), off=Count("pk", filter=off)):
        health = found[row["provider"]]
        health.webhooks, health.webhooks_failing, health.webhooks_off = row["all"], row["bad"], row["off"]
    waiting = Delivery.objects.filter(webhook__provider__in=ids, state__in=ACTIVE)
    for row in _by(waiting, "webhook__provider", all=Count("pk")):
        found[row["webhook__provider"]].deliveries_waiting = row["all"]
    agents = Agent.objects.live().filter(server__customer__provider__in=ids)
    offline = Q(pk__in=Agent.objects.offline().exclude(quiet.for_a_reason("server")).values("pk"))
    for row in _by(agents, "server__customer__provider", all=Count("pk"), offline=Count("pk", filter=offline)):
        health = found[row["server__customer__provider"]]
        health.agents, health.agents_offline = row["all"], row["offline"]
    refused, failed = Q(status__gte=400, status__lt=500), Q(status__gte=500)
    calls = ApiCall.objects.filter(provider__in=ids, at__gt=Now() - CALLS)
    counts = {"all": Count("pk"), "refused": Count("pk", filter=refused), "failed": Count("pk", filter=failed)}
    for row in _by(calls, "provider", **counts):
        health = found[row["provider"]]
        health.calls, health.calls_refused, health.calls_failed = row["all"], row["refused"], row["failed"]
    return list(found.values())


def _mails(found: dict[UUID, Health], ids: list[UUID]) -> None:
    """A mail belongs to a customer's provider, or to a provider itself."""
    bounced = Q(bounced_at__isnull=False)
    rows = _by(
        Mail.objects.filter(mails_of(ids), queued_at__gt=Now() - MAILS), "customer__provider", "provider",
        all=Count("pk"), lost=Count("pk", filter=Q(state__in=LOST) | bounced),
        waiting=Count("pk", filter=Q(state__in=ACTIVE)),
    )  # fmt: skip
    for row in rows:
        health = found[row["customer__provider"] or row["provider"]]
        health.mails += row["all"]
        health.mails_lost += row["lost"]
        health.mails_waiting += row["waiting"]


def accounts_of(ids: list[UUID]) -> QuerySet[CloudAccount]:
    """Accounts that these providers' customers have now."""
    rows: QuerySet[CloudAccount] = CloudAccount.objects.present().filter(customer__provider__in=ids)
    return rows.exclude(customer__status=Customer.Status.CLOSED)


def mails_of(ids: list[UUID]) -> Q:
    """Mails to these providers' customers, and to themselves."""
    return Q(customer__provider__in=ids) | Q(customer=None, provider__in=ids)


def _by(rows: QuerySet[Any], *groups: str, **counts: Any) -> list[dict[str, Any]]:
    return list(rows.order_by().values(*groups).annotate(**counts))
