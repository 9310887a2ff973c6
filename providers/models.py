"""Providers (cloud hosts), their keys and endpoints, their customers, and the mail and links that go to people."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from console.lib.jobs.rows import Job
from providers.querysets import CustomerQuerySet, ProviderKeyQuerySet


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
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class ProviderKey(models.Model):
    """An API key: `mst_<live|test>_<prefix>_<secret>`. Only a SHA-256 of the whole is kept."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    provider = models.ForeignKey(Provider, models.CASCADE, related_name="keys")
    name = models.CharField(max_length=80, blank=True)
    prefix = models.CharField(max_length=16, unique=True, editable=False)
    digest = models.CharField(max_length=64, editable=False)
    sandbox = models.BooleanField(default=False)
    scopes = ArrayField(models.CharField(max_length=40), default=list, blank=True)  # empty: all
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = ProviderKeyQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"mst_{'test' if self.sandbox else 'live'}_{self.prefix}_…"


class ApiToken(models.Model):
    """A customer's key to the customer API, issued by one of its people: `mct_<prefix>_<secret>`. Only a SHA-256 of
    the whole is kept. It opens what that person may see of that customer, for as long as they belong to it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    customer = models.ForeignKey("Customer", models.CASCADE, related_name="api_tokens")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=80)
    prefix = models.CharField(max_length=16, unique=True, editable=False)
    digest = models.CharField(max_length=64, editable=False)
    scopes = ArrayField(models.CharField(max_length=40), default=list)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-created_at"]
        verbose_name = "API token"

    def __str__(self) -> str:
        return f"mct_{self.prefix}_…"


class CloudEndpoint(models.Model):
    """A cloud API of a provider, registered by staff. Customers' credentials go to this address only."""

    class Platform(models.TextChoices):
        OPENSTACK = "openstack", "OpenStack"
        CLOUDSTACK = "cloudstack", "CloudStack"
        VCLOUD = "vcloud", "vCloud"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    provider = models.ForeignKey(Provider, models.CASCADE, related_name="endpoints")
    slug = models.SlugField(max_length=60)
    name = models.CharField(max_length=120, blank=True)
    platform = models.CharField(max_length=12, choices=Platform.choices)
    url = models.CharField("address", max_length=500)  # checked in endpoints.py: clouds stand at names without dots too
    version = models.CharField(max_length=20, blank=True)  # wanted; empty: negotiated
    version_found = models.CharField(max_length=60, blank=True, editable=False)
    region = models.CharField(max_length=120, blank=True)
    ca = models.TextField("CA certificates", blank=True)  # PEM; empty: the system's
    networks = ArrayField(models.CharField(max_length=64), default=list, blank=True)  # approved private CIDRs
    allow_http = models.BooleanField("plain HTTP allowed", default=False)
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


class Customer(models.Model):
    """Somebody who rents servers, as one provider knows them (or, without a provider, as we do)."""

    class Status(models.TextChoices):
        ACTIVE = "active", "Active"
        SUSPENDED = "suspended", "Suspended"
        CLOSED = "closed", "Closed"

        @property
        def tone(self) -> str:
            return {"active": "running", "suspended": "attention", "closed": "stopped"}[self.value]

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    provider = models.ForeignKey(Provider, models.PROTECT, related_name="customers", null=True, blank=True)
    external_id = models.CharField(max_length=120, blank=True)  # the provider's own id of it
    email = models.EmailField(max_length=254)  # the contact address, not anybody's sign-in
    first_name = models.CharField(max_length=150, blank=True)
    last_name = models.CharField(max_length=150, blank=True)
    organization = models.CharField(max_length=200, blank=True)
    locale = models.CharField(max_length=12, blank=True)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.ACTIVE)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    closed_at = models.DateTimeField(null=True, blank=True, editable=False)
    people = models.ManyToManyField(settings.AUTH_USER_MODEL, through="Membership", related_name="customers")

    objects = CustomerQuerySet.as_manager()

    class Meta:
        ordering = ["organization", "email"]
        constraints = [
            models.UniqueConstraint(
                fields=["provider", "external_id"],
                name="customer_once",
                condition=~Q(external_id=""),
                violation_error_message="This provider already has a customer of that id.",
            )
        ]

    def __str__(self) -> str:
        return self.organization or f"{self.first_name} {self.last_name}".strip() or self.email


class Membership(models.Model):
    """A person belongs to a customer. Until `accepted_at` it is an invitation, and opens nothing."""

    class Role(models.TextChoices):
        OWNER = "owner", "Owner"
        MEMBER = "member", "Member"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    customer = models.ForeignKey(Customer, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.OWNER)
    # Making this customer made the person's row too: only then may its welcome link set the first password.
    founding = models.BooleanField(default=False, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    accepted_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["customer", "user"], name="member_once")]

    def __str__(self) -> str:
        return f"{self.user} in {self.customer}"


class Mail(Job):
    """A mail to a person: rendered and sent by a worker, so that no link and no secret rests in the row.

    Delivery state is the job's state: queued, done (the mail server took it), failed (with the mail server's words).
    """

    class Kind(models.TextChoices):
        WELCOME = "welcome", "Welcome"
        INVITATION = "invitation", "Invitation"

    kind = models.CharField(max_length=12, choices=Kind.choices)
    to = models.EmailField(max_length=254)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="mails")
    customer = models.ForeignKey(Customer, models.CASCADE, related_name="mails", null=True)
    message_id = models.CharField(max_length=200, blank=True, editable=False)

    class Meta(Job.Meta):
        ordering = ["-queued_at"]

    def __str__(self) -> str:
        return f"{self.kind} to {self.to}"

    @property
    def delivery(self) -> str:
        """queued, sent or failed: what the API and the admin say."""
        return {"done": "sent", "queued": "queued", "running": "queued", "waiting": "queued"}.get(self.state, "failed")


class SignInLink(models.Model):
    """A single-use link that lets a person in (or set a password). Only a SHA-256 of its token is kept."""

    class Purpose(models.TextChoices):
        SET_PASSWORD = "set_password", "Set a password"
        SIGN_IN = "sign_in", "Sign in"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    purpose = models.CharField(max_length=12, choices=Purpose.choices)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="sign_in_links")
    customer = models.ForeignKey(Customer, models.CASCADE, null=True, related_name="sign_in_links")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.purpose} for {self.user}"


class Replay(models.Model):
    """What a call with an `Idempotency-Key` was answered, so that a repeat is answered the same (24 h)."""

    id = models.BigAutoField(primary_key=True)
    provider = models.ForeignKey(Provider, models.CASCADE, related_name="replays")
    key = models.CharField(max_length=255)
    digest = models.CharField(max_length=64)  # SHA-256 of the call and its body
    status = models.PositiveSmallIntegerField(null=True)  # null while the first call is under way
    answer = models.JSONField(null=True)
    expires_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["provider", "key"], name="replay_once")]
        indexes = [models.Index(fields=["expires_at"], name="replay_expiry")]

    def __str__(self) -> str:
        return self.key
