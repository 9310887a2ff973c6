"""Whether the agent is on a server: one word, which list, page and query language share."""

from __future__ import annotations

from django.db import models
from django.db.models import Case, CharField, Exists, OuterRef, Q, Value, When

from console.lib.jobs.rows import ACTIVE
from servers import quiet
from servers.agents.models import Agent
from servers.agents.querysets import heard_since
from servers.installs.models import Install


class Presence(models.TextChoices):
    """managed: it reports. offline: it did, and the server runs. off: it did, and its server is stopped, or something
    is being done to it (servers.quiet). pending: an install is under way, or no heartbeat yet. missing: none."""

    MANAGED = "managed", "Managed"
    OFFLINE = "offline", "Offline"
    OFF = "off", "Server off"
    PENDING = "pending", "Pending"
    MISSING = "missing", "Missing"

    @property
    def tone(self) -> str:
        return {"managed": "running", "offline": "attention", "pending": "changing"}.get(self.value, "stopped")

    @property
    def said(self) -> str:
        """Where no column says that the agent is meant: "Managed", "Agent offline"."""
        return self.label if self in (Presence.MANAGED, Presence.OFF) else f"Agent {self.label.lower()}"


def matching(presence: str) -> Q:
    """The servers of that presence. Subqueries, not joins: these conditions are negated and put into alternatives."""
    live = Agent.objects.live().filter(server=OuterRef("pk"))
    heard = live.filter(first_seen_at__isnull=False)
    under_way = Install.objects.filter(server=OuterRef("pk"), state__in=ACTIVE)
    match Presence(presence):
        case Presence.MANAGED:
            return Q(Exists(heard.filter(last_seen_at__gte=heard_since())))
        case Presence.OFFLINE:
            return Q(Exists(heard.filter(last_seen_at__lt=heard_since()))) & ~quiet.for_a_reason()
        case Presence.OFF:
            return Q(Exists(heard.filter(last_seen_at__lt=heard_since()))) & quiet.for_a_reason()
        case Presence.PENDING:
            return Q(Exists(live.filter(first_seen_at__isnull=True))) | (Q(Exists(under_way)) & ~Q(Exists(live)))
    return ~Q(Exists(live)) & ~Q(Exists(under_way))


def word() -> Case:
    """The presence as a column, for `annotate(presence=word())`; it joins the agent."""
    live, heard = Q(agent__state=Agent.State.LIVE), Q(agent__first_seen_at__isnull=False)
    under_way = Exists(Install.objects.filter(server=OuterRef("pk"), state__in=ACTIVE))
    return Case(
        When(live & heard & Q(agent__last_seen_at__gte=heard_since()), then=Value(Presence.MANAGED.value)),
        When(live & heard & quiet.for_a_reason(), then=Value(Presence.OFF.value)),
        When(live & heard, then=Value(Presence.OFFLINE.value)),
        When(live, then=Value(Presence.PENDING.value)),
        When(under_way, then=Value(Presence.PENDING.value)),
        default=Value(Presence.MISSING.value),
        output_field=CharField(),
    )
