"""Actions on servers: what somebody asked for, and one row of work for each server."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from console.lib import seal
from console.lib.jobs.rows import ACTIVE, Job
from providers.models import Customer
from servers.actions.kinds import EVERY, Kind
from servers.models import Server


class ActionBatchQuerySet(models.QuerySet[Any]):
    def of(self, customers: Any) -> ActionBatchQuerySet:
        return self.filter(customer__in=customers)


class ActionBatch(models.Model):
    """What was asked for, of whom: its rows are the targets, frozen when it was asked."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    customer = models.ForeignKey(Customer, models.CASCADE, related_name="action_batches")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    kind = models.CharField(max_length=20, choices=[(kind.name, kind.label) for kind in EVERY.values()])
    params = models.JSONField(default=dict)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    ended_at = models.DateTimeField(null=True, editable=False)
    request_key = models.CharField(max_length=255, blank=True, editable=False)  # of a program that may ask twice
    request_digest = models.CharField(max_length=64, blank=True, editable=False)  # SHA-256 of its call and body

    objects = ActionBatchQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        verbose_name_plural = "action batches"
        constraints = [
            models.UniqueConstraint(
                fields=["customer", "request_key"], condition=~Q(request_key=""), name="action_request_once"
            )
        ]
        indexes = [
            models.Index(fields=["customer"], name="actions_under_way", condition=Q(ended_at__isnull=True)),
        ]

    def __str__(self) -> str:
        return f"{self.does.label} of {self.created_at:%Y-%m-%d %H:%M}"

    @property
    def does(self) -> Kind:
        return EVERY[self.kind]


class Action(Job):
    """One deed on one server. `called_at` is written before the cloud is called, `task_ref` when it has answered:
    a row with the first and without the second was cut off in between, and the cloud may have done it.

    A server that is being created is None until its cloud has told its id. Its user data waits in `order_sealed` until
    the row ends; its first password in `password_sealed`, until it is told or its time is over (passwords.py).
    """

    batch = models.ForeignKey(ActionBatch, models.CASCADE, related_name="actions")
    customer = models.ForeignKey(Customer, models.CASCADE, related_name="actions")
    account = models.ForeignKey("accounts.CloudAccount", models.CASCADE, related_name="actions")
    server = models.ForeignKey(Server, models.SET_NULL, null=True, related_name="actions")
    name = models.CharField(max_length=255)  # the server's, when it was asked
    kind = models.CharField(max_length=20, choices=[(kind.name, kind.label) for kind in EVERY.values()])
    params = models.JSONField(default=dict)
    called_at = models.DateTimeField(null=True, editable=False)
    task_ref = models.TextField(blank=True, editable=False)
    phase = models.CharField(max_length=255, blank=True)  # the cloud's own words for where it is
    percent = models.PositiveSmallIntegerField(null=True)
    polls = models.PositiveIntegerField(default=0, editable=False)
    order_sealed = models.TextField(blank=True, editable=False)
    password_sealed = models.TextField(blank=True, editable=False)
    password_until = models.DateTimeField(null=True, editable=False)  # set: the cloud gave one
    password_told_at = models.DateTimeField(null=True, editable=False)

    class Meta(Job.Meta):
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["server"],
                name="one_active_action",
                condition=Q(state__in=ACTIVE),
                violation_error_message="Another action is under way on this server. Wait until it has ended.",
            )
        ]
        indexes = [
            *Job.Meta.indexes,
            models.Index(fields=["server", "-queued_at"], name="action_history"),
            models.Index(fields=["-queued_at"], name="action_newest"),
            models.Index(fields=["password_until"], name="action_passwords", condition=~Q(password_sealed="")),
        ]

    def __str__(self) -> str:
        return f"{self.does.label} {self.name}"

    @property
    def does(self) -> Kind:
        return EVERY[self.kind]

    def place(self, column: str) -> seal.Place:
        """Where `order_sealed` or `password_sealed` stands."""
        return seal.Place("actions_action", column, str(self.pk), str(self.customer_id))
