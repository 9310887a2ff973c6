"""Reads of agents. Offline is never written down: it follows from when an agent was last heard."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone


def heard_since() -> datetime:
    """An agent that was not heard since this moment is offline: three heartbeats and a little more are missing."""
    return timezone.now() - timedelta(seconds=3 * settings.AGENT_INTERVAL + 15)


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
