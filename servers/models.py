"""Servers, as their clouds tell of them."""

from __future__ import annotations

import uuid

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models
from django.db.models import Q
from django.db.models.functions import Coalesce, Now

from accounts.models import CloudAccount
from providers.models import Customer
from servers.querysets import ServerQuerySet

LISTED = Q(gone_at__isnull=True)  # what lists show, and what their indexes hold (one holds all, for deletions)


class Server(models.Model):
    """One server of one account. A sync writes all but the id; raw replies of the cloud are kept out of this hot row.

    `missing_since` is stamped when a complete listing lacks it, `gone_at` when another one lacked it too and the cloud
    said that it does not exist (servers.confirming). A gone one is in no list; its row stays, for its history.
    """

    class State(models.TextChoices):  # the same words as accounts.clouds.base.State
        RUNNING = "running", "Running"
        STOPPED = "stopped", "Stopped"
        SUSPENDED = "suspended", "Suspended"
        CHANGING = "changing", "Changing"
        FAILED = "failed", "Failed"
        UNKNOWN = "unknown", "Unknown"

        @property
        def tone(self) -> str:
            return {"running": "running", "changing": "changing", "failed": "failed", "unknown": "attention"}.get(
                self.value, "stopped"
            )

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # One key of the database holds both (migration 0006): a server's customer is always its account's customer.
    customer = models.ForeignKey(Customer, models.CASCADE, related_name="servers", db_index=False, db_constraint=False)
    account = models.ForeignKey(
        CloudAccount, models.CASCADE, related_name="servers", db_index=False, db_constraint=False
    )
    external_id = models.CharField(max_length=255)
    name = models.CharField(max_length=255)
    state = models.CharField(max_length=10, choices=State.choices, default=State.UNKNOWN)
    raw_state = models.CharField(max_length=80, blank=True)  # the cloud's own word
    addresses = models.JSONField(default=list)  # [{ip, version, kind, network, mac}]
    ips = ArrayField(models.CharField(max_length=45), default=list)  # the same addresses, to search
    size = models.CharField(max_length=255, blank=True)
    cpus = models.PositiveIntegerField(null=True)
    memory_mb = models.PositiveIntegerField(null=True)
    disk_gb = models.PositiveIntegerField(null=True)
    image = models.CharField(max_length=255, blank=True)
    region = models.CharField(max_length=255, blank=True)
    key_name = models.CharField(max_length=255, blank=True)
    cloud_created_at = models.DateTimeField(null=True)
    digest = models.CharField(max_length=64)  # of all that the cloud told; a sync compares it
    # Of the row of a listing that these facts were read from (accounts.clouds.known); "" when they came otherwise.
    fingerprint = models.CharField(max_length=64, default="", db_default="", editable=False)
    first_seen_at = models.DateTimeField(db_default=Now(), editable=False)
    changed_at = models.DateTimeField(db_default=Now(), editable=False)
    missing_since = models.DateTimeField(null=True)
    gone_at = models.DateTimeField(null=True)

    objects = ServerQuerySet.as_manager()

    class Meta:
        ordering = ["name", "id"]
        constraints = [models.UniqueConstraint(fields=["account", "external_id"], name="server_once")]
        indexes = [
            models.Index(fields=["customer", "name", "id"], name="server_by_name", condition=LISTED),
            models.Index(fields=["customer", "state", "name", "id"], name="server_by_state", condition=LISTED),
            models.Index("customer", Coalesce("cloud_created_at", "first_seen_at"), "id", name="server_by_age"),
            GinIndex(fields=["ips"], name="server_by_ip"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def status(self) -> State:
        return self.State(self.state)

    @property
    def address(self) -> str:
        """The address to dial: a floating IPv4 first, then any IPv4, then anything; empty when there is none."""
        ranked = sorted(self.addresses, key=lambda a: (a.get("kind") != "floating", a.get("version") != 4))
        return str(ranked[0]["ip"]) if ranked else ""
