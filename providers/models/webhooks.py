"""Webhooks: what a provider's programs are told, and how telling them went."""

from __future__ import annotations

import uuid

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Now

from console.lib import seal
from console.lib.jobs.rows import ACTIVE, Job
from providers.models.provider import Provider


class Webhook(models.Model):
    """An address of the provider's that is told what happens. Two secrets live while one is being rotated."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    provider = models.ForeignKey(Provider, models.CASCADE, related_name="webhooks")
    url = models.CharField("address", max_length=500)
    events = ArrayField(models.CharField(max_length=40), default=list, blank=True)  # types; empty: all
    sealed = models.TextField(editable=False)  # the secret that signs
    previous_sealed = models.TextField(blank=True, editable=False)  # signs too, until …
    previous_until = models.DateTimeField(null=True, editable=False)
    enabled = models.BooleanField(default=True)
    failures = models.PositiveIntegerField(default=0, editable=False)  # in a row
    failing_since = models.DateTimeField(null=True, editable=False)  # nothing has arrived since
    rests_until = models.DateTimeField(null=True, editable=False)  # it does not answer: nothing is tried before
    warned_at = models.DateTimeField(null=True, editable=False)  # the provider was told that it fails
    disabled_at = models.DateTimeField(null=True, editable=False)  # by us: it failed for too long
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["created_at"]

    def __str__(self) -> str:
        return self.url.partition("?")[0]  # what follows may hold a key of the receiver's

    def place(self, column: str) -> seal.Place:
        return seal.Place("providers_webhook", column, str(self.pk), str(self.provider_id))


class Event(models.Model):
    """Something that happened to a provider's customer, account, server or agent, as its webhooks tell it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    provider = models.ForeignKey(Provider, models.CASCADE, related_name="events")
    type = models.CharField(max_length=40)  # customer.created, account.verified …
    data = models.JSONField()
    at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        ordering = ["-at"]
        indexes = [
            models.Index(fields=["provider", "-at", "-id"], name="events_of_provider"),
            models.Index(fields=["at"], name="events_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.id}"


class Delivery(Job):
    """One event on its way to one webhook; tried again with back-off for 24 hours."""

    webhook = models.ForeignKey(Webhook, models.CASCADE, related_name="deliveries")
    event = models.ForeignKey(Event, models.CASCADE, related_name="deliveries")
    tries = models.JSONField(default=list, editable=False)  # [{at, sent, url, status, seconds, words}], the last ten

    class Meta(Job.Meta):
        ordering = ["-queued_at"]
        verbose_name_plural = "deliveries"
        indexes = [
            *Job.Meta.indexes,
            models.Index(fields=["webhook", "-queued_at", "-id"], name="deliveries_of_webhook"),
            models.Index(fields=["webhook", "due_at"], condition=models.Q(state__in=ACTIVE), name="deliveries_waiting"),
        ]

    def __str__(self) -> str:
        return f"{self.event} to {self.webhook}"
