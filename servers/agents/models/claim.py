"""Machines from a provider's image that say who they are, and the challenges that let them prove it."""

from __future__ import annotations

import uuid

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from console.lib import seal
from console.lib.jobs.rows import ACTIVE, Job
from providers.models import Provider
from servers.agents.models.agent import Agent
from servers.models import Server


class Claim(models.Model):
    """What a machine without an identity told of itself. It proves nothing; see `Challenge`.

    `level` and `server` are what matching found: 3 a server whose channel can be challenged, 2 and 1 by its network, 0
    none. A waiting one is matched again until `expires_at`.
    """

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        PENDING = "pending", "Waits for a person"
        ADMITTED = "admitted", "Admitted"
        REFUSED = "refused", "Refused"

        @property
        def tone(self) -> str:
            return {"waiting": "changing", "pending": "attention", "admitted": "running"}.get(self.value, "stopped")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    provider = models.ForeignKey(Provider, models.CASCADE, related_name="claims")
    public_key = models.CharField(max_length=43, unique=True, editable=False)
    code = models.CharField(max_length=9)
    state = models.CharField(max_length=8, choices=State.choices, default=State.WAITING)
    platform = models.CharField(max_length=12, blank=True)
    instance_id = models.CharField(max_length=128, blank=True)
    dmi_uuid = models.CharField(max_length=128, blank=True)
    macs = ArrayField(models.CharField(max_length=17), default=list)
    ips = ArrayField(models.CharField(max_length=45), default=list)
    hostname = models.CharField(max_length=128, blank=True)
    version = models.CharField(max_length=40)
    address = models.GenericIPAddressField()  # where its request came from
    server = models.ForeignKey(Server, models.CASCADE, null=True, related_name="claims")
    level = models.PositiveSmallIntegerField(default=0)
    proven_at = models.DateTimeField(null=True)
    trouble = models.CharField(max_length=300, blank=True)  # why it is not admitted by itself, in words
    # Whose people see it while it is pending: several where a cloud shows one instance to two customers, or both use
    # the address that it came from.
    customers = ArrayField(models.UUIDField(), default=list)
    looked_at = models.DateTimeField(null=True, editable=False)  # when it was matched last
    challenged_at = models.DateTimeField(null=True, editable=False)  # when it last could have read a nonce
    agent = models.ForeignKey(Agent, models.SET_NULL, null=True, related_name="claims")
    first_at = models.DateTimeField(db_default=Now(), editable=False)
    last_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()

    class Meta:
        ordering = ["-last_at"]
        indexes = [
            models.Index(
                fields=["instance_id"], name="claim_by_instance", condition=Q(state__in=("waiting", "pending"))
            ),
            models.Index(fields=["expires_at"], name="claim_by_expiry"),
            models.Index(
                fields=["provider", "looked_at"], name="claim_to_match", condition=Q(state__in=("waiting", "pending"))
            ),
            GinIndex(fields=["customers"], name="claim_by_customer", condition=Q(state="pending")),
        ]

    def __str__(self) -> str:
        return f"{self.hostname or self.instance_id or 'A machine'} ({self.code})"


class Challenge(Job):
    """A nonce put where only one instance can read it, one at a time for a server, good for ten minutes.

    All claims to a server answer the same nonce, so a flood of claims writes nothing more into the cloud.
    """

    server = models.ForeignKey(Server, models.CASCADE, related_name="challenges")
    sealed = models.TextField(editable=False)  # the nonce
    before = models.TextField(blank=True, editable=False)  # what stood there, to be restored (CloudStack); sealed
    placed_at = models.DateTimeField(null=True)
    removed_at = models.DateTimeField(null=True)

    changes_server = False

    class Meta(Job.Meta):
        constraints = [
            models.UniqueConstraint(fields=["server"], name="one_active_challenge", condition=Q(state__in=ACTIVE))
        ]

    def __str__(self) -> str:
        return f"Challenge of {self.server}"

    def place(self, column: str = "sealed") -> seal.Place:
        return seal.Place("agents_challenge", column, str(self.pk), str(self.server_id))
