"""Keys of programs: a provider's, and a customer's."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from providers.models.provider import Provider
from providers.querysets import ProviderKeyQuerySet


class ProviderKey(models.Model):
    """An API key: `mst_<live|test>_<prefix>_<secret>`. Only a SHA-256 of the whole is kept."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    provider = models.ForeignKey(Provider, models.CASCADE, related_name="keys")
    name = models.CharField(max_length=80, blank=True)
    prefix = models.CharField(max_length=16, unique=True, editable=False)
    digest = models.CharField(max_length=64, editable=False)
    sandbox = models.BooleanField(default=False)
    scopes = ArrayField(models.CharField(max_length=40), default=list, blank=True)  # empty: all
    allowed_networks = ArrayField(models.CharField(max_length=64), default=list, blank=True)  # CIDRs; empty: anywhere
    replaces = models.OneToOneField(  # rotation: the older one stays live for a while
        "self", models.SET_NULL, null=True, blank=True, editable=False, related_name="successor"
    )
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
