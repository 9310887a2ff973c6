"""A person's own page: name, zone, password, second factor, sessions, e-mail, workspaces."""

from __future__ import annotations

from typing import Any, cast
from zoneinfo import available_timezones

from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.usersessions.models import UserSession
from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from console.models import User
from providers.models import Membership
from providers.scope import customers_of


def _zones() -> list[tuple[str, str]]:
    odd = ("Etc/", "posix", "right")
    names = sorted(name for name in available_timezones() if "/" in name and not name.startswith(odd))
    return [("", "As this browser"), ("UTC", "UTC"), *((name, name.replace("_", " ")) for name in names)]


class PersonForm(forms.ModelForm):  # type: ignore[type-arg]  # takes none at run time
    """What people say of themselves."""

    time_zone = forms.ChoiceField(
        choices=_zones, required=False, label="Time zone", help_text="Exact times are shown in this zone."
    )

    class Meta:
        model = User
        fields = ["first_name", "last_name", "time_zone"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["first_name"].widget.attrs["autocomplete"] = "given-name"
        self.fields["last_name"].widget.attrs["autocomplete"] = "family-name"


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def page(request: HttpRequest) -> HttpResponse:
    """GET shows it, POST saves name and zone."""
    person = cast(User, request.user)  # login_required
    form = PersonForm(request.POST or None, instance=person)
    if request.method == "POST" and form.is_valid():
        form.save()
        messages.success(request, "Saved.")
        return HttpResponseRedirect(reverse("portal:me"))
    context = {"form": form, **standing(request, person)}
    return render(request, "me/page.html", context, status=422 if form.is_bound else 200)


def standing(request: HttpRequest, person: User) -> dict[str, Any]:
    """How this person's sign-in stands: second factor, codes left, sessions, workspaces."""
    factors = {factor.type: factor for factor in Authenticator.objects.filter(user=person)}
    codes = factors.get(Authenticator.Type.RECOVERY_CODES)
    memberships = Membership.objects.filter(user=person, customer__in=customers_of(request))
    return {
        "totp": factors.get(Authenticator.Type.TOTP),
        "codes_left": len(RecoveryCodes(codes).get_unused_codes()) if codes else None,
        "sessions": len(UserSession.objects.purge_and_list(person)),
        "memberships": memberships.select_related("customer__provider").order_by("created_at"),
    }
