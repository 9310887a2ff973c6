"""The doors people come in by, and what a sign-in may see (SECURITY.md §6, take-over)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.internal.flows.login import perform_login
from allauth.account.models import Login
from django.conf import settings
from django.contrib.auth import logout
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render

from console.lib import audit
from console.models import User
from providers import members, sandbox, welcoming
from providers.acting import ACTING
from providers.models import Customer
from providers.scope import DOOR
from providers.welcoming import Arrival


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth is untyped
    """Nobody signs up by themselves: providers and staff make customers."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """allauth's own mails (a new password, another address); none for a sandbox's people, whom nobody is."""
        person = context.get("user")
        if not sandbox.made_up(email) and not (isinstance(person, User) and sandbox.made_up(person.email)):
            super().send_mail(template_prefix, email, context)

    def get_login_redirect_url(self, request: HttpRequest) -> str:
        return home(request.user)

    def set_password(self, user: User, password: str) -> None:
        """By a mailed link, or signed in as oneself: from now on the password is the person's own."""
        with transaction.atomic():
            super().set_password(user, password)
            welcoming.proven(user)

    def post_login(self, request: HttpRequest, user: User, **kwargs: Any) -> HttpResponse:
        """A person's own sign-in opens every customer of theirs; one that a provider's link began, that one only. So
        does a password that was set by a link which the provider had in its hands.

        Here and not before, since a second factor may come in between, and another sign-in may overtake it.
        """
        request.session.pop(DOOR, None)
        request.session.pop(ACTING, None)
        if door := (kwargs.get("signal_kwargs") or {}).get(DOOR) or _told_door(user):
            request.session[DOOR] = door
        audit.note(audit.Actor.of(user), "person.signed_in", target=user, customer_id=UUID(door) if door else None)
        response: HttpResponse = super().post_login(request, user, **kwargs)
        return response


def _told_door(user: User) -> str:
    door = User.objects.values_list("password_door", flat=True).get(pk=user.pk)
    return str(door) if door else ""


def home(user: Any) -> str:
    """Where a sign-in leads: to the servers; to the provider's pages for who works there and rents none."""
    rents = not isinstance(user, User) or Customer.objects.open_to(user).exists()
    return settings.LOGIN_REDIRECT_URL if rents or not members.places(user) else "/provider/"


def sign_in(request: HttpRequest, arrival: Arrival, to: str) -> HttpResponse:
    """Sign in who came by a link, through a second factor where there is one. Anybody else is signed out first."""
    if request.user.is_authenticated:
        logout(request)
    door = {DOOR: str(arrival.door)} if arrival.door else {}
    response: HttpResponse = perform_login(request, Login(user=arrival.user, redirect_url=to, signal_kwargs=door))
    return response


class Doorkeeper:
    """Middleware: a sign-in that a provider's link began can neither change how the person signs in nor be staff.

    Otherwise whoever controls the link could set a password or an address, come back with it, and see everything.
    """

    GUARDED = ("/auth/", "/admin/", "/me/", "/invitations/", "/staff/", "/provider/")
    LEFT_OPEN = ("/auth/logout/",)

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        guarded = request.path.startswith(self.GUARDED) and not request.path.startswith(self.LEFT_OPEN)
        # Looked at only there: elsewhere the session stays untouched.
        if guarded and (door := request.session.get(DOOR)) and request.user.is_authenticated:
            customer = Customer.objects.select_related("provider").filter(pk=door).first()
            return render(
                request,
                "welcome/door.html",
                {"customer": customer, "told": door == _told_door(request.user)},
                status=403,
            )
        return self.get_response(request)
