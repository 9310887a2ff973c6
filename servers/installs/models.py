"""Installs of the agent over SSH: a batch with its credentials for a while, and one row of work for each server."""

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
from servers.models import Server


class InstallBatchQuerySet(models.QuerySet[Any]):
    def of(self, customers: Any) -> InstallBatchQuerySet:
        return self.filter(customer__in=customers)


class InstallBatch(models.Model):
    """What a person asked for, and how. Its SSH credentials are sealed here until it ends (≤ 60 min)."""

    class Method(models.TextChoices):
        KEY = "key", "SSH key"
        PASSWORD = "password", "Password"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    customer = models.ForeignKey(Customer, models.CASCADE, related_name="install_batches")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, related_name="+")
    ssh_user = models.CharField("SSH user", max_length=64)
    method = models.CharField(max_length=8, choices=Method.choices, default=Method.KEY)
    port = models.PositiveIntegerField(default=22)
    use_sudo = models.BooleanField(default=True)
    trust_new_host_keys = models.BooleanField(default=False)
    jump_host = models.CharField(max_length=255, blank=True)  # name or address; empty: the servers are dialled directly
    jump_port = models.PositiveIntegerField(default=22)
    jump_user = models.CharField(max_length=64, blank=True)
    jump_key_type = models.CharField(max_length=40, blank=True)  # of a jump host's key that waits to be confirmed
    jump_key = models.TextField(blank=True)  # base64, as in known_hosts
    jump_fingerprint = models.CharField(max_length=80, blank=True)
    held = models.BooleanField(default=False)  # look who can be reached, and wait for a person before anything more
    sealed = models.TextField(blank=True, editable=False)
    sealed_until = models.DateTimeField(null=True, editable=False)
    request_key = models.CharField(max_length=255, blank=True, editable=False)  # of a program that may ask twice
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    ended_at = models.DateTimeField(null=True, editable=False)

    objects = InstallBatchQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        verbose_name_plural = "install batches"
        constraints = [
            models.UniqueConstraint(
                fields=["customer", "request_key"], condition=~Q(request_key=""), name="install_request_once"
            ),
            models.CheckConstraint(
                name="install_port_range",
                condition=Q(port__gte=1) & Q(port__lte=65535),
                violation_error_message="A port is a number from 1 to 65535.",
            ),
            models.CheckConstraint(
                name="install_jump_port_range",
                condition=Q(jump_port__gte=1) & Q(jump_port__lte=65535),
                violation_error_message="A port is a number from 1 to 65535.",
            ),
        ]

    def __str__(self) -> str:
        return f"Install of {self.created_at:%Y-%m-%d %H:%M}"

    def _place(self) -> seal.Place:
        return seal.Place("installs_installbatch", "sealed", str(self.pk), str(self.customer_id))

    def close_credentials(self, values: dict[str, str]) -> None:
        """Seal `private_key`, `passphrase`, `password`, `sudo_password`, and for a jump host that has its own
        `jump_private_key`, `jump_passphrase`, `jump_password` (those that are given; not saved)."""
        self.sealed = seal.close(values, self._place())

    def credentials(self) -> dict[str, str]:
        """What was sealed; empty when it is gone."""
        return seal.open_(self.sealed, self._place()) if self.sealed else {}


class Install(Job):
    """The agent onto one server. Success is the agent's first heartbeat, not an exit code."""

    class Stage(models.TextChoices):
        CONNECT = "connect", "Connect"
        VERIFY_HOST = "verify_host", "Verify host key"
        SIGN_IN = "sign_in", "Sign in"
        PROBE = "probe", "Look around"
        UPLOAD = "upload", "Upload"
        INSTALL = "install", "Install"
        FIRST_HEARTBEAT = "first_heartbeat", "First heartbeat"

    batch = models.ForeignKey(InstallBatch, models.CASCADE, related_name="installs")
    server = models.ForeignKey(Server, models.CASCADE, related_name="installs")
    address = models.CharField(max_length=255, blank=True)
    stage = models.CharField(max_length=16, choices=Stage.choices, default=Stage.CONNECT)
    stages = models.JSONField(default=list)  # [{stage, started_at (ISO), seconds, ok}], the live one last
    cause = models.TextField(blank=True)  # of a failure, in words
    fix = models.TextField(blank=True)  # what to do about it
    host_key_type = models.CharField(max_length=40, blank=True)  # of a key that waits to be confirmed
    host_key = models.TextField(blank=True)  # base64, as in known_hosts
    fingerprint = models.CharField(max_length=80, blank=True)  # SHA256:…
    detached_at = models.DateTimeField(null=True, editable=False)  # since then the installer goes on by itself
    attached = models.BooleanField(default=False, editable=False)  # this host ends what a session leaves behind

    class Meta(Job.Meta):
        ordering = ["server__name", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["server"],
                name="one_active_install",
                condition=Q(state__in=ACTIVE),
                violation_error_message="An install is already under way on this server.",
            )
        ]

    def __str__(self) -> str:
        return f"Install on {self.server}"


class HostKey(models.Model):
    """A host key of a server (not of an address), proven by the cloud's console, or confirmed by a person."""

    class Source(models.TextChoices):
        CONSOLE = "console", "Matched the cloud's console"
        PERSON = "person", "Confirmed by a person"

    id = models.BigAutoField(primary_key=True)
    server = models.ForeignKey(Server, models.CASCADE, related_name="host_keys")
    key_type = models.CharField(max_length=40)
    key = models.TextField()  # base64
    fingerprint = models.CharField(max_length=80)
    source = models.CharField(max_length=8, choices=Source.choices)
    confirmed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True)
    confirmed_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["server", "key_type"], name="host_key_once")]

    def __str__(self) -> str:
        return f"{self.key_type} {self.fingerprint}"


class JumpHostKey(models.Model):
    """The host key of a customer's jump host, which has no row of its own: known by the name that was typed."""

    id = models.BigAutoField(primary_key=True)
    customer = models.ForeignKey(Customer, models.CASCADE, related_name="+")
    host = models.CharField(max_length=255)
    port = models.PositiveIntegerField()
    key_type = models.CharField(max_length=40)
    key = models.TextField()  # base64
    fingerprint = models.CharField(max_length=80)
    confirmed_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True)
    confirmed_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["customer", "host", "port", "key_type"], name="jump_host_key_once")
        ]

    def __str__(self) -> str:
        return f"{self.host} {self.key_type} {self.fingerprint}"
