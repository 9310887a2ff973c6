"""Agents that went silent, and those that are heard again, told to their providers' webhooks once each.

Whether an agent is offline follows from when it was last heard (querysets); what is written down here is only that its
provider was told. A server that was stopped, that an action of ours works on (servers.quiet), or that is just coming up
is silent for a reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone

from providers import events
from providers.models import Customer
from servers import quiet
from servers.agents.models import Agent
from servers.agents.querysets import heard_since

MOST: Final = 1000  # agents at once
LONG: Final = timedelta(minutes=15)  # after which the state that we know counts, however old it is


def find() -> int:
    """Tell of agents that went silent and were not told of yet; how many. Twice at once is harmless."""
    since = heard_since()
    # Read since it fell silent: it is not one that was stopped a moment ago.
    fresh = Q(server__account__last_sync_at__gt=F("last_seen_at")) | Q(last_seen_at__lt=timezone.now() - LONG)
    with transaction.atomic():
        silent = list(
            Agent.objects.offline()
            .filter(
                ~quiet.for_a_reason("server"),
                fresh,
                silence_told_at__isnull=True,
                first_seen_at__isnull=False,
                server__changed_at__lt=since,
                server__missing_since__isnull=True,
                server__customer__status=Customer.Status.ACTIVE,
            )
            .select_related("server__account", "server__customer")
            .order_by("last_seen_at")
            .select_for_update(skip_locked=True, of=("self",))[:MOST]
        )
        Agent.objects.filter(pk__in=[agent.pk for agent in silent]).update(silence_told_at=Now())
        tell("agent.offline", silent)
    return len(silent)


def broken(agent: Agent) -> None:
    """It is heard again: told once, however many heartbeats come at the same time."""
    with transaction.atomic():
        if Agent.objects.filter(pk=agent.pk, silence_told_at__isnull=False).update(silence_told_at=None):
            tell(
                "agent.online", Agent.objects.filter(pk=agent.pk).select_related("server__account", "server__customer")
            )


def tell(type: str, agents: Iterable[Agent]) -> None:
    """Fire this of the agents' servers, for all of a provider at once. Call it inside a transaction."""
    told: dict[UUID | None, list[dict[str, str | None]]] = {}
    for agent in agents:
        server = agent.server
        if server is None or not server.customer.external_id:
            continue
        seen = agent.last_seen_at
        told.setdefault(server.customer.provider_id, []).append({
            "external_id": server.customer.external_id,
            "account_id": server.account.external_id,
            "server_external_id": server.external_id,
            "name": server.name,
            "last_seen_at": seen.isoformat().replace("+00:00", "Z") if seen else None,
        })  # fmt: skip
    for provider, data in told.items():
        events.fire_many(provider, type, data)
