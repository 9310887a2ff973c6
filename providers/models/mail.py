"""Mail to people, and how a provider words and colours what its customers see."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from console.lib.jobs.rows import Job, JobState
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
    button = models.CharField(max_length=60, blank=True)
    note = models.CharField(max_length=500, blank=True)
    by = models.CharField(max_length=254, blank=True)  # who wrote it
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    published_at = models.DateTimeField(null=True, editable=False)  # the newest published one is live

    class Meta:
        ordering = ["kind", "locale", "-revision"]
        constraints = [
            models.UniqueConstraint(fields=["provider", "kind", "locale", "revision"], name="mail_revision_once")
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.locale or 'any language'}, revision {self.revision}"


_NOT_TOLD = "It did not reach the person, who uses another address than your contact address for them."


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
    def to_contact(self) -> bool:
        """It went to the address that the provider gave itself, and not to another one of the person's own."""
        return self.customer is None or self.to.lower() == self.customer.email.lower()

    @property
    def told(self) -> str:
        """How it went, for the provider: in the mail server's own words, unless they may hold an address, or the name
        of a host, that are the person's own and none of the provider's business."""
        words = self.report or self.outcome
        if self.to_contact or not words or self.delivery in ("sent", "delivered") or self.state == JobState.CANCELED:
            return words
        return _NOT_TOLD if self.delivery in ("bounced", "failed") else "It was put off, and is tried again."

    @property
    def tone(self) -> str:
        """The colour of `delivery`: what the mail server took may have bounced since."""
        return "failed" if self.delivery in ("bounced", "failed") else str(self.status.tone)
