"""How the provider looks to its customers: drafts with a preview by day and by night, publish, withdraw."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.clickjacking import xframe_options_sameorigin

from console.lib.denials import Wrong
from console.portal.provider import frames
from console.portal.provider.scope import Seat, confirm, done, page, show
from providers import branding, colours, letters, logos, wording
from providers.models import Brand

REVISIONS: Final = 20
PREVIEWS: Final = (("door", "Sign-in page", 420), ("console", "Console", 320), ("mail", "Mail", 520))


class BrandForm(forms.Form):
    """What customers see; branding.save says what cannot be."""

    name = forms.CharField(required=False, help_text="As your customers know you.")
    accent = forms.CharField(
        required=False,
        help_text="Of buttons and links, as #rrggbb. Where nobody could read it, the nearest readable shade is used. "
        "Empty: Muster's own.",
        widget=forms.TextInput({"autocomplete": "off", "spellcheck": "false", "placeholder": "#5446d6"}),
    )
    logo = forms.FileField(
        required=False,
        help_text="PNG, JPEG or WebP, 1 MB at most; it is shown 60 pixels high. Left out: as in the revision before.",
        widget=forms.FileInput({"accept": "image/png,image/jpeg,image/webp"}),
    )
    no_logo = forms.BooleanField(label="No logo: the name instead", required=False)
    support_url = forms.CharField(label="Support page", required=False, help_text="An address with https://.")
    support_email = forms.CharField(label="Support e-mail", required=False)


@page("GET HEAD POST")
def one(request: HttpRequest, seat: Seat) -> HttpResponse:
    """GET shows the newest draft and how it looks, POST saves a revision."""
    revisions = list(seat.provider.brands.defer("logo").order_by("-revision")[:REVISIONS])
    wanted = request.GET.get("revision", "")
    shown = next((row for row in revisions if str(row.revision) == wanted), revisions[0] if revisions else None)
    sent = request.method == "POST"
    form = BrandForm(request.POST if sent else None, request.FILES if sent else None, initial=_initial(seat, shown))
    if form.is_valid():
        try:
            made = _save(seat, form.cleaned_data)
        except Wrong as wrong:
            for name, said in wrong.fields.items():
                form.add_error(name if name in form.fields else None, said)
        else:
            return done(request, _at(seat), f"Revision {made.revision} is saved. Nobody sees it until you publish it.",
                        lambda: None)  # fmt: skip
    published = seat.provider.brands.filter(published_at__isnull=False).order_by("-published_at")
    context = {
        "form": form,
        "revisions": revisions,
        "shown": shown,
        "live": published.defer("logo").first(),
        "shades": colours.shades(shown.accent) if shown and shown.accent else None,
        "previews": PREVIEWS,
    }
    response = show(request, seat, "provider/brand.html", "brand", status=422 if form.is_bound else 200, **context)
    return frames.framing(response)  # type: ignore[no-any-return]


@page("POST")
def publish(request: HttpRequest, seat: Seat, pk: UUID) -> HttpResponse:
    """Customers see this revision from now on."""
    brand = _brand(seat, pk)
    return done(request, _at(seat), f"Revision {brand.revision} is published: your customers see it now.",
                lambda: branding.publish(brand, seat.actor))  # fmt: skip


@page("GET HEAD POST", admin=True)
def withdraw(request: HttpRequest, seat: Seat) -> HttpResponse:
    """GET asks, POST withdraws."""
    if request.method == "POST":
        return done(request, _at(seat), "Withdrawn: your customers see your name alone.",
                    lambda: branding.withdraw(seat.provider, seat.actor))  # fmt: skip
    return confirm(
        request, seat, "brand", heading="Withdraw the brand", action_label="Withdraw brand", back=_at(seat),
        sentence="Your customers see your name alone, without logo and colour. The revisions stay.", danger=True,
        targets=[{"name": str(seat.provider)}],
    )  # fmt: skip


@xframe_options_sameorigin
@page()
def look(request: HttpRequest, seat: Seat, pk: UUID, what: str, mode: str) -> HttpResponse:
    """A preview of a revision for a frame: `door`, `console` or `mail`, `light` or `dark`."""
    drawn = branding.look_of(_brand(seat, pk))
    if what == "mail" and mode == "light":
        kind = wording.Kind.WELCOME
        texts = wording.of(wording.live(seat.provider, kind), kind)
        html = letters.preview(seat.provider, kind, texts, drawn).html
        return frames.drawn(HttpResponse(html))
    if what not in ("door", "console") or mode not in ("light", "dark"):
        raise Http404("No such preview.")
    context = {"look": drawn, "drawn_in": mode, "shell": None, "places": []}
    return frames.framed(render(request, f"provider/look_{what}.html", context))  # type: ignore[no-any-return]


def _save(seat: Seat, given: dict[str, Any]) -> Brand:
    logo = given["logo"]
    if logo is not None and logo.size > logos.MOST_BYTES:
        raise Wrong({"logo": ["The logo is larger than 1 MB. Send a smaller one."]})
    data = b"" if given["no_logo"] else logo.read() if logo is not None else None
    return branding.save(seat.provider, given, seat.actor, logo=data)


def _initial(seat: Seat, shown: Brand | None) -> dict[str, str]:
    if shown is None:
        return {"name": seat.provider.name, "support_url": seat.provider.support_url}
    return {name: getattr(shown, name) for name in ("name", "accent", "support_url", "support_email")}


def _brand(seat: Seat, pk: UUID) -> Brand:
    found: Brand | None = seat.provider.brands.filter(pk=pk).defer("logo").first()
    if found is None:
        raise Http404("No such revision.")
    return found


def _at(seat: Seat) -> str:
    return reverse("provider:brand", args=[seat.slug])
