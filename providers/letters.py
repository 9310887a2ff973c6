"""Letters to people, in the provider's words and look: the message behind a mail's row, and the preview of a draft."""

from __future__ import annotations

from dataclasses import dataclass, replace
from email.headerregistry import Address
from email.utils import parseaddr
from typing import Any, Final

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string

from providers import branding, links, wording
from providers.branding import Look
from providers.models import Brand, Customer, Mail, Membership, Provider
from providers.wording import Wording

MUSTER: Final = "Muster"


@dataclass(frozen=True)
class Letter:
    """What a person reads."""

    subject: str
    text: str
    html: str
    sender: str
    reply_to: str


def compose(mail: Mail) -> EmailMultiAlternatives:
    """The whole message, text and HTML, with a link of its own that nobody has seen before."""
    customer = mail.customer
    provider = mail.provider or (customer.provider if customer else None)
    if mail.kind == Mail.Kind.TEST:
        kind = mail.template.kind if mail.template else str(mail.params.get("kind", wording.Kind.WELCOME))
        brand = Brand.objects.filter(pk=mail.params.get("brand"), provider=provider).defer("logo").first()
        look = branding.look_of(brand) if brand else None
        letter = preview(provider, kind, wording.of(mail.template, kind), look)
        letter = replace(letter, subject=f"[Test] {letter.subject}")
    else:
        template = wording.live(provider, mail.kind, customer.locale if customer else "")
        mail.template = template  # which revision it was is written with how it went
        person = mail.user
        values = {
            "first_name": person.first_name if person else "",
            "last_name": person.last_name if person else "",
            "organization": str(customer or ""),
        }
        look = branding.live(provider)
        lang = template.locale if template else ""
        letter = _letter(wording.of(template, mail.kind), values, look, mail.kind, _door(mail), lang)
    message = EmailMultiAlternatives(
        letter.subject,
        letter.text,
        letter.sender,
        [mail.to],
        reply_to=[letter.reply_to] if letter.reply_to else None,
        headers={"Message-ID": mail.message_id, "Auto-Submitted": "auto-generated"},
    )
    message.attach_alternative(letter.html, "text/html")
    return message


def preview(provider: Provider | None, kind: str, texts: Wording, look: Look | None = None) -> Letter:
    """The letter to a made-up person. `look`: that of a draft; the live one when left out. No link in it opens."""
    example = f"{settings.PUBLIC_URL}/welcome/example/"
    door: dict[str, Any] = {"url": example, "sets_password": kind == wording.Kind.WELCOME, "expires_at": None}
    return _letter(texts, wording.SAMPLE, look or branding.live(provider), kind, door)


def _letter(
    texts: Wording, about: dict[str, str], look: Look | None, kind: str, door: dict[str, Any], lang: str = ""
) -> Letter:
    values = {
        **about,
        "provider": look.name if look else MUSTER,
        "support_url": look.support_url if look else "",
        "support_email": look.support_email if look else "",
        "valid_until": f"{door['expires_at']:%Y-%m-%d %H:%M} UTC" if door["expires_at"] else "",
    }
    fits = door["sets_password"] or kind == wording.Kind.INVITATION
    context = {
        "kind": kind,
        "look": look,
        "lang": lang,
        "logo": f"{settings.PUBLIC_URL}{look.logo}" if look and look.logo else "",
        "organization": values["organization"],
        "greeting": wording.fill(texts.greeting, values),
        "body": wording.fill(texts.body, values),
        "footer": wording.fill(texts.footer, values),
        # A welcome to somebody who has a password leads elsewhere than the provider's words for the button say.
        "button": wording.fill(texts.button if fits else "", values),
        "worded": bool(texts.button or texts.note),
        "note": wording.fill(texts.note, values),
        **door,
    }
    subject = " ".join(wording.fill(texts.subject, values).split())[:250]
    name, address = parseaddr(settings.DEFAULT_FROM_EMAIL)
    return Letter(
        subject,
        render_to_string("mail/letter.txt", {**context, "subject": subject}),
        render_to_string("mail/letter.html", {**context, "subject": subject}),
        _sender(texts.sender_name or (look.name if look else name), address),
        texts.reply_to,
    )


def _sender(name: str, address: str) -> str:
    """`Name <address>`: the name is the provider's, the address ours, which our mail server may send from."""
    try:
        return str(Address(display_name=" ".join(name.split()), addr_spec=address))
    except ValueError:
        return address


def _door(mail: Mail) -> dict[str, Any]:
    """Where the mail leads: to a first password where it may set one, else to a sign-in of the person's own."""
    customer: Customer | None = mail.customer
    if mail.kind == Mail.Kind.INVITATION:
        waiting = Membership.objects.filter(customer=customer, user=mail.user, accepted_at=None).first()
        url, until = links.accept(waiting) if waiting else (f"{settings.PUBLIC_URL}/invitations/", None)
        return {"url": url, "expires_at": until, "sets_password": False}
    link = links.first_password(mail.user, customer) if mail.user and customer else None
    if link is None:
        inside = f"{settings.PUBLIC_URL}{settings.LOGIN_REDIRECT_URL}"
        return {"url": inside, "expires_at": None, "sets_password": False}
    return {"url": link[0], "expires_at": link[1], "sets_password": True}
