"""Reads of agents. Offline is never written down: it follows from when an agent was last heard."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone

from servers.agents.program import protocol


def silent_after() -> timedelta:
    """So long after an agent was last heard it is offline: three check-ins and a little more are missing."""
    return timedelta(seconds=3 * min(settings.AGENT_INTERVAL, protocol.WAIT_MAX) + 15)


def heard_since() -> datetime:
    """An agent that was not heard since this moment is offline."""
    return timezone.now() - silent_after()


class AgentQuerySet(models.QuerySet[Any]):
    def live(self) -> AgentQuerySet:
        return self.filter(state="live")

    def reporting(self) -> AgentQuerySet:
        """Live, and heard of late."""
        return self.live().filter(last_seen_at__gte=heard_since())

    def offline(self) -> AgentQuerySet:
        """Live, heard once, and silent since."""
        return self.live().filter(last_seen_at__lt=heard_since())

    def unheard(self) -> AgentQuerySet:
        """Enrolled, and no heartbeat yet."""
        return self.live().filter(last_seen_at__isnull=True)
