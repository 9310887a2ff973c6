"""Mail to people: a row says what to send; a worker renders it with a fresh link and gives it to the mail server."""

from __future__ import annotations

import smtplib
from email.utils import parseaddr

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string

from console.lib.faults import Refused, Unreachable
from console.lib.jobs import ring
from providers import links, notices
from providers.models import Customer, Mail, Membership

TASK = "mail.send"
SUBJECTS = {
    Mail.Kind.WELCOME: "Your servers at {host} are waiting for you",
    Mail.Kind.INVITATION: "{host} invites you to see your servers",
}


def queue(customer: Customer, membership: Membership) -> Mail:
    """Write the mail's row and ring. Who came in, or whom this customer made, is welcomed; others are invited."""
    known = membership.founding or membership.accepted_at is not None
    mail = Mail(
        kind=Mail.Kind.WELCOME if known else Mail.Kind.INVITATION,
        to=membership.user.email,
        user=membership.user,
        customer=customer,
    )
    # One id for all attempts: a mail server or program that got it twice after a crash of ours can tell.
    mail.message_id = f"<{mail.pk}@{parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition('@')[2] or 'localhost'}>"
    mail.save()
    ring(TASK, mail.pk)
    return mail


def send(mail: Mail) -> str:
    """Render and hand over; the words are how it went.

    Raises Unreachable when trying again may help, and Refused with the mail server's own words when it will not.
    """
    message = compose(mail)
    try:
        message.send()
    except smtplib.SMTPAuthenticationError as fault:  # ours to mend, so the mail waits
        raise Unreachable(f"The mail server refused our sign-in: {_said(fault)}") from fault
    except smtplib.SMTPResponseException as fault:
        raise _judged(fault.smtp_code, _said(fault)) from fault
    except smtplib.SMTPRecipientsRefused as fault:
        code, words = next(iter(fault.recipients.values()))
        raise _judged(code, f"{code} {_text(words)}") from fault
    except (smtplib.SMTPNotSupportedError, UnicodeEncodeError) as fault:
        raise Refused(f"The mail server cannot take this address: {fault}") from fault
    except (smtplib.SMTPException, OSError) as fault:
        raise Unreachable(f"The mail server does not answer: {fault}") from fault
    return "The mail server took it." if settings.MAIL_FOLDER is None else "Kept as a file (no mail server is set)."


def compose(mail: Mail) -> EmailMultiAlternatives:
    """The whole message, text and HTML, with a link of its own that nobody has seen before."""
    if mail.kind == Mail.Kind.NOTICE:
        return notices.compose(mail)
    customer, provider = mail.customer, mail.customer.provider if mail.customer else None
    host = provider.name if provider else "Muster"
    context = {
        "person": mail.user,
        "customer": customer,
        "provider": provider,
        "host": host,
        "kind": mail.kind,
        **_door(mail),
    }
    subject = " ".join(SUBJECTS[Mail.Kind(mail.kind)].format(host=host).split())
    message = EmailMultiAlternatives(
        subject,
        render_to_string(f"mail/{mail.kind}.txt", context),
        settings.DEFAULT_FROM_EMAIL,
        [mail.to],
        headers={"Message-ID": mail.message_id, "Auto-Submitted": "auto-generated"},
    )
    message.attach_alternative(render_to_string(f"mail/{mail.kind}.html", context), "text/html")
    return message


def _door(mail: Mail) -> dict[str, object]:
    """Where the mail leads: to a first password where it may set one, else to a sign-in of the person's own."""
    if mail.kind == Mail.Kind.INVITATION:
        return {"url": f"{settings.PUBLIC_URL}/invitations/", "expires_at": None, "sets_password": False}
    link = links.first_password(mail.user, mail.customer) if mail.user and mail.customer else None
    if link is None:
        inside = f"{settings.PUBLIC_URL}{settings.LOGIN_REDIRECT_URL}"
        return {"url": inside, "expires_at": None, "sets_password": False}
    return {"url": link[0], "expires_at": link[1], "sets_password": True}


def _judged(code: int, words: str) -> Unreachable | Refused:
    return (
        Refused(f"The mail server refused it: {words}")
        if 500 <= code < 600
        else Unreachable(f"The mail server put it off: {words}")
    )


def _said(fault: smtplib.SMTPResponseException) -> str:
    return f"{fault.smtp_code} {_text(fault.smtp_error)}"


def _text(words: bytes | str) -> str:
    return words.decode(errors="replace") if isinstance(words, bytes) else words
