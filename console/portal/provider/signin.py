"""Sign-in by the provider's own identity server (OpenID Connect): set it, try it, turn it on and off, remove it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse

from console.lib.denials import Wrong
from console.portal.provider.scope import Seat, confirm, done, page, show
from providers import identity
from providers.discovery import Discovery
from providers.models import IdentityServer


class ServerForm(forms.Form):
    """Where it stands and who we are there; identity.put says what cannot be."""

    issuer = forms.CharField(
        max_length=300,
        help_text="As its own description writes it, such as https://login.example.com/realms/customers.",
        widget=forms.URLInput({"autocomplete": "off", "placeholder": "https://"}),
    )
    client_id = forms.CharField(
        label="Client id",
        max_length=200,
        help_text="Which it gave to this console.",
        widget=forms.TextInput({"autocomplete": "off", "spellcheck": "false"}),
    )
    secret = forms.CharField(
        label="Client secret",
        required=False,
        max_length=500,
        strip=False,
        help_text="It is kept sealed and shown to nobody. Empty: as it is.",
        widget=forms.PasswordInput({"autocomplete": "new-password"}),
    )
    no_secret = forms.BooleanField(label="No secret: a public client, which PKCE alone proves", required=False)
    customer_claim = forms.CharField(
        label="Customer claim",
        required=False,
        max_length=60,
        help_text="The claim of the ID token, or of userinfo, that holds your own id of the customer. Empty: sub.",
        widget=forms.TextInput({"autocomplete": "off", "spellcheck": "false"}),
    )


@page("GET HEAD POST")
def one(request: HttpRequest, seat: Seat) -> HttpResponse:
    """GET shows what is set, POST sets it, or with `try` asks the server only."""
    server = _of(seat)
    form = ServerForm(request.POST if request.method == "POST" else None, initial=_initial(server))
    found: Discovery | None = None
    if form.is_valid():
        try:
            if "try" in request.POST:
                found = identity.tried(seat.provider, form.cleaned_data["issuer"])
            else:
                made = _put(seat, form.cleaned_data)
                words = (
                    "Saved, and it fits."
                    if made.enabled
                    else "Saved, and it fits. Nobody signs in by it until you turn it on."
                )
                return done(request, _at(seat), words, lambda: None)
        except Wrong as wrong:
            for name, said in wrong.fields.items():
                form.add_error(name, said)
    context = {
        "form": form,
        "server": server,
        "found": found,
        "door": f"{settings.PUBLIC_URL}{reverse('portal:enter-at', args=[seat.slug])}",
        "back": f"{settings.PUBLIC_URL}{reverse('portal:came-back', args=[seat.slug])}",
    }
    status = 422 if form.is_bound and found is None else 200
    return show(request, seat, "provider/signin.html", "sign-in", status=status, **context)


@page("POST")
def turn(request: HttpRequest, seat: Seat) -> HttpResponse:
    """On or off."""
    server, on = _set(seat), request.POST.get("on") == "1"
    words = "Your customers sign in by it now." if on else "Nobody signs in by it now. Who is in stays in."
    return done(request, _at(seat), words, lambda: (identity.enable if on else identity.disable)(server, seat.actor))


@page("GET HEAD POST", admin=True)
def remove(request: HttpRequest, seat: Seat) -> HttpResponse:
    """GET asks, POST removes."""
    server = _set(seat)
    if request.method == "POST":
        return done(request, _at(seat), "The identity server is removed.", lambda: identity.remove(server, seat.actor))
    return confirm(
        request, seat, "sign-in", heading="Remove the identity server", action_label="Remove identity server",
        sentence="It goes with all identities that it vouched for; set again, it starts afresh. Customers and people "
                 "stay, and sign in by their passwords and by links.",
        targets=[{"name": server.issuer, "detail": server.client_id}], danger=True, back=_at(seat),
    )  # fmt: skip


def _put(seat: Seat, given: dict[str, Any]) -> IdentityServer:
    secret = "" if given["no_secret"] else given["secret"] or None
    return identity.put(seat.provider, given["issuer"], given["client_id"], secret, given["customer_claim"], seat.actor)


def _of(seat: Seat) -> IdentityServer | None:
    return IdentityServer.objects.filter(provider=seat.provider).select_related("provider").first()


def _set(seat: Seat) -> IdentityServer:
    server = _of(seat)
    if server is None:
        raise Http404("No identity server is set.")
    return server


def _initial(server: IdentityServer | None) -> dict[str, Any]:
    if server is None:
        return {"customer_claim": "sub"}
    told = {name: getattr(server, name) for name in ("issuer", "client_id", "customer_claim")}
    return {**told, "no_secret": not server.sealed}


def _at(seat: Seat) -> str:
    return reverse("provider:sign-in", args=[seat.slug])
