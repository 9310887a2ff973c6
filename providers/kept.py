"""Mails of a sandbox: never sent to anybody, kept for the integrator to read, with the links that they hold."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.db.models import Q

from console.lib import seal
from console.lib.faults import Refused
from providers.models import Mail, Provider

LAST: Final = 50
OUTCOME: Final = "Kept: this is the sandbox."
REFUSING: Final = "refused.example"  # mail to addresses there fails, so that `mail.failed` can be tried


@dataclass(frozen=True)
class Letter:
    """A mail as its reader would have it. `link`: the console's address in it; empty: none."""

    to: str
    kind: str
    customer: str
    subject: str
    text: str
    link: str
    kept_at: datetime | None


def holds(provider: Provider | None) -> bool:
    """Whether mail of this provider is kept instead of sent."""
    return provider is not None and provider.sandbox_of_id is not None


def keep(mail: Mail, message: EmailMultiAlternatives) -> str:
    """Write the rendered mail down, sealed, since its link opens something. Refused for what is to fail."""
    if mail.to.lower().rpartition("@")[2] == REFUSING:
        raise Refused(f"The mail server refused it: 550 No such user here (the sandbox says so of all at {REFUSING}).")
    text = {"subject": str(message.subject), "text": str(message.body)}
    params = {**mail.params, "sealed": seal.close(text, _place(mail))}
    Mail.objects.filter(pk=mail.pk).update(params=params, template=mail.template)
    return OUTCOME


def letters(home: Provider) -> list[Letter]:
    """The last ones of a sandbox, the newest first."""
    rows = Mail.objects.filter(Q(provider=home) | Q(customer__provider=home), params__has_key="sealed")
    return [_opened(one) for one in rows.select_related("customer").order_by("-queued_at", "-id")[:LAST]]


def _opened(mail: Mail) -> Letter:
    told = seal.open_(mail.params["sealed"], _place(mail))
    found = re.search(re.escape(settings.PUBLIC_URL) + r"/[^\s>]+", told["text"])
    return Letter(
        to=mail.to,
        kind=mail.kind,
        customer=mail.customer.external_id if mail.customer else "",
        subject=told["subject"],
        text=told["text"],
        link=found.group() if found else "",
        kept_at=mail.ended_at,
    )


def _place(mail: Mail) -> seal.Place:
    return seal.Place("providers_mail", "params", str(mail.pk), str(mail.customer_id or mail.provider_id))
