"""Work for agents: signed, delivered until answered, run at most once (SECURITY.md §2)."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from providers.models import Customer
from servers.agents.models.agent import Agent
from servers.models import Server


class Work(models.Model):
    """A script for one agent. The row is the delivery: it is given at each check-in until the agent tells of it."""

    class State(models.TextChoices):
        QUEUED = "queued", "Waits for the agent"
        STARTED = "started", "Running"
        DONE = "done", "Done"
        FAILED = "failed", "Failed"
        INTERRUPTED = "interrupted", "Interrupted"
        REFUSED = "refused", "Refused by the agent"
        EXPIRED = "expired", "Expired"
        CANCELED = "canceled", "Canceled"

        @property
        def tone(self) -> str:
            return {"done": "running", "queued": "changing", "started": "changing"}.get(
                self.value, "stopped" if self.value in ("canceled", "expired") else "failed"
            )

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    agent = models.ForeignKey(Agent, models.CASCADE, related_name="work")
    server = models.ForeignKey(Server, models.CASCADE, related_name="work")
    customer = models.ForeignKey(Customer, models.CASCADE, related_name="+")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    kind = models.CharField(max_length=20, default="script")
    sequence = models.BigIntegerField(editable=False)
    script = models.TextField(editable=False)
    envelope = models.TextField(editable=False)  # the exact text that is signed
    signature = models.CharField(max_length=86, editable=False)
    key_id = models.CharField(max_length=32, editable=False)
    state = models.CharField(max_length=11, choices=State.choices, default=State.QUEUED)
    exit_code = models.IntegerField(null=True)
    reason = models.CharField(max_length=300, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    delivered_at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField()

    class Meta:
        ordering = ["-created_at"]
        constraints = [models.UniqueConstraint(fields=["agent", "sequence"], name="work_in_order")]
        indexes = [
            models.Index(fields=["agent", "sequence"], name="work_open", condition=Q(state__in=("queued", "started"))),
            models.Index(fields=["expires_at"], name="work_by_expiry", condition=Q(state__in=("queued", "started"))),
        ]

    def __str__(self) -> str:
        return f"{self.kind} on {self.server}"


class WorkOutput(models.Model):
    """A piece of what the work wrote, by its place in the stream: the same piece twice is one row."""

    class Stream(models.IntegerChoices):
        OUT = 1, "Output"
        ERR = 2, "Errors"

    id = models.BigAutoField(primary_key=True)
    work = models.ForeignKey(Work, models.CASCADE, related_name="output")
    stream = models.PositiveSmallIntegerField(choices=Stream.choices)
    offset = models.BigIntegerField()  # bytes
    data = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["work", "stream", "offset"], name="output_once")]

    def __str__(self) -> str:
        return f"{self.get_stream_display()} from {self.offset}"
