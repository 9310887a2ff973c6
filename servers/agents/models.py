"""Agents: programs on servers that report to us, and the tokens that let them in."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import CloudAccount
from servers.agents.querysets import AgentQuerySet
from servers.models import Server


class Agent(models.Model):
    """One enrolled agent. `server` is set while it lives (one live agent a server); `former_server` remembers."""

    class State(models.TextChoices):
        LIVE = "live", "Live"
        REVOKED = "revoked", "Revoked"  # 401: it must stop
        LEAVING = "leaving", "Leaving"  # 410: it uninstalls itself when it returns

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    server = models.OneToOneField(Server, models.SET_NULL, null=True, related_name="agent")
    former_server = models.ForeignKey(Server, models.SET_NULL, null=True, related_name="former_agents")
    state = models.CharField(max_length=8, choices=State.choices, default=State.LIVE)
    digest = models.CharField(max_length=64, unique=True, editable=False)  # SHA-256 of its token
    version = models.CharField(max_length=40)
    enrolled_at = models.DateTimeField(db_default=Now(), editable=False)
    first_seen_at = models.DateTimeField(null=True)  # of the first heartbeat: "managed" from then on
    last_seen_at = models.DateTimeField(null=True)
    silence_told_at = models.DateTimeField(null=True, editable=False)  # its provider was told that it is offline
    ended_at = models.DateTimeField(null=True)
    facts = models.JSONField(default=dict)
    load1 = models.FloatField(null=True)
    cpu_percent = models.FloatField(null=True)
    memory_used = models.BigIntegerField(null=True)  # bytes
    memory_total = models.BigIntegerField(null=True)
    disk_used = models.BigIntegerField(null=True)  # of the root file system, bytes
    disk_total = models.BigIntegerField(null=True)
    metrics = models.JSONField(default=dict)  # the last sample whole: every disk, swap …
    recent_load = ArrayField(models.FloatField(), default=list)  # the last 30 samples, oldest first

    objects = AgentQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(name="live_agent_has_server", condition=~Q(state="live") | Q(server__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"Agent of {self.server or self.former_server}"


class JoinToken(models.Model):
    """A one-time token with which an agent enrols, bound to a server, or to an account (its server is known later)."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    account = models.ForeignKey(CloudAccount, models.CASCADE, related_name="join_tokens")
    server = models.ForeignKey(Server, models.CASCADE, null=True, related_name="join_tokens")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)
    used_by = models.ForeignKey(Agent, models.SET_NULL, null=True)

    def __str__(self) -> str:
        return f"Join token for {self.server or self.account}"
