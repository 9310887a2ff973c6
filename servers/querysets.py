"""Scoped reads of servers: the only doors."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q


class ServerQuerySet(models.QuerySet[Any]):
    def of(self, customers: Any) -> ServerQuerySet:
        """The servers of these customers (see `CustomerQuerySet.open_to`), of accounts that are still there."""
        return self.listed().filter(customer__in=customers, account__removed_at__isnull=True)

    def listed(self) -> ServerQuerySet:
        """Those that are not gone."""
        return self.filter(gone_at__isnull=True)

    def managed(self) -> ServerQuerySet:
        """Servers with a live agent that has reported at least once."""
        return self.filter(agent__first_seen_at__isnull=False)

    def without_agent(self) -> ServerQuerySet:
        return self.filter(Q(agent__isnull=True))
