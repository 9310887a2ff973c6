"""Mail to people: a row says what to send; a worker renders it with a fresh link and gives it to the mail server."""

from __future__ import annotations

import smtplib
from collections.abc import Sequence
from email.utils import parseaddr

from anymail.exceptions import AnymailError, AnymailRecipientsRefused
from django.conf import settings
from django.core.mail import EmailMultiAlternatives

from console.lib import copying
from console.lib.faults import Refused, Unreachable
from console.lib.jobs import ring
from console.models import User
from providers import kept, letters, notices
from providers.models import Brand, Customer, Mail, MailTemplate, Membership, Provider, ProviderMember

TASK = "mail.send"


def queue(customer: Customer, membership: Membership) -> Mail:
    """Write the mail's row and ring. Who came in, or whom this customer made, is welcomed; others are invited."""
    return _put(_first(customer, membership))


def queue_many(memberships: Sequence[Membership]) -> None:
    """The same for many that are new. The sweep rings for them within seconds."""
    copying.insert(_named(_first(one.customer, one)) for one in memberships)


def _first(customer: Customer, membership: Membership) -> Mail:
    known = membership.founding or membership.accepted_at is not None
    return Mail(
        kind=Mail.Kind.WELCOME if known else Mail.Kind.INVITATION,
        # In a sandbox nobody has the address that the person signs in by; what is kept says where a real one would go.
        to=customer.email if kept.holds(customer.provider) else membership.user.email,
        user=membership.user,
        customer=customer,
    )


def send(mail: Mail) -> str:
    """Render and hand over, or keep it when it is a sandbox's; the words are how it went.

    Raises Unreachable when trying again may help, and Refused with the mail server's own words when it will not.
    """
    message = compose(mail)
    if kept.holds(mail.provider or (mail.customer.provider if mail.customer else None)):
        return kept.keep(mail, message)
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
    except AnymailError as fault:
        raise _told(fault) from fault
    except (smtplib.SMTPException, OSError) as fault:
        raise Unreachable(f"The mail server does not answer: {fault}") from fault
    _keep(mail, message)
    return "The mail server took it." if settings.MAIL_FOLDER is None else "Kept as a file (no mail server is set)."


def compose(mail: Mail) -> EmailMultiAlternatives:
    """The whole message, text and HTML: a letter to a person, or a notice to a provider's developers."""
    if mail.kind == Mail.Kind.MEMBER:
        return notices.invite(mail)
    return notices.compose(mail) if mail.kind == Mail.Kind.NOTICE else letters.compose(mail)


def test(template: MailTemplate | None, to: User | str, provider: Provider, brand: Brand | None = None) -> Mail:
    """Send a draft, about a made-up customer, to who wrote it, or to an address of the provider's. `template` None: the
    welcome that is built in. `brand`: in the look of that revision; the live one when left out."""
    person = to if isinstance(to, User) else None
    address = to if isinstance(to, str) else to.email
    params = {"brand": str(brand.pk)} if brand else {}
    mail = _put(Mail(kind=Mail.Kind.TEST, to=address, user=person, provider=provider, template=template, params=params))
    mail.refresh_from_db()
    return mail


def invite(member: ProviderMember) -> Mail:
    """Ask a person to work on the provider's own pages. The worker makes the link."""
    return _put(Mail(kind=Mail.Kind.MEMBER, to=member.user.email, user=member.user, provider=member.provider))


def _keep(mail: Mail, message: EmailMultiAlternatives) -> None:
    """By which wording it went, and by which id a mail service will speak of it (anymail sets it)."""
    told = getattr(message, "anymail_status", None)
    service_id = told.message_id if told and isinstance(told.message_id, str) else ""
    if mail.template_id or service_id:
        Mail.objects.filter(pk=mail.pk).update(template=mail.template, service_id=service_id[:200])


def _put(mail: Mail) -> Mail:
    _named(mail).save()
    ring(TASK, mail.pk)
    return mail


def _named(mail: Mail) -> Mail:
    # One id for all attempts: a mail server or program that got it twice after a crash of ours can tell.
    mail.message_id = f"<{mail.pk}@{parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition('@')[2] or 'localhost'}>"
    return mail


def _judged(code: int, words: str) -> Unreachable | Refused:
    return (
        Refused(f"The mail server refused it: {words}")
        if 500 <= code < 600
        else Unreachable(f"The mail server put it off: {words}")
    )


def _told(fault: AnymailError) -> Unreachable | Refused:
    """A mail service's answer. What is wrong about the mail is final; a wrong key is ours to mend: it waits."""
    words = str(fault).partition("\n")[0]
    final = isinstance(fault, AnymailRecipientsRefused) or getattr(fault, "status_code", None) in (400, 422)
    return Refused(f"The mail service refused it: {words}") if final else Unreachable(f"The mail service: {words}")


def _said(fault: smtplib.SMTPResponseException) -> str:
    return f"{fault.smtp_code} {_text(fault.smtp_error)}"


def _text(words: bytes | str) -> str:
    return words.decode(errors="replace") if isinstance(words, bytes) else words
