"""What the job core tells: a mail that could not be delivered is an event for its provider."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.dispatch import receiver

from console.lib.jobs.rows import JobState
from console.lib.jobs.signals import ended
from providers import reports
from providers.models import Mail


@receiver(ended, sender=Mail)
def tell_of_failed_mail(pk: UUID, **_: Any) -> None:
    """Only mails to customers' people; one that was canceled did not fail."""
    failed = Mail.objects.filter(pk=pk, state__in=(JobState.FAILED, JobState.EXPIRED, JobState.INTERRUPTED))
    mail = failed.select_related("customer").first()
    if mail is not None and mail.customer is not None:
        reports.tell_failed(mail)
