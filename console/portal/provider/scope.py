"""Which provider a signed-in person works for: every page of these starts here. A 404 for everybody else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from console.lib import audit
from console.lib.denials import Denied
from console.lib.pages import person, signed_in
from console.models import User
from providers import members, sandbox
from providers.models import Customer, Provider, ProviderMember
from providers.scope import DOOR

View = Callable[..., HttpResponseBase]


@dataclass
class Seat:
    """A person's place at a provider, or at its sandbox. Viewers look; administrators act while it is enabled."""

    member: ProviderMember
    user: User
    provider: Provider  # whose pages these are: the owner, or its sandbox

    @property
    def owner(self) -> Provider:
        return self.member.provider

    @property
    def slug(self) -> str:
        return self.provider.slug

    @property
    def sandbox(self) -> bool:
        return self.provider.pk != self.owner.pk

    @property
    def switches(self) -> bool:
        """Whether there is a sandbox to switch to."""
        return settings.SANDBOX or self.sandbox

    @property
    def enabled(self) -> bool:
        return self.owner.status == Provider.Status.ENABLED

    @property
    def admin(self) -> bool:
        """Whether this person acts here."""
        return self.member.role == ProviderMember.Role.ADMIN and self.enabled

    @property
    def actor(self) -> audit.Actor:
        return audit.Actor.of(self.user)

    @cached_property
    def refusal(self) -> str:
        """Why this person cannot act, and who can; empty for who can."""
        if self.admin:
            return ""
        if not self.enabled:
            status = self.owner.get_status_display().lower()
            return f"{self.owner} is {status} at this console: you can look, and change nothing. Ask Muster's staff."
        rows = self.owner.members.filter(role=ProviderMember.Role.ADMIN, accepted_at__isnull=False)
        names = list(rows.order_by("created_at").values_list("user__email", flat=True)[:3])
        who = f"Ask {', '.join(names)}." if names else "There is none at the moment; ask Muster's staff."
        return f"Only administrators of {self.owner} can do this. {who}"


def page(methods: str = "GET HEAD", *, admin: bool = False, only: str = "") -> Callable[[View], View]:
    """A page of one provider: the view gets request, seat and what else is in the address.

    What changes something (POST) needs an administrator of an enabled provider; with `admin` looking does too. `only`
    "live" or "sandbox": the other one has no such page. None of it is cached.
    """

    def dress(view: View) -> View:
        @signed_in
        @require_http_methods(methods.split())
        @never_cache
        @wraps(view)
        def guarded(request: HttpRequest, slug: str, *args: Any, **kwargs: Any) -> HttpResponseBase:
            seat = seat_of(request, slug)
            if only and seat.sandbox != (only == "sandbox"):
                raise Http404("No such page here.")
            if (admin or request.method == "POST") and not seat.admin:
                return show(request, seat, "provider/denied.html", "", status=403)
            return view(request, seat, *args, **kwargs)

        return guarded

    return dress


def seat_of(request: HttpRequest, slug: str) -> Seat:
    """The seat of who asks, or a 404 that does not say whether there is such a provider. Who works at a provider has a
    seat at its sandbox, in the same role."""
    user = person(request)
    here = Q(provider__slug=slug) | Q(provider__sandbox__slug=slug)
    found = None if request.session.get(DOOR) else members.of(user).filter(here).first()
    if found is None:
        raise Http404("No such provider.")
    return Seat(found, user, found.provider if found.provider.slug == slug else sandbox.twin(found.provider))


def show(
    request: HttpRequest, seat: Seat, template: str, section: str, *, status: int = 200, **context: Any
) -> HttpResponse:
    """A page in the provider's shell: Muster's own look, and no account's freshness."""
    rents = Customer.objects.open_to(seat.user).exists()
    told = {"seat": seat, "section": section, "rents": rents, "look": None, "shell": None, **context}
    return render(request, template, told, status=status)


def done(request: HttpRequest, back: str, words: str, deed: Callable[[], object]) -> HttpResponse:
    """Do it and go back; that it was done, or why it was denied, stands there in words."""
    try:
        deed()
    except Denied as denied:
        messages.error(request, denied.words)
    else:
        messages.success(request, words)
    return HttpResponseRedirect(back)


def confirm(request: HttpRequest, seat: Seat, section: str, **context: Any) -> HttpResponse:
    """A page that asks once (templates/confirm.html)."""
    return show(request, seat, "confirm.html", section, **context)
