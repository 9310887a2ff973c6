"""Cloud hosts, the people who work there, and the cloud APIs that staff registered for them."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from providers import platforms


class Provider(models.Model):
    """A cloud host whose customers Muster serves. Only an enabled one may call the API, and its customers sync."""

    class Status(models.TextChoices):
        PENDING = "pending", "Pending"
        ENABLED = "enabled", "Enabled"
        SUSPENDED = "suspended", "Suspended"

        @property
        def tone(self) -> str:
            return {"pending": "attention", "enabled": "running", "suspended": "stopped"}[self.value]

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    slug = models.SlugField(max_length=60, unique=True)
    name = models.CharField(max_length=120)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.PENDING)
    support_url = models.URLField(blank=True)
    contact_email = models.EmailField(max_length=254, blank=True)  # of its developers: failing webhooks are told there
    # Quotas; empty: no limit.
    max_customers = models.PositiveIntegerField(null=True, blank=True)
    max_servers = models.PositiveIntegerField(null=True, blank=True)
    max_agents = models.PositiveIntegerField(null=True, blank=True)
    webhook_networks = ArrayField(models.CharField(max_length=64), default=list, blank=True)  # approved private CIDRs
    calls_per_minute = models.PositiveIntegerField(default=600)  # of all its keys together
    legacy_calls = models.BooleanField("2012 calls", default=False)
    legacy_key = models.CharField(max_length=40, blank=True, editable=False)  # `sxapikey`; no secret by itself
    legacy_digest = models.CharField(max_length=64, blank=True, editable=False)  # SHA-256 of the secret's MD5 hex
    # A sandbox is a provider of its own, with simulated clouds; `mst_test_…` keys of its owner act on it.
    sandbox_of = models.OneToOneField("self", models.CASCADE, null=True, blank=True, related_name="sandbox")
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class ProviderMember(models.Model):
    """A person who works at the provider and may use its own pages. It opens no customer of it.

    Until `accepted_at` it is an invitation and opens nothing: the person says yes by the link in the mail.
    """

    class Role(models.TextChoices):
        ADMIN = "admin", "Administrator"
        VIEWER = "viewer", "Viewer"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    provider = models.ForeignKey(Provider, models.CASCADE, related_name="members")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="provider_memberships")
    role = models.CharField(max_length=8, choices=Role.choices, default=Role.VIEWER)
    # This invitation made the person's row too: only then may its mail set the first password.
    founding = models.BooleanField(default=False, editable=False)
    accepted_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["provider", "user"],
                name="provider_member_once",
                violation_error_message="This person belongs to the provider already.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.user} at {self.provider}"


class CloudEndpoint(models.Model):
    """A cloud API of a provider, registered by staff. Customers' credentials go to this address only."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    provider = models.ForeignKey(Provider, models.CASCADE, related_name="endpoints")
    slug = models.SlugField(max_length=60)
    name = models.CharField(max_length=120, blank=True)
    platform = models.CharField(max_length=12, choices=platforms.choices)
    url = models.CharField("address", max_length=500)  # checked in endpoints.py: clouds stand at names without dots too
    version = models.CharField(max_length=20, blank=True)  # wanted; empty: negotiated
    version_found = models.CharField(max_length=60, blank=True, editable=False)
    region = models.CharField(max_length=120, blank=True)
    ca = models.TextField("CA certificates", blank=True)  # PEM; empty: the system's
    networks = ArrayField(models.CharField(max_length=64), default=list, blank=True)  # approved private CIDRs
    allow_http = models.BooleanField("plain HTTP allowed", default=False)
    old_tls = models.BooleanField("old TLS allowed", default=False)  # 1.0 and 1.1, for clouds with nothing newer
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["provider", "slug"]
        constraints = [
            models.UniqueConstraint(
                fields=["provider", "slug"],
                name="endpoint_slug_once",
                violation_error_message="This provider already has an endpoint of that name.",
            )
        ]

    def __str__(self) -> str:
        return self.name or self.slug
