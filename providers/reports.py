"""What a mail service tells of a mail after it took it: delivered, bounced, complained about (django-anymail)."""

from __future__ import annotations

from typing import Any, Final

from anymail.signals import tracking
from django.db import transaction
from django.dispatch import receiver
from django.utils import timezone

from providers import events
from providers.models import Mail

_BAD: Final = {
    "bounced": "It bounced",
    "rejected": "The mail service rejected it",
    "failed": "The mail service could not send it",
    "complained": "The recipient called it spam",
}


@receiver(tracking)
def take(event: Any, **_: Any) -> None:
    """Write what the event says to its mail. One that we do not know (another program's, or erased) is no matter."""
    if not event.message_id or (event.event_type != "delivered" and event.event_type not in _BAD):
        return
    at = event.timestamp or timezone.now()
    mails = Mail.objects.filter(service_id=event.message_id)
    if event.event_type == "delivered":
        mails.filter(delivered_at__isnull=True).update(delivered_at=at)
        return
    words = " ".join(str(event.description or event.mta_response or event.reject_reason or "").split())
    said = f"{_BAD[event.event_type]}: {words}" if words else f"{_BAD[event.event_type]}."
    with transaction.atomic():
        fresh = mails.select_for_update(of=("self",)).filter(bounced_at__isnull=True).select_related("customer")
        for mail in fresh:
            Mail.objects.filter(pk=mail.pk).update(bounced_at=at, report=said[:2000])
            mail.bounced_at, mail.report = at, said[:2000]
            tell_failed(mail)


def tell_failed(mail: Mail) -> None:
    """An event for the provider, for a mail to a customer's person. Which address the person uses, where it is another
    than the provider's own, it does not say; nor which kind of mail: an invitation goes to who was known before."""
    if mail.customer is not None:
        to = {"to": mail.to} if mail.to_contact else {}
        events.fire_for(mail.customer, "mail.failed", **to, reason=mail.told)
