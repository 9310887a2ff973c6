"""A server as the list shows it: everything worked out, so that the template only draws."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, lru_cache
from typing import Any
from uuid import UUID

from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.safestring import SafeString

from accounts.health import Health, health
from accounts.models import CloudAccount
from console.templatetags.look import age_in_words, share
from servers.models import Server
from servers.presence import Presence


@lru_cache(maxsize=1024)
def _drawn(template: str, *values: tuple[str, Any]) -> SafeString:
    """A component with these values; a list of fifty rows has few different ones."""
    return render_to_string(template, dict(values))


@dataclass
class Row:
    """`server` comes with agent, account and the column `presence` (servers.finding)."""

    server: Server
    account_health: Health
    now: datetime
    servers_at: str  # addresses of pages, looked up once for all rows
    accounts_at: str
    install_at: str

    @property
    def href(self) -> str:
        return f"{self.servers_at}{self.server.pk}/"

    @property
    def account_href(self) -> str:
        return f"{self.accounts_at}{self.server.account_id}/"

    @property
    def install_href(self) -> str:
        return f"{self.install_at}?ids={self.server.pk}"

    @property
    def state_drawn(self) -> SafeString:
        status, raw = self.server.status, self.server.raw_state
        values = ("tone", status.tone), ("label", status.label), ("detail", self.raw_state), ("title", raw)
        return _drawn("components/status.html", *values)

    @property
    def presence_drawn(self) -> SafeString:
        values = ("tone", self.presence.tone), ("label", self.presence.label), ("detail", self.presence_detail)
        return _drawn("components/status.html", *values)

    @property
    def memory_drawn(self) -> SafeString:
        return _meter("Memory", self.memory_percent)

    @property
    def disk_drawn(self) -> SafeString:
        return _meter("Disk", self.disk_percent)

    @cached_property
    def presence(self) -> Presence:
        return Presence(self.server.presence)  # type: ignore[attr-defined]  # annotated

    @cached_property
    def agent(self) -> Any:
        """The live agent, or None."""
        return self.server.agent if self.presence in (Presence.MANAGED, Presence.OFFLINE, Presence.OFF) else None

    @property
    def presence_detail(self) -> str:
        """Since when it is offline: "3 h"."""
        if self.presence != Presence.OFFLINE or self.agent.last_seen_at is None:
            return ""
        return age_in_words(self.agent.last_seen_at, self.now).removesuffix(" ago")

    @property
    def raw_state(self) -> str:
        """The cloud's own word, where it says more than ours."""
        raw = str(self.server.raw_state)
        return "" if raw.lower() in ("active", "running", self.server.state, "shutoff") else raw

    @property
    def more_addresses(self) -> int:
        return max(0, len(self.server.addresses) - 1)

    @property
    def born(self) -> datetime | None:
        return self.server.cloud_created_at or self.server.first_seen_at

    @property
    def load(self) -> float | None:
        return self.agent.load1 if self.agent else None

    @property
    def memory_percent(self) -> float | None:
        return _percent(self.agent and self.agent.memory_used, self.agent and self.agent.memory_total)

    @property
    def disk_percent(self) -> float | None:
        return _percent(self.agent and self.agent.disk_used, self.agent and self.agent.disk_total)

    @property
    def metrics_are_old(self) -> bool:
        return self.presence in (Presence.OFFLINE, Presence.OFF)

    @property
    def doubt(self) -> str:
        """Why what is shown may be out of date; empty when it is fresh."""
        if self.server.missing_since:
            return f"{self.server.account} no longer lists it."
        if self.account_health.good or self.account_health.unread or self.server.account.last_sync_at is None:
            return ""
        return f"Read {age_in_words(self.server.account.last_sync_at, self.now)}. {self.account_health.words}"

    @property
    def may_install(self) -> bool:
        """Whether the row offers an install; the form says why where it cannot be done after all."""
        return self.presence in (Presence.MISSING, Presence.OFFLINE)


def _meter(label: str, percent: float | None) -> SafeString:
    rounded = None if percent is None else round(percent)
    return _drawn("components/meter.html", ("label", label), ("percent", rounded), ("small", True))


def _percent(used: Any, total: Any) -> float | None:
    return None if used is None or not total else share(used, total)


def rows(servers: Iterable[Server]) -> list[Row]:
    """Each account's health is worked out once."""
    now = timezone.now()
    places = reverse("servers:list"), reverse("accounts:list"), reverse("installs:new")
    told: dict[UUID, Health] = {}
    made = []
    for server in servers:
        account: CloudAccount = server.account
        if account.pk not in told:
            told[account.pk] = health(account, now)
        made.append(Row(server, told[account.pk], now, *places))
    return made
