"""How people come in by way of a provider: single-use links, and its own identity server."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from console.lib import seal
from providers.models.customer import Customer
from providers.models.provider import Provider


class SignInLink(models.Model):
    """A single-use link that lets a person in (or set a password). Only a SHA-256 of its token is kept."""

    class Purpose(models.TextChoices):
        SET_PASSWORD = "set_password", "Set a password"
        SIGN_IN = "sign_in", "Sign in"
        HANDOFF = "handoff", "Hand-off"  # from the provider's portal; sees that provider's customer only

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    purpose = models.CharField(max_length=12, choices=Purpose.choices)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="sign_in_links")
    customer = models.ForeignKey(Customer, models.CASCADE, null=True, related_name="sign_in_links")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)
    return_to = models.CharField(max_length=500, blank=True)  # a path of ours, from the list of allowed ones
    told = models.BooleanField(default=False)  # to a provider's program, in a reply: who comes by it may be anybody

    def __str__(self) -> str:
        return f"{self.purpose} for {self.user}"


class IdentityServer(models.Model):
    """A provider's OpenID Connect server, by which its customers sign in. An identity is (provider, issuer, sub)."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    provider = models.OneToOneField(Provider, models.CASCADE, related_name="identity_server")
    issuer = models.URLField(max_length=300)
    client_id = models.CharField(max_length=200)
    sealed = models.TextField(blank=True, editable=False)  # the client's secret
    customer_claim = models.CharField(max_length=60, default="sub")  # holds the provider's own id of the customer
    enabled = models.BooleanField(default=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    def __str__(self) -> str:
        return self.issuer

    def place(self) -> seal.Place:
        return seal.Place("providers_identityserver", "sealed", str(self.pk), str(self.provider_id))
