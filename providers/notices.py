"""Mail to a provider's developers: something of theirs needs them. Nothing of a customer's stands in it."""

from __future__ import annotations

from collections.abc import Sequence
from email.utils import parseaddr
from typing import Final

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string

from console.lib.jobs import ring
from providers.models import Mail, Provider

_TASK: Final = "mail.send"  # of providers.mail, which renders what is said here


def queue(provider: Provider, subject: str, lines: Sequence[str]) -> Mail | None:
    """Write to the provider's contact address; None when it has none. `lines` are paragraphs, without secrets."""
    if not provider.contact_email:
        return None
    mail = Mail(
        kind=Mail.Kind.NOTICE,
        to=provider.contact_email,
        provider=provider,
        params={"subject": subject, "lines": list(lines)},
    )
    mail.message_id = f"<{mail.pk}@{parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition('@')[2] or 'localhost'}>"
    mail.save()
    ring(_TASK, mail.pk)
    return mail


def compose(mail: Mail) -> EmailMultiAlternatives:
    """The whole message, text and HTML, from Muster itself."""
    context = {"title": mail.params["subject"], "lines": mail.params["lines"], "for": mail.provider}
    message = EmailMultiAlternatives(
        " ".join(str(mail.params["subject"]).split()),
        render_to_string("mail/notice.txt", context),
        settings.DEFAULT_FROM_EMAIL,
        [mail.to],
        headers={"Message-ID": mail.message_id, "Auto-Submitted": "auto-generated"},
    )
    message.attach_alternative(render_to_string("mail/notice.html", context), "text/html")
    return message
