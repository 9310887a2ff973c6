"""One enrolled agent: who it is, its session, and how its host was last."""

from __future__ import annotations

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from console.lib import seal
from servers.agents.querysets import AgentQuerySet
from servers.models import Server


class Agent(models.Model):
    """`server` is set while it lives or is suspended (one agent a server); `former_server` remembers."""

    class State(models.TextChoices):
        LIVE = "live", "Live"
        SUSPENDED = "suspended", "Suspended"  # 403: two machines use this identity, each has to prove who it is
        REVOKED = "revoked", "Revoked"  # 401: it must stop
        LEAVING = "leaving", "Leaving"  # 410: it uninstalls itself when it returns

    class Way(models.TextChoices):
        TOKEN = "token", "Join token"
        PROOF = "proof", "Proof through the cloud"  # level 3
        NETWORK = "network", "Address and age, as the customer allowed"  # level 2
        PERSON = "person", "Approved by a person"  # level 1

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    server = models.OneToOneField(Server, models.SET_NULL, null=True, related_name="agent")
    former_server = models.ForeignKey(Server, models.SET_NULL, null=True, related_name="former_agents")
    state = models.CharField(max_length=9, choices=State.choices, default=State.LIVE)
    way = models.CharField("came by", max_length=8, choices=Way.choices, default=Way.TOKEN)
    public_key = models.CharField(max_length=43, unique=True, null=True, editable=False)  # noqa: DJ001 - unique: Ed25519, base64url
    instance_id = models.CharField(max_length=128, blank=True)  # of the machine that it was given to; "" when unknown
    version = models.CharField(max_length=40)
    enrolled_at = models.DateTimeField(db_default=Now(), editable=False)
    first_seen_at = models.DateTimeField(null=True)  # of the first check-in: "managed" from then on
    last_seen_at = models.DateTimeField(null=True)
    silence_told_at = models.DateTimeField(null=True, editable=False)  # its provider was told that it is offline
    ended_at = models.DateTimeField(null=True)

    # The session, and the one before it: whoever still uses that one is a second machine (SECURITY.md §1).
    epoch = models.BigIntegerField(default=0, editable=False)
    session = models.UUIDField(null=True, unique=True, editable=False)
    session_key = models.TextField(blank=True, editable=False)  # sealed
    session_at = models.DateTimeField(null=True, editable=False)
    sequence = models.BigIntegerField(default=0, editable=False)  # of the session; Valkey knows it first
    former_session = models.UUIDField(null=True, unique=True, editable=False)
    former_session_key = models.TextField(blank=True, editable=False)  # sealed
    cloned_at = models.DateTimeField(null=True, editable=False)  # when two machines were last seen to use it

    # Releases: the last one that it told of.
    release = models.ForeignKey("agents.Release", models.SET_NULL, null=True, related_name="agents")
    release_state = models.CharField(max_length=12, blank=True)  # done, rolled_back, refused
    release_reason = models.CharField(max_length=300, blank=True)
    release_at = models.DateTimeField(null=True)
    work_sequence = models.BigIntegerField(default=0, editable=False)  # of the last work that was signed for it

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
            models.CheckConstraint(
                name="live_agent_has_server",
                condition=~Q(state__in=("live", "suspended")) | Q(server__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"Agent of {self.server or self.former_server}"

    def session_place(self) -> seal.Place:
        """Where its session's key is sealed. No tenant: a session outlives neither the agent nor its server."""
        return seal.Place("agents_agent", "session_key", str(self.pk), "")

    def sealed_session_key(self, key: bytes) -> str:
        return seal.close({"key": key.hex()}, self.session_place())

    def opened_session_key(self, sealed: str) -> bytes:
        """The bytes of `session_key` or `former_session_key`. SealBroken when it is none of this agent's."""
        return bytes.fromhex(seal.open_(sealed, self.session_place())["key"])
