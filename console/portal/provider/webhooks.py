"""Webhooks: who is told what and how it goes; add, change, rotate, test, turn on and off, remove."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from console.lib.denials import Denied, Wrong
from console.portal.provider.paging import page as paged
from console.portal.provider.scope import Seat, confirm, done, page, show
from providers import webhooks
from providers.models import Delivery, Webhook

TYPES = [(type, type) for type in webhooks.TYPES if type != "ping"]


class WebhookForm(forms.Form):
    """Where to, and what."""

    url = forms.CharField(
        label="Address",
        max_length=500,
        widget=forms.URLInput({"autocomplete": "off", "placeholder": "https://"}),
        help_text="Of your program. HTTPS, and the internet must reach it.",
    )
    events = forms.MultipleChoiceField(
        choices=TYPES, required=False, widget=forms.CheckboxSelectMultiple, label="It is told",
        help_text="None ticked: everything, what comes later too.",
    )  # fmt: skip


@page()
def listing(request: HttpRequest, seat: Seat) -> HttpResponse:
    """Every webhook with its health."""
    rows = [(hook, *_health(hook)) for hook in seat.provider.webhooks.all()]
    return show(request, seat, "provider/webhooks.html", "webhooks", webhooks=rows)


@page("GET HEAD POST", admin=True)
def add(request: HttpRequest, seat: Seat) -> HttpResponse:
    """GET asks, POST adds one and shows its secret, this once."""
    form = WebhookForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            hook, secret = webhooks.add(seat.provider, form.cleaned_data["url"], form.cleaned_data["events"],
                                        seat.actor)  # fmt: skip
        except Denied as denied:
            _say(form, denied)
        else:
            if secret:
                return _secret(request, seat, hook, secret)
            messages.info(request, "This address has a webhook already; its events are what you ticked.")
            return HttpResponseRedirect(_at(seat, hook))
    return show(request, seat, "provider/webhook_form.html", "webhooks", status=422 if form.is_bound else 200,
                form=form, heading="Add a webhook", action_label="Add webhook")  # fmt: skip


@page("GET HEAD")
def one(request: HttpRequest, seat: Seat, pk: UUID) -> HttpResponse:
    """A webhook and its deliveries of the last 30 days, the newest first."""
    hook = _webhook(seat, pk)
    rows = Delivery.objects.filter(webhook=hook).select_related("event")
    tone, label, words = _health(hook)
    return show(request, seat, "provider/webhook.html", "webhooks", hook=hook, tone=tone, label=label, words=words,
                page=paged(request, rows, "queued_at", "id", size=25))  # fmt: skip


@page("GET HEAD POST", admin=True)
def change(request: HttpRequest, seat: Seat, pk: UUID) -> HttpResponse:
    """Another address or other events."""
    hook = _webhook(seat, pk)
    given = request.POST if request.method == "POST" else None
    form = WebhookForm(given, initial={"url": hook.url, "events": hook.events})
    if form.is_valid():
        try:
            webhooks.change(hook, seat.actor, url=form.cleaned_data["url"], events=form.cleaned_data["events"])
        except Denied as denied:
            _say(form, denied)
        else:
            messages.success(request, "Changed.")
            return HttpResponseRedirect(_at(seat, hook))
    return show(request, seat, "provider/webhook_form.html", "webhooks", status=422 if form.is_bound else 200,
                form=form, hook=hook, heading="Change this webhook", action_label="Save")  # fmt: skip


@page("POST")
def turn(request: HttpRequest, seat: Seat, pk: UUID) -> HttpResponse:
    """On or off."""
    hook, on = _webhook(seat, pk), request.POST.get("on") == "1"
    words = "It is on: what happens from now on is told." if on else "It is off: nothing is kept for it or sent there."
    return done(request, _at(seat, hook), words, lambda: webhooks.change(hook, seat.actor, enabled=on))


@page("POST")
def test(request: HttpRequest, seat: Seat, pk: UUID) -> HttpResponse:
    """A ping, to this one alone."""
    hook = _webhook(seat, pk)
    words = "A test is on its way. How it went stands among the deliveries in a moment."
    return done(request, _at(seat, hook), words, lambda: webhooks.ping(hook, seat.actor))


@page("GET HEAD POST", admin=True)
def rotate(request: HttpRequest, seat: Seat, pk: UUID) -> HttpResponse:
    """GET asks, POST makes a new secret and shows it, this once."""
    hook = _webhook(seat, pk)
    if request.method == "POST":
        try:
            hook, secret = webhooks.rotate_secret(hook, seat.actor)
        except Denied as denied:
            messages.error(request, denied.words)
            return HttpResponseRedirect(_at(seat, hook))
        return _secret(request, seat, hook, secret)
    return confirm(
        request, seat, "webhooks", heading="Rotate the secret", action_label="Rotate secret", back=_at(seat, hook),
        sentence="A new secret, shown once. The one before signs too for 24 hours, so that your program can change "
                 "over.",
        targets=[{"name": str(hook)}],
    )  # fmt: skip


@page("GET HEAD POST", admin=True)
def remove(request: HttpRequest, seat: Seat, pk: UUID) -> HttpResponse:
    """GET asks, POST removes."""
    hook = _webhook(seat, pk)
    if request.method == "POST":
        back = reverse("provider:webhooks", args=[seat.slug])
        return done(request, back, "The webhook is removed.", lambda: webhooks.remove(hook, seat.actor))
    return confirm(
        request, seat, "webhooks", heading="Remove this webhook", action_label="Remove webhook", danger=True,
        sentence="It is told nothing more, and its deliveries go.", targets=[{"name": str(hook)}],
        back=_at(seat, hook),
    )  # fmt: skip


def _webhook(seat: Seat, pk: UUID) -> Webhook:
    found: Webhook | None = seat.provider.webhooks.filter(pk=pk).select_related("provider").first()
    if found is None:
        raise Http404("No such webhook.")
    return found


def _secret(request: HttpRequest, seat: Seat, hook: Webhook, secret: str) -> HttpResponse:
    return show(request, seat, "provider/webhook_secret.html", "webhooks", hook=hook, secret=secret)


def _say(form: forms.Form, denied: Denied) -> None:
    for name, said in denied.fields.items() if isinstance(denied, Wrong) else [(None, [denied.words])]:
        form.add_error(name, said)


def _health(hook: Webhook) -> tuple[str, str, str]:
    """Tone, word, sentence."""
    if hook.disabled_at and not hook.enabled:
        return "failed", "Turned off by Muster", "It failed for too long. Mend it, then turn it on."
    if not hook.enabled:
        return "stopped", "Off", "Nothing is kept for it or sent there."
    if hook.failing_since:
        return "attention", "Failing", "Nothing has arrived since then; it is tried again for 24 hours."
    return "running", "On", ""


def _at(seat: Seat, hook: Any) -> str:
    return reverse("provider:webhook", args=[seat.slug, hook.pk])
