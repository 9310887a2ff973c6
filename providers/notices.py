"""Mail to who works at a provider: something needs them, or they are invited. Nothing of a customer's is in it."""

from __future__ import annotations

from collections.abc import Sequence
from email.utils import parseaddr
from typing import Any, Final

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string

from console.lib.jobs import ring
from providers import links
from providers.models import Mail, Provider, ProviderMember

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
    return _message(mail, "notice", context)


def invite(mail: Mail) -> EmailMultiAlternatives:
    """The invitation to a provider's own pages, with a link to a first password, or to where the person says yes."""
    member = ProviderMember.objects.filter(provider=mail.provider, user=mail.user).select_related("user").first()
    password = links.first_member_password(member) if member else None
    door = password or (links.join(member) if member else (f"{settings.PUBLIC_URL}/provider/", None))
    context = {
        "title": f"{mail.provider} invites you to its pages at Muster",
        "for": mail.provider,
        "role": member.get_role_display().lower() if member else "",
        "url": door[0],
        "expires_at": door[1],
        "sets_password": password is not None,
    }
    return _message(mail, "member", context)


def _message(mail: Mail, name: str, context: dict[str, Any]) -> EmailMultiAlternatives:
    message = EmailMultiAlternatives(
        " ".join(str(context["title"]).split()),
        render_to_string(f"mail/{name}.txt", context),
        settings.DEFAULT_FROM_EMAIL,
        [mail.to],
        headers={"Message-ID": mail.message_id, "Auto-Submitted": "auto-generated"},
    )
    message.attach_alternative(render_to_string(f"mail/{name}.html", context), "text/html")
    return message
