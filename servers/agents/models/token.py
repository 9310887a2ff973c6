"""Join tokens."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from accounts.models import CloudAccount
from servers.agents.models.agent import Agent
from servers.models import Server


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
