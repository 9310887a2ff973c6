"""Versions of the agent program, and how far each has gone out."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models.functions import Now


class Release(models.Model):
    """One version: its bytes, its signed manifest, and the share of all agents that may have it."""

    class State(models.TextChoices):
        ROLLING = "rolling", "Going out"
        PAUSED = "paused", "Paused"
        OUT = "out", "With everybody"
        WITHDRAWN = "withdrawn", "Withdrawn"

        @property
        def tone(self) -> str:
            return {"rolling": "changing", "paused": "attention", "out": "running"}.get(self.value, "stopped")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    version = models.CharField(max_length=40, unique=True)
    sha256 = models.CharField(max_length=64, unique=True)
    program = models.BinaryField()
    manifest = models.TextField()
    signature = models.CharField(max_length=86)
    key_id = models.CharField(max_length=32)
    state = models.CharField(max_length=9, choices=State.choices, default=State.ROLLING)
    share = models.PositiveSmallIntegerField(default=1)  # percent of agents that are offered it
    reason = models.CharField(max_length=300, blank=True)  # why it is paused or withdrawn
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    widened_at = models.DateTimeField(db_default=Now())

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.version
