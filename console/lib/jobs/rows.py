"""The row is the work (DESIGN.md, rule 5): what every kind of asynchronous work has in its row."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

from django.db import models
from django.db.models.functions import Now


class JobState(models.TextChoices):
    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    WAITING = "waiting", "Waiting"  # parked: nobody holds it until `due_at`
    DONE = "done", "Done"
    FAILED = "failed", "Failed"
    CANCELED = "canceled", "Canceled"
    EXPIRED = "expired", "Expired"
    INTERRUPTED = "interrupted", "Interrupted"

    @property
    def tone(self) -> str:
        """The colour family of the status component (static/tokens.css)."""
        return {
            "done": "running",
            "failed": "failed",
            "interrupted": "failed",
            "running": "changing",
            "queued": "changing",
            "waiting": "attention",
        }.get(self.value, "stopped")


ACTIVE = (JobState.QUEUED, JobState.RUNNING, JobState.WAITING)
ENDED = (JobState.DONE, JobState.FAILED, JobState.CANCELED, JobState.EXPIRED, JobState.INTERRUPTED)


class JobQuerySet(models.QuerySet[Any]):
    def active(self) -> JobQuerySet:
        return self.filter(state__in=ACTIVE)

    def startable(self) -> JobQuerySet:
        """Nobody holds it and its time has come, by the database's clock."""
        return self.filter(state__in=(JobState.QUEUED, JobState.WAITING), due_at__lte=Now())

    def abandoned(self) -> JobQuerySet:
        """Its worker stopped renewing the lease: killed, hung, or cut off."""
        return self.filter(state=JobState.RUNNING, leased_until__lt=Now())


class Job(models.Model):
    """A piece of work. Workers write to it through a `Lease` only, whose fence number they hold."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    state = models.CharField(max_length=12, choices=JobState.choices, default=JobState.QUEUED)
    fence = models.PositiveIntegerField(default=0, editable=False)
    worker = models.CharField(max_length=120, blank=True, editable=False)
    leased_until = models.DateTimeField(null=True, editable=False)
    attempts = models.PositiveSmallIntegerField(default=0, editable=False)
    queued_at = models.DateTimeField(db_default=Now(), editable=False)
    due_at = models.DateTimeField(db_default=Now())
    rung_at = models.DateTimeField(null=True, editable=False)
    started_at = models.DateTimeField(null=True, editable=False)
    ended_at = models.DateTimeField(null=True, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    outcome = models.TextField(blank=True)  # how it ended, or why it waits, in words

    changes_server: ClassVar[bool] = True  # the `server` of such a row, if it has one, is read often meanwhile

    objects = JobQuerySet.as_manager()

    class Meta:
        abstract = True
        indexes = [
            models.Index(fields=["due_at"], condition=models.Q(state__in=ACTIVE), name="%(app_label)s_%(class)s_due"),
        ]

    @property
    def status(self) -> JobState:
        return JobState(self.state)

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED
