"""The first page: key numbers, health, and what wants attention first. And the way to it."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from console.lib.pages import person, signed_in
from console.portal.provider import standing
from console.portal.provider.scope import Seat, page, show
from providers import members, simulated
from providers.scope import DOOR


@signed_in
@require_safe
@never_cache
def home(request: HttpRequest) -> HttpResponse:
    """To the provider that this person works for; a choice where there are several."""
    seats = [] if request.session.get(DOOR) else list(members.of(person(request)))
    if not seats:
        raise Http404("This person works for no provider.")
    if len(seats) == 1:
        return HttpResponseRedirect(reverse("provider:overview", args=[seats[0].provider.slug]))
    return render(request, "provider/choose.html", {"seats": seats})


@signed_in
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def join(request: HttpRequest, token: str) -> HttpResponse:
    """GET asks, POST says yes to an invitation to work at a provider."""
    if request.method != "POST":
        member = members.invited(person(request), token)
        if member is not None and member.accepted_at:  # the link did its work
            return HttpResponseRedirect(reverse("provider:overview", args=[member.provider.slug]))
        return render(request, "provider/join.html", {"member": member}, status=200 if member else 404)
    member = members.accept(person(request), token)
    if member is None:
        return render(request, "provider/join.html", {"member": None}, status=404)
    messages.success(request, f"You belong to {member.provider} now.")
    return HttpResponseRedirect(reverse("provider:overview", args=[member.provider.slug]))


@page()
def overview(request: HttpRequest, seat: Seat) -> HttpResponse:
    """Key numbers and troubles; of a sandbox also what can be pushed there."""
    logins = _logins() if seat.sandbox else []
    return show(request, seat, "provider/overview.html", "overview", standing=standing.of(seat.provider), logins=logins)


def _logins() -> list[tuple[str, str, str, str]]:
    """What can be pushed to a sandbox: the name, what the account becomes, why, and where, unless everywhere."""
    everywhere = {cloud.slug for cloud in simulated.CLOUDS}
    found: dict[str, tuple[str, str, set[str]]] = {}
    for cloud in simulated.CLOUDS:
        for login in cloud.logins:
            name = next(iter(login.credentials.values()))
            found.setdefault(name, (login.status, login.words, set()))[2].add(cloud.slug)
    return [(name, status, words, _where(places, everywhere)) for name, (status, words, places) in found.items()]


def _where(places: set[str], everywhere: set[str]) -> str:
    if len(places) == 1:
        return f"At {min(places)} alone."
    return f"Not at {', '.join(sorted(everywhere - places))}." if places != everywhere else ""
