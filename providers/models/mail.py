"""Mail to people, and how a provider words and colours what its customers see."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from console.lib.jobs.rows import Job
from providers.models.customer import Customer
from providers.models.provider import Provider


class Brand(models.Model):
    """How a provider looks in its customers' console and mails. Each save is a revision; one of them is live."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    provider = models.ForeignKey(Provider, models.CASCADE, related_name="brands")
    revision = models.PositiveIntegerField()
    name = models.CharField(max_length=120)  # as customers read it
    accent = models.CharField(max_length=7, blank=True)  # #rrggbb as it was chosen; shades are made to be readable
    logo = models.BinaryField(blank=True, default=b"")  # a PNG that we encoded ourselves
    support_url = models.URLField(blank=True)
    support_email = models.EmailField(max_length=254, blank=True)
    by = models.CharField(max_length=254, blank=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    published_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-revision"]
        constraints = [models.UniqueConstraint(fields=["provider", "revision"], name="brand_revision_once")]

    def __str__(self) -> str:
        return f"{self.name}, revision {self.revision}"


class MailTemplate(models.Model):
    """A provider's own wording of one kind of mail in one language. Each save is a revision; one of them is live."""

    class Kind(models.TextChoices):
        WELCOME = "welcome", "Welcome"
        INVITATION = "invitation", "Invitation"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    provider = models.ForeignKey(Provider, models.CASCADE, related_name="mail_templates")
    kind = models.CharField(max_length=12, choices=Kind.choices)
    locale = models.CharField(max_length=12, blank=True)  # empty: for every language without one of its own
    revision = models.PositiveIntegerField()
    sender_name = models.CharField(max_length=80, blank=True)
    reply_to = models.EmailField(max_length=254, blank=True)
    subject = models.CharField(max_length=200)
    greeting = models.CharField(max_length=200, blank=True)
    body = models.TextField()
    footer = models.TextField(blank=True)
    by = models.CharField(max_length=254, blank=True)  # who wrote it
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    published_at = models.DateTimeField(null=True, editable=False)  # the newest published one is live

    class Meta:
        ordering = ["kind", "locale", "-revision"]
        constraints = [
            models.UniqueConstraint(fields=["provider", "kind", "locale", "revision"], name="mail_revision_once")
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.locale or 'any language'}, revision {self.revision}"


class Mail(Job):
    """A mail to a person: rendered and sent by a worker, so that no link and no secret rests in the row.

    Delivery state is the job's state: queued, done (the mail server took it), failed (with the mail server's words).
    """

    class Kind(models.TextChoices):
        WELCOME = "welcome", "Welcome"
        INVITATION = "invitation", "Invitation"
        TEST = "test", "Test"  # of a draft, to who wrote it
        NOTICE = "notice", "Notice"  # to a provider: a webhook was turned off …
        MEMBER = "member", "Member"  # to a person who is to work on a provider's own pages

    kind = models.CharField(max_length=12, choices=Kind.choices)
    to = models.EmailField(max_length=254)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="mails", null=True)
    customer = models.ForeignKey(Customer, models.CASCADE, related_name="mails", null=True)
    provider = models.ForeignKey(Provider, models.CASCADE, related_name="mails", null=True)  # no customer: its own
    template = models.ForeignKey(MailTemplate, models.SET_NULL, null=True, related_name="mails")  # that was sent
    params = models.JSONField(default=dict, editable=False)  # of a test or a notice; no link, no secret
    message_id = models.CharField(max_length=200, blank=True, editable=False)
    service_id = models.CharField(max_length=200, blank=True, editable=False)  # by which a mail service reports it
    # What a mail service reports afterwards (anymail's webhooks), where one is used.
    delivered_at = models.DateTimeField(null=True, editable=False)
    bounced_at = models.DateTimeField(null=True, editable=False)
    report = models.TextField(blank=True, editable=False)  # the service's words

    class Meta(Job.Meta):
        ordering = ["-queued_at"]
        indexes = [
            *Job.Meta.indexes,
            models.Index(fields=["service_id"], name="mail_service_id", condition=~Q(service_id="")),
        ]

    def __str__(self) -> str:
        return f"{self.kind} to {self.to}"

    @property
    def delivery(self) -> str:
        """queued, sent, failed; delivered and bounced where a mail service told. The API and the admin say so."""
        if self.bounced_at is not None:
            return "bounced"
        if self.delivered_at is not None:
            return "delivered"
        return {"done": "sent", "queued": "queued", "running": "queued", "waiting": "queued"}.get(self.state, "failed")

    @property
    def tone(self) -> str:
        """The colour of `delivery`: what the mail server took may have bounced since."""
        return "failed" if self.delivery in ("bounced", "failed") else str(self.status.tone)
