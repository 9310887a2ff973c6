"""What providers' programs asked, and what a repeat of it is answered."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from providers.models.keys import ProviderKey
from providers.models.provider import Provider


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


class ApiCall(models.Model):
    """One call of the provider API, kept for 30 days: what a developer and staff look up by its request id."""

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField(db_default=Now(), editable=False)
    request_id = models.CharField(max_length=64)
    provider = models.ForeignKey(Provider, models.CASCADE, related_name="calls")
    key = models.ForeignKey(ProviderKey, models.SET_NULL, null=True, related_name="calls")
    key_name = models.CharField(max_length=40)  # as shown: `mst_live_…`, or the 2012 key
    method = models.CharField(max_length=8)
    path = models.CharField(max_length=500)  # without its query, which may hold anything
    status = models.PositiveSmallIntegerField()
    code = models.CharField(max_length=60, blank=True)  # of the error
    milliseconds = models.PositiveIntegerField()
    address = models.GenericIPAddressField(null=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["provider", "-id"], name="calls_of_provider"),
            models.Index(fields=["request_id"], name="calls_by_request"),
            models.Index(fields=["at"], name="calls_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.status}"
