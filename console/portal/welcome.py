"""Where mailed links lead: the first password, sign-in by link, invitations."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.contrib.auth.password_validation import password_validators_help_texts
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_http_methods, require_POST

from console.models import User
from console.portal import doors
from providers import branding, handoff, identity, invitations, links, welcoming
from providers.models import SignInLink

View = Callable[..., HttpResponse]


class FirstPassword(forms.Form):
    """One field: what is typed can be shown, which serves better than typing it twice."""

    password = forms.CharField(
        label="New password",
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password", "autofocus": True}),
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        self.fields["password"].help_text = " ".join(str(words) for words in password_validators_help_texts()[1:2])


def link_page(view: View) -> View:
    """A page whose address holds a token: it is kept in no cache, and told to no other page.

    `strict-origin` and not `no-referrer`: under that one browsers send `Origin: null`, and the form's CSRF check fails.
    """

    @wraps(view)
    def shown(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = view(request, *args, **kwargs)
        response["Referrer-Policy"] = "strict-origin"
        response["Cache-Control"] = "no-store"
        response["X-Robots-Tag"] = "noindex"
        return response

    return shown


@link_page
@require_http_methods(["GET", "HEAD", "POST"])
def welcome(request: HttpRequest, token: str) -> HttpResponse:
    """GET shows the form and uses nothing up (mail scanners fetch links); POST sets the password and signs in, or, by
    a link that was told to a program, says the same whatever it did."""
    link = welcoming.for_first(token)
    if link is None:
        return _over(request, reverse("portal:welcome-again", args=[token]))
    form = FirstPassword(request.POST or None, user=welcoming.whom(link))
    if form.is_valid():
        try:
            arrival = welcoming.first_password(token, form.cleaned_data["password"])
        except ValidationError as weak:
            form.add_error("password", weak)
        else:
            if arrival is None:
                return _over(request, reverse("portal:welcome-again", args=[token]))
            if isinstance(arrival, welcoming.Told):
                return _told(request)
            return doors.sign_in(request, arrival, doors.home(arrival.user))
    context = {"form": form, **_whose(link)}
    return render(request, "welcome/set_password.html", context, status=422 if form.is_bound else 200)


@link_page
@require_POST
def welcome_again(request: HttpRequest, token: str) -> HttpResponse:
    """Send a new link. The page says the same whatever was done: it tells nobody who is known here."""
    welcoming.send_again(token)
    return render(request, "welcome/sent.html")


@link_page
@require_http_methods(["GET", "HEAD", "POST"])
def enter(request: HttpRequest, token: str) -> HttpResponse:
    """GET shows one button (which presses itself in a browser) and uses nothing up; POST signs in."""
    link = links.peek(token, links.Purpose.SIGN_IN)
    if link is None:
        return _over(request, "")
    if request.method != "POST":
        return render(request, "welcome/sign_in.html", {"person": link.user, **_whose(link)})
    arrival = welcoming.by_link(token)
    return doors.sign_in(request, arrival, _next(request, link.user)) if arrival else _over(request, "")


@link_page
@require_http_methods(["GET", "HEAD", "POST"])
def arrive(request: HttpRequest, token: str) -> HttpResponse:
    """As `enter`, from the provider's portal: the link says where it leads."""
    link = links.peek(token, links.Purpose.HANDOFF)
    if link is None:
        return _over(request, "")
    if request.method != "POST":
        return render(request, "welcome/sign_in.html", {"person": link.user, **_whose(link)})
    landing = handoff.come(token)
    if landing is None:
        return _over(request, "")
    return doors.sign_in(request, landing.arrival, landing.to) if landing.arrival else HttpResponseRedirect(landing.to)


@login_required
@require_http_methods(["GET", "HEAD"])
def invited(request: HttpRequest) -> HttpResponse:
    """What waits for this person's answer."""
    return render(request, "welcome/invitations.html", {"invitations": invitations.pending(_person(request))})


@login_required
@require_POST
def answer(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Decline one, or have its mail sent again: accepting wants the link in that mail."""
    declined = request.POST.get("answer") == "decline"
    deed = invitations.decline if declined else invitations.send_again
    membership = deed(_person(request), pk)
    if membership is None:
        messages.info(request, "That invitation is over: it was answered or withdrawn.")
    elif declined:
        messages.success(request, f"Declined. {membership.customer} was not told.")
    else:
        messages.success(request, f"A mail is on its way to {request.user}: its link accepts the invitation.")
    return HttpResponseRedirect(reverse("portal:invitations"))


@link_page
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def accept(request: HttpRequest, token: str) -> HttpResponse:
    """Where the mail of an invitation leads: GET asks, POST says yes. A sign-in of the person's own comes before."""
    person = _person(request)
    if request.method != "POST":
        membership = invitations.invited(person, token)
        if membership is not None and membership.accepted_at:  # the link did its work
            return HttpResponseRedirect(settings.LOGIN_REDIRECT_URL)
        return render(request, "welcome/accept.html", {"invitation": membership}, status=200 if membership else 404)
    membership = invitations.accept(person, token)
    if membership is None:
        return render(request, "welcome/accept.html", {"invitation": None}, status=404)
    messages.success(request, f"You belong to {membership.customer} now.")
    more = invitations.pending(person).exists()
    return HttpResponseRedirect(reverse("portal:invitations") if more else settings.LOGIN_REDIRECT_URL)


def _over(request: HttpRequest, again: str) -> HttpResponse:
    context = {"form": forms.Form() if again else None, "action": again}
    return render(request, "welcome/expired.html", context, status=410)


def _told(request: HttpRequest) -> HttpResponse:
    """After a link that was told to a program: the same words and page for everybody."""
    if request.user.is_authenticated:
        logout(request)
    messages.info(
        request,
        "If you had no password here yet, the one that you wrote is set: sign in with it. Otherwise sign in as before.",
    )
    return HttpResponseRedirect(reverse("account_login"))


def _whose(link: SignInLink) -> dict[str, Any]:
    provider = link.customer.provider if link.customer else None
    return {
        "customer": link.customer,
        "provider": provider,
        "look": branding.live(provider),
        "identity": identity.door_of(provider),
    }


def _next(request: HttpRequest, user: User) -> str:
    wanted = request.GET.get("next", "")
    safe = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure())
    return wanted if safe else doors.home(user)


def _person(request: HttpRequest) -> User:
    person = request.user
    assert isinstance(person, User)  # noqa: S101  # login_required let nobody else in
    return person
