"""Customers as their provider knows them, and the people who belong to them."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from providers.models.provider import Provider
from providers.querysets import CustomerQuerySet


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
    # New machines are let in by address, hardware address and age, without a proof through their cloud (level 2).
    admit_by_network = models.BooleanField(default=False)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.ACTIVE)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    closed_at = models.DateTimeField(null=True, blank=True, editable=False)  # what is kept goes a grace period later
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


class ActingFor(models.Model):
    """A member of staff acts for a customer for a while, with a reason that the customer sees."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    customer = models.ForeignKey(Customer, models.CASCADE, related_name="acted_for")
    staff = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="acting")
    reason = models.TextField()
    started_at = models.DateTimeField(db_default=Now(), editable=False)
    ends_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-started_at"]
        verbose_name_plural = "acting for customers"

    def __str__(self) -> str:
        return f"{self.staff} for {self.customer}"

    @property
    def zone(self) -> str:
        """In which the end is told: the member of staff's own."""
        return self.staff.time_zone or "UTC"
