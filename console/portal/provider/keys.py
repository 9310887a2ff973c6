"""Keys of the provider API: list, issue, rotate (each shown this once), revoke."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone

from console.lib.denials import Denied, Wrong
from console.portal.provider.scope import Seat, confirm, done, page, show
from providers import keys
from providers.models import ProviderKey

MOST = 200  # that are listed: those that can be used first
LIVES = [("", "until it is revoked"), ("30", "30 days"), ("90", "90 days"), ("365", "a year")]
OVERLAPS = [("168", "7 days"), ("24", "a day"), ("1", "an hour"), ("0", "not at all")]


class KeyForm(forms.Form):
    """What will use it, for what, from where, and how long."""

    name = forms.CharField(
        max_length=80,
        help_text="What will use it, such as Billing.",
        widget=forms.TextInput({"autocomplete": "off"}),
    )
    scopes = forms.MultipleChoiceField(
        label="It may", choices=list(keys.SCOPES.items()), widget=forms.CheckboxSelectMultiple, required=False,
        help_text="None ticked: all of it.",
    )  # fmt: skip
    allowed_networks = forms.CharField(
        label="It may be used from",
        required=False,
        help_text="Addresses and networks, separated by commas, such as 192.0.2.0/24. Empty: anywhere.",
    )
    days = forms.ChoiceField(label="It lives", choices=LIVES, required=False)

    def fields_of_key(self) -> dict[str, Any]:
        given = self.cleaned_data
        days = given["days"]
        return {
            "name": given["name"],
            "scopes": given["scopes"],
            "allowed_networks": given["allowed_networks"].split(","),
            "expires_at": timezone.now() + timedelta(days=int(days)) if days else None,
        }


class RotateForm(forms.Form):
    """How long the older one stays live."""

    hours = forms.ChoiceField(label="The older key stays live for", choices=OVERLAPS, initial="168")


@page()
def listing(request: HttpRequest, seat: Seat) -> HttpResponse:
    """The keys, those that can be used first. Test keys stand on the sandbox's page."""
    now = timezone.now()
    rows = sorted(_keys(seat).select_related("replaces")[:MOST], key=lambda key: _state(key, now)[2])
    told = [(key, *_state(key, now)[:2]) for key in rows]
    return show(request, seat, "provider/keys.html", "keys", keys=told, scopes=keys.SCOPES)


@page("GET HEAD POST", admin=True)
def issue(request: HttpRequest, seat: Seat) -> HttpResponse:
    """GET asks, POST issues one and shows its text, this once."""
    form = KeyForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            key, text = keys.issue(seat.owner, actor=seat.actor, sandbox=seat.sandbox, **form.fields_of_key())
        except Wrong as wrong:
            for name, said in wrong.fields.items():
                form.add_error(name if name in form.fields else None, said)
        else:
            return _issued(request, seat, key, text)
    status = 422 if form.is_bound else 200
    sentence = "It acts on the sandbox alone: simulated clouds, real events." if seat.sandbox else ""
    heading = "Issue a test key" if seat.sandbox else "Issue a key"
    return show(request, seat, "provider/key_form.html", "keys", status=status, form=form, heading=heading,
                action_label="Issue key", sentence=sentence)  # fmt: skip


@page("GET HEAD POST", admin=True)
def rotate(request: HttpRequest, seat: Seat, pk: UUID) -> HttpResponse:
    """GET asks, POST makes a successor and shows its text, this once."""
    key = _key(seat, pk)
    form = RotateForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            made, text = keys.rotate(key, seat.actor, timedelta(hours=int(form.cleaned_data["hours"])))
        except Denied as denied:
            form.add_error(None, denied.words)
        else:
            return _issued(request, seat, made, text)
    return show(request, seat, "provider/key_form.html", "keys", status=422 if form.is_bound else 200, form=form,
                heading=f"Rotate {key.name or key}", action_label="Rotate key",
                sentence="A new key that may do the same. Both are live for a while, so that your programs can change "
                         "over.")  # fmt: skip


@page("GET HEAD POST", admin=True)
def revoke(request: HttpRequest, seat: Seat, pk: UUID) -> HttpResponse:
    """GET asks, POST revokes."""
    key, back = _key(seat, pk), reverse("provider:keys", args=[seat.slug])
    if request.method == "POST":
        return done(request, back, f"{key.name or key} is revoked.", lambda: keys.revoke(key, seat.actor))
    target = {"name": key.name or str(key), "detail": str(key)}
    return confirm(request, seat, "keys", heading="Revoke this key", targets=[target], danger=True, back=back,
                   sentence="From now on it opens nothing. Whatever uses it gets an error that says so.",
                   action_label="Revoke key")  # fmt: skip


def _issued(request: HttpRequest, seat: Seat, key: ProviderKey, text: str) -> HttpResponse:
    return show(request, seat, "provider/key_issued.html", "keys", key=key, text=text)


def _key(seat: Seat, pk: UUID) -> ProviderKey:
    found: ProviderKey | None = _keys(seat).filter(pk=pk).first()
    if found is None:
        raise Http404("No such key.")
    return found


def _keys(seat: Seat) -> QuerySet[ProviderKey]:
    """Live keys here, test keys at the sandbox; both are the owner's. All of them where no sandbox runs."""
    rows: QuerySet[ProviderKey] = seat.owner.keys.all()
    return rows.filter(sandbox=seat.sandbox) if seat.switches else rows


def _state(key: ProviderKey, now: Any) -> tuple[str, str, int]:
    """Tone, word and rank."""
    if key.revoked_at:
        return "stopped", "Revoked", 2
    if key.expires_at and key.expires_at <= now:
        return "attention", "Expired", 1
    return "running", "Live", 0
