"""How a provider words its mails: texts with a fixed list of variables and no code, in revisions, one of them live.

The language is `{{ variable }}` and nothing else. A variable that is empty takes the space before it along, so that
"Hello {{ first_name }}," reads well for a person without a first name. Blank lines part paragraphs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import Max, QuerySet
from django.utils import timezone

from console.lib import audit
from console.lib.denials import Wrong
from providers.models import MailTemplate, Provider

Kind = MailTemplate.Kind
VARIABLES: Final[dict[str, str]] = {
    "first_name": "The person's first name; may be empty",
    "last_name": "The person's last name; may be empty",
    "organization": "The customer: its organization, or its person's name",
    "provider": "Your name, as your customers read it",
    "support_url": "Where your customers find help; may be empty",
    "support_email": "Your support's address; may be empty",
    "valid_until": "Until when the link works, such as 2026-12-31 18:00 UTC; may be empty",
}
SAMPLE: Final = {"first_name": "Ada", "last_name": "Byron", "organization": "Engines Ltd"}
LONGEST: Final = {"sender_name": 80, "reply_to": 254, "subject": 200, "greeting": 200, "body": 10_000, "footer": 2_000,
                 "button": 60, "note": 500}  # fmt: skip
NEEDED: Final = ("subject", "body")
_VARIABLE: Final = re.compile(r"([ \t]?)\{\{[ \t]*([A-Za-z_]{1,40})[ \t]*\}\}")
_LOCALE: Final = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})?")


@dataclass(frozen=True)
class Wording:
    """The texts of one kind of mail, variables in them."""

    subject: str
    greeting: str
    body: str
    footer: str = ""
    sender_name: str = ""
    reply_to: str = ""
    button: str = ""  # empty: built in, in English; so is the note below it, which says until when the link works
    note: str = ""


BUILT_IN: Final[dict[str, Wording]] = {
    Kind.WELCOME: Wording(
        "Your servers at {{ provider }} are waiting for you",
        "Hello {{ first_name }},",
        "{{ provider }} opened a console for {{ organization }}: all servers in one list, with what they do and what "
        "they need.",
    ),
    Kind.INVITATION: Wording(
        "{{ provider }} invites you to see your servers",
        "Hello {{ first_name }},",
        "{{ provider }} invites you to see the servers of {{ organization }}. You sign in as before; the new servers "
        "join your list once you accept.",
    ),
}


def fill(text: str, values: Mapping[str, str]) -> str:
    """The text with its variables' values. Values are put in as they are, once: what they hold is never read again."""

    def value(found: re.Match[str]) -> str:
        said = " ".join(values.get(found[2], "").split())
        return found[1] + said if said else ""

    return _VARIABLE.sub(value, text)


def live(provider: Provider | None, kind: str, locale: str = "") -> MailTemplate | None:
    """The published wording that fits the language best: de-AT, else de, else the one for every language."""
    if provider is None:
        return None
    wanted = locale.lower().replace("_", "-")
    rows = list(published(provider).filter(kind=kind).order_by("-published_at"))
    for one in dict.fromkeys([wanted, wanted.partition("-")[0], ""]):
        if fitting := next((row for row in rows if row.locale.lower() == one), None):
            return fitting
    return None


def all_live(provider: Provider) -> list[MailTemplate]:
    """The revision that is live for each kind and language that has one."""
    newest: dict[tuple[str, str], MailTemplate] = {}
    for row in published(provider).order_by("published_at"):
        newest[row.kind, row.locale] = row
    return list(newest.values())


def published(provider: Provider) -> QuerySet[MailTemplate]:
    """Every revision that is live or was."""
    rows: QuerySet[MailTemplate] = provider.mail_templates.filter(published_at__isnull=False)
    return rows


def of(template: MailTemplate | None, kind: str) -> Wording:
    """The texts of this revision, or those that are built in."""
    if template is None:
        return BUILT_IN[kind]
    return Wording(
        template.subject, template.greeting, template.body, template.footer, template.sender_name, template.reply_to,
        template.button, template.note,
    )  # fmt: skip


def save(
    provider: Provider, kind: str, fields: Mapping[str, Any], actor: audit.Actor, locale: str = ""
) -> MailTemplate:
    """A new revision, not live yet. `fields`: those of Wording. Wrong, field by field, with what to write instead."""
    values = checked(kind, fields, locale)
    with transaction.atomic():
        held = Provider.objects.select_for_update(no_key=True).get(pk=provider.pk)
        locale = locale.lower().replace("_", "-")
        before = held.mail_templates.filter(kind=kind, locale=locale).aggregate(most=Max("revision"))["most"] or 0
        made = MailTemplate.objects.create(
            provider=held, kind=kind, locale=locale, revision=before + 1, by=actor.name[:254], **values
        )
        audit.note(actor, "mail_wording.saved", target=made, provider_id=held.pk)
    return made


def publish(template: MailTemplate, actor: audit.Actor) -> None:
    """Mails are worded like this from now on; an older revision may be published again."""
    with transaction.atomic():
        MailTemplate.objects.filter(pk=template.pk).update(published_at=timezone.now())
        audit.note(actor, "mail_wording.published", target=template, provider_id=template.provider_id)


def withdraw(provider: Provider, kind: str, locale: str, actor: audit.Actor) -> None:
    """Mails of this kind and language are worded as for every language again, or as built in. Twice is harmless."""
    with transaction.atomic():
        if published(provider).filter(kind=kind, locale=locale).update(published_at=None):
            audit.note(actor, "mail_wording.withdrawn", target=provider, provider_id=provider.pk,
                       detail={"kind": kind, "locale": locale})  # fmt: skip


def checked(kind: str, fields: Mapping[str, Any], locale: str = "") -> dict[str, str]:
    """The texts, tidied. Raises Wrong with every field that cannot be."""
    wrong: dict[str, list[str]] = {}
    if kind not in Kind.values:
        wrong["kind"] = [f"Write one of {', '.join(Kind.values)}."]
    if locale and not _LOCALE.fullmatch(locale):
        wrong["locale"] = ["Write a language tag, such as en or de-AT, or nothing for every language."]
    if unknown := sorted(set(fields) - set(LONGEST)):
        wrong |= {name: [f"Unknown field. Known: {', '.join(LONGEST)}."] for name in unknown}
    given = {name: str(fields.get(name) or "").replace("\r\n", "\n").strip() for name in LONGEST}
    for name, text in given.items():
        if said := _wrong(name, text):
            wrong[name] = [said]
    if wrong:
        raise Wrong(wrong)
    return given


def _wrong(name: str, text: str) -> str:
    if name in NEEDED and not text:
        return "This cannot be empty."
    if len(text) > LONGEST[name]:
        return f"Use {LONGEST[name]} characters at most."
    lines = text if name in ("body", "footer") else text.replace("\n", "\0")
    if any(not letter.isprintable() and letter != "\n" for letter in lines):
        return "Remove the control characters." if name in ("body", "footer") else "Write it on one line."
    if name == "reply_to" and text:
        try:
            validate_email(text)
        except ValidationError:
            return "Write an e-mail address, such as help@cloud.example."
        return ""
    known = f"Known: {', '.join(f'{{{{ {one} }}}}' for one in VARIABLES)}."
    if strangers := sorted({found[2] for found in _VARIABLE.finditer(text)} - set(VARIABLES)):
        return f"There is no variable {', '.join(strangers)}. {known}"
    if re.search(r"\{\{|\}\}|\{%|%\}|\{#|#\}", _VARIABLE.sub("", text)):
        return f"Only variables may stand in braces. {known}"
    if name == "sender_name" and (_VARIABLE.search(text) or set(text) & set('"<>@,;:\\')):
        return "Write a plain name, such as North Cloud."
    return ""
