"""How the provider words its mails: kinds and languages, revisions, a live preview, a test to oneself, publish."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final
from uuid import UUID

from django import forms
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from console.lib.denials import Wrong
from console.portal.provider import frames
from console.portal.provider.scope import Seat, done, page, show
from providers import letters, mail, wording
from providers.models import MailTemplate
from providers.wording import Kind, Wording

ANY: Final = "-"  # in an address: for every language without one of its own
REVISIONS: Final = 20
KINDS: Final = {
    Kind.WELCOME: "To a customer that you made: with a link to a first password.",
    Kind.INVITATION: "To somebody who has a sign-in at Muster already: with a link to say yes.",
}


class WordingForm(forms.Form):
    """The texts; wording.checked says what cannot be."""

    sender_name = forms.CharField(required=False, help_text="Who it comes from. Empty: the name of your brand.")
    reply_to = forms.CharField(required=False, help_text="Where answers go, such as help@cloud.example.")
    subject = forms.CharField(required=False)
    greeting = forms.CharField(required=False)
    body = forms.CharField(required=False, widget=forms.Textarea({"rows": 7}), help_text="Blank lines part paragraphs.")
    footer = forms.CharField(required=False, widget=forms.Textarea({"rows": 2}))
    button = forms.CharField(required=False, help_text="What the button says. Empty: in English, as the mail needs it.")
    note = forms.CharField(required=False, help_text="Below it, such as until when it works. Empty: in English.")


class LanguageForm(forms.Form):
    """Which mail to word in which language."""

    kind = forms.ChoiceField(choices=Kind.choices)
    locale = forms.CharField(label="Language", max_length=12, help_text="A tag such as en, de or pt-BR.")


@page()
def listing(request: HttpRequest, seat: Seat) -> HttpResponse:
    """Kinds and languages: what is live, and what is newer than that."""
    newest: dict[tuple[str, str], MailTemplate] = {}
    live: dict[tuple[str, str], MailTemplate] = {}
    for row in seat.provider.mail_templates.defer("body", "footer").order_by("revision"):
        key = (row.kind, row.locale)
        newest[key] = row
        if row.published_at and (key not in live or (live[key].published_at or row.published_at) < row.published_at):
            live[key] = row
    keys = sorted({(kind, "") for kind in Kind.values} | set(newest))
    lines = [
        {
            "kind": Kind(kind),
            "locale": locale,
            "live": live.get((kind, locale)),
            "newest": newest.get((kind, locale)),
            "at": _at(seat, kind, locale),
        }
        for kind, locale in keys
    ]
    form = LanguageForm(request.GET if "locale" in request.GET else None)
    if form.is_bound and form.is_valid():
        kind, locale = form.cleaned_data["kind"], form.cleaned_data["locale"].lower().replace("_", "-")
        try:
            wording.checked(kind, {"subject": "-", "body": "-"}, locale)
        except Wrong as wrong:
            for name, said in wrong.fields.items():
                form.add_error(name, said)
        else:
            return HttpResponseRedirect(_at(seat, kind, locale))
    return show(request, seat, "provider/mail.html", "mail", lines=lines, kinds=KINDS, form=form)


@page("GET HEAD POST")
def one(request: HttpRequest, seat: Seat, kind: str, locale: str) -> HttpResponse:
    """GET shows the newest texts, POST saves a revision, which is a draft until it is published."""
    locale = _known(kind, locale)
    revisions = list(seat.provider.mail_templates.filter(kind=kind, locale=locale).order_by("-revision")[:REVISIONS])
    shown = next((row for row in revisions if str(row.revision) == request.GET.get("revision")), None)
    shown = shown or (revisions[0] if revisions else None)
    form = WordingForm(request.POST if request.method == "POST" else None, initial=asdict(wording.of(shown, kind)))
    if form.is_valid():
        try:
            made = wording.save(seat.provider, kind, form.cleaned_data, seat.actor, locale)
        except Wrong as wrong:
            _say(form, wrong)
        else:
            return done(request, _at(seat, kind, locale), f"Revision {made.revision} is saved. Nobody gets it until "
                        "you publish it.", lambda: None)  # fmt: skip
    texts = Wording(**{name: str(form[name].value() or "") for name in form.fields})
    published = [row for row in revisions if row.published_at]
    live = max(published, key=lambda row: row.published_at or row.created_at, default=None)
    response = show(
        request, seat, "provider/mail_one.html", "mail", status=422 if form.is_bound else 200,
        form=form, kind=Kind(kind), locale=locale, slot=locale or ANY, words=KINDS[Kind(kind)], revisions=revisions,
        shown=shown, live=live, variables=wording.VARIABLES, **_previewed(seat, kind, texts),
    )  # fmt: skip
    return frames.framing(response)  # type: ignore[no-any-return]


@page("POST")
def preview(request: HttpRequest, seat: Seat, kind: str, locale: str) -> HttpResponse:
    """A fragment: how the letter reads with what is typed now, or what is wrong with it."""
    _known(kind, locale)
    form = WordingForm(request.POST)
    form.is_valid()
    texts = Wording(**{name: form.cleaned_data.get(name, "") for name in form.fields})
    return show(request, seat, "provider/mail_preview.html", "mail", **_previewed(seat, kind, texts))


@page("POST")
def publish(request: HttpRequest, seat: Seat, pk: UUID) -> HttpResponse:
    """Mails are worded like this revision from now on."""
    row = _template(seat, pk)
    return done(request, _at(seat, row.kind, row.locale), f"Revision {row.revision} is published.",
                lambda: wording.publish(row, seat.actor))  # fmt: skip


@page("POST")
def withdraw(request: HttpRequest, seat: Seat, kind: str, locale: str) -> HttpResponse:
    """As built in again, or as for every language."""
    locale = _known(kind, locale)
    words = "Withdrawn: mails are worded as for every language." if locale else "Withdrawn: mails are worded as before."
    return done(request, _at(seat, kind, locale), words,
                lambda: wording.withdraw(seat.provider, kind, locale, seat.actor))  # fmt: skip


@page("POST")
def test(request: HttpRequest, seat: Seat, pk: UUID) -> HttpResponse:
    """The revision, about a made-up customer, to who asks."""
    row = _template(seat, pk)
    words = f"A test mail to {seat.user} is {'kept in a moment: see Kept mails' if seat.sandbox else 'on its way'}."
    return done(request, _at(seat, row.kind, row.locale), words,
                lambda: mail.test(row, seat.user, seat.provider))  # fmt: skip


def _previewed(seat: Seat, kind: str, texts: Wording) -> dict[str, Any]:
    """The letter, with the address of its HTML for a frame; or what is wrong, with the letter left out."""
    try:
        tidy = Wording(**wording.checked(kind, asdict(texts)))
    except Wrong as wrong:
        return {"letter": None, "wrong": [f"{name.replace('_', ' ').capitalize()}: {' '.join(said)}"
                                          for name, said in wrong.fields.items()]}  # fmt: skip
    letter = letters.preview(seat.provider, kind, tidy)
    return {"letter": letter, "wrong": [], "framed": frames.keep(seat.provider, letter.html)}


def _say(form: forms.Form, wrong: Wrong) -> None:
    for name, said in wrong.fields.items():
        form.add_error(name if name in form.fields else None, said)


def _template(seat: Seat, pk: UUID) -> MailTemplate:
    found: MailTemplate | None = seat.provider.mail_templates.filter(pk=pk).first()
    if found is None:
        raise Http404("No such revision.")
    return found


def _known(kind: str, locale: str) -> str:
    """The language as it is kept; a 404 for a kind or tag that cannot be."""
    if kind not in Kind.values:
        raise Http404("No such mail.")
    locale = "" if locale == ANY else locale.lower()
    try:
        wording.checked(kind, {"subject": "-", "body": "-"}, locale)
    except Wrong as wrong:
        raise Http404("No such language.") from wrong
    return locale


def _at(seat: Seat, kind: str, locale: str) -> str:
    return reverse("provider:mail-one", args=[seat.slug, kind, locale or ANY])
