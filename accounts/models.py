"""Cloud accounts of customers, and the history of reading them."""

from __future__ import annotations

import uuid
from typing import Any

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from console.lib import seal
from console.lib.jobs.rows import ACTIVE, Job
from providers.models import CloudEndpoint, Customer, Provider


class CloudAccountQuerySet(models.QuerySet[Any]):
    def present(self) -> CloudAccountQuerySet:
        return self.filter(removed_at__isnull=True)

    def readable(self) -> CloudAccountQuerySet:
        """Those that may be read: not removed, not suspended, not turned off, and with credentials."""
        return self.present().exclude(sealed="", pending_sealed="").filter(
            customer__status=Customer.Status.ACTIVE,
            endpoint__enabled=True,
            endpoint__provider__status=Provider.Status.ENABLED,
        )  # fmt: skip

    def of(self, customers: Any) -> CloudAccountQuerySet:
        """The accounts of these customers (see `CustomerQuerySet.open_to`)."""
        return self.present().filter(customer__in=customers)


class CloudAccount(models.Model):
    """A customer's account at an endpoint. Credentials are sealed; pushed ones wait in `pending_*` until they pass."""

    class Status(models.TextChoices):
        PENDING = "pending", "Pending"
        OK = "ok", "OK"
        BAD_CREDENTIALS = "bad_credentials", "Credentials refused"
        UNREACHABLE = "unreachable", "Unreachable"
        REFUSED = "refused", "Refused by the cloud"
        ERROR = "error", "Answered rubbish"

        @property
        def tone(self) -> str:
            return {"ok": "running", "pending": "changing", "unreachable": "attention"}.get(self.value, "failed")

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    customer = models.ForeignKey(Customer, models.CASCADE, related_name="accounts")
    endpoint = models.ForeignKey(CloudEndpoint, models.PROTECT, related_name="accounts")
    external_id = models.CharField(max_length=120)  # `account_id` of the provider API
    name = models.CharField(max_length=200)
    sealed = models.TextField(blank=True, editable=False)
    credentials_version = models.BigIntegerField(default=0, editable=False)  # of `sealed`; 0: none passed yet
    pending_sealed = models.TextField(blank=True, editable=False)
    pending_version = models.BigIntegerField(default=0, editable=False)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PENDING)
    status_reason = models.TextField(blank=True)
    status_at = models.DateTimeField(null=True, editable=False)
    version_found = models.CharField(max_length=60, blank=True, editable=False)
    generation = models.CharField(max_length=20, blank=True, editable=False)  # key of its driver's capability table
    verified_at = models.DateTimeField(null=True, editable=False)
    last_sync_at = models.DateTimeField(null=True, editable=False)  # of the last reading that brought all up to date
    swept_at = models.DateTimeField(null=True, editable=False)  # of the last complete listing
    changes_from = models.DateTimeField(null=True, editable=False)  # when the last good reading began; null: in doubt
    vouched_at = models.DateTimeField(null=True, editable=False)  # staff: what went missing until then was deleted
    next_sync_at = models.DateTimeField(db_default=Now(), editable=False)
    failures = models.PositiveIntegerField(default=0, editable=False)  # in a row
    server_count = models.PositiveIntegerField(default=0, editable=False)
    unread_count = models.PositiveIntegerField(default=0, db_default=0, editable=False)  # left out of the last listing
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    removed_at = models.DateTimeField(null=True, editable=False)

    objects = CloudAccountQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(
                fields=["customer", "external_id"],
                name="account_once",
                violation_error_message="This customer already has an account of that id.",
            )
        ]
        indexes = [models.Index(fields=["next_sync_at"], name="account_due", condition=Q(removed_at__isnull=True))]

    def __str__(self) -> str:
        return self.name

    @property
    def speaks(self) -> str:
        """Its platform and the version that was found there, in words. Some versions name their platform themselves."""
        platform, found = self.endpoint.get_platform_display(), self.version_found
        return found if found.startswith(platform) else f"{platform} {found}".rstrip()

    def _place(self, column: str) -> seal.Place:
        return seal.Place("accounts_cloudaccount", column, str(self.pk), str(self.customer_id))

    def close_pending(self, credentials: dict[str, str], version: int) -> None:
        """Seal freshly pushed credentials into the pending columns (not saved)."""
        self.pending_sealed = seal.close(credentials, self._place("pending_sealed"))
        self.pending_version = version

    def promote_pending(self) -> None:
        """The pending credentials passed: they are the live ones now (not saved)."""
        self.sealed = seal.close(self.pending_credentials(), self._place("sealed"))
        self.credentials_version, self.pending_sealed, self.pending_version = self.pending_version, "", 0

    def credentials(self) -> dict[str, str]:
        """The live credentials, opened. Empty when none have passed yet."""
        return seal.open_(self.sealed, self._place("sealed")) if self.sealed else {}

    def pending_credentials(self) -> dict[str, str]:
        return seal.open_(self.pending_sealed, self._place("pending_sealed")) if self.pending_sealed else {}


class SyncRun(Job):
    """One reading of one account: sign in (with pending credentials first), list, write. One active run an account."""

    class Trigger(models.TextChoices):
        SCHEDULE = "schedule", "Schedule"
        PUSH = "push", "New credentials"
        PERSON = "person", "Asked for"
        COMMAND = "command", "Command"

    class Mode(models.TextChoices):
        FULL = "full", "Whole listing"
        CHANGES = "changes", "Changes only"

    account = models.ForeignKey(CloudAccount, models.CASCADE, related_name="sync_runs")
    mode = models.CharField(max_length=8, choices=Mode.choices, default=Mode.FULL)
    trigger = models.CharField(max_length=10, choices=Trigger.choices, default=Trigger.SCHEDULE)
    credentials_version = models.BigIntegerField(default=0)
    seen = models.PositiveIntegerField(default=0)
    added = models.PositiveIntegerField(default=0)
    changed = models.PositiveIntegerField(default=0)
    missing = models.PositiveIntegerField(default=0)
    gone = models.PositiveIntegerField(default=0)
    calls = models.PositiveIntegerField(default=0)
    seconds = models.FloatField(null=True)

    class Meta(Job.Meta):
        ordering = ["-queued_at"]
        constraints = [
            models.UniqueConstraint(fields=["account"], name="one_active_sync", condition=Q(state__in=ACTIVE))
        ]
        indexes = [*Job.Meta.indexes, models.Index(fields=["account", "-queued_at"], name="sync_history")]

    def __str__(self) -> str:
        return f"Sync of {self.account}"


class CredentialPush(models.Model):
    """History of pushed credentials: who, when, which version, and what became of it. Never the secret."""

    class Outcome(models.TextChoices):
        PENDING = "pending", "Not verified yet"
        PASSED = "passed", "Passed"
        REFUSED = "refused", "Refused"
        REPLACED = "replaced", "Replaced by a newer one"
        FAILED = "failed", "Not verified: the cloud said no, or answered rubbish"  # it is tried again

    id = models.BigAutoField(primary_key=True)
    account = models.ForeignKey(CloudAccount, models.CASCADE, related_name="pushes")
    version = models.BigIntegerField()
    actor_name = models.CharField(max_length=254)
    at = models.DateTimeField(db_default=Now(), editable=False)
    outcome = models.CharField(max_length=10, choices=Outcome.choices, default=Outcome.PENDING)
    reason = models.TextField(blank=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-at"]

    def __str__(self) -> str:
        return f"version {self.version} of {self.account}"


class Import(Job):
    """Many customers and accounts sent in one call: a line each, worked in slices, resumable."""

    class Form(models.TextChoices):
        JSON = "json", "JSON"
        CSV = "csv", "CSV"

    provider = models.ForeignKey(Provider, models.CASCADE, related_name="imports")
    form = models.CharField(max_length=4, choices=Form.choices)
    actor_kind = models.CharField(max_length=10)
    actor_id = models.CharField(max_length=64)
    actor_name = models.CharField(max_length=254)
    total = models.PositiveIntegerField(default=0)
    send_mail = models.BooleanField(default=True)

    class Meta(Job.Meta):
        ordering = ["-queued_at"]
        indexes = [*Job.Meta.indexes, models.Index(fields=["provider", "-queued_at"], name="imports_of_provider")]

    def __str__(self) -> str:
        return f"Import of {self.total} lines"


class ImportLine(models.Model):
    """One customer of an import, with its accounts; what became of it. Credentials are sealed until it was taken."""

    class Outcome(models.TextChoices):
        WAITING = "waiting", "Waiting"
        CREATED = "created", "Created"
        UPDATED = "updated", "Updated"
        UNCHANGED = "unchanged", "Unchanged"
        REFUSED = "refused", "Refused"

    id = models.BigAutoField(primary_key=True)
    batch = models.ForeignKey(Import, models.CASCADE, related_name="lines")
    number = models.PositiveIntegerField()  # from 1, as in what was sent
    external_id = models.CharField(max_length=120, blank=True)
    fields = models.JSONField(default=dict)  # without credentials
    sealed = models.TextField(blank=True, editable=False)
    outcome = models.CharField(max_length=10, choices=Outcome.choices, default=Outcome.WAITING)
    errors = models.JSONField(default=dict)  # field → what is wrong, when it was refused

    class Meta:
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["batch", "number"], name="import_line_once")]
        indexes = [
            models.Index(fields=["batch", "number"], name="import_waiting", condition=Q(outcome="waiting")),
        ]

    def __str__(self) -> str:
        return f"line {self.number}: {self.external_id}"
