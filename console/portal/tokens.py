"""A person's tokens for the customer API: issue one (shown this once), see them, revoke one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from console.lib import audit
from console.lib.denials import Denied, Wrong
from console.lib.pages import person, signed_in
from providers import tokens
from providers.models import ApiToken
from providers.scope import customers_of

LIVES = [("7", "a week"), ("30", "30 days"), ("90", "90 days"), ("365", "a year")]


class TokenForm(forms.Form):
    """What will use it, where, for what, and how long."""

    name = forms.CharField(
        max_length=80,
        help_text="What will use it, such as Nightly restart.",
        widget=forms.TextInput({"autocomplete": "off"}),
    )
    workspace = forms.ChoiceField(choices=[])
    scopes = forms.MultipleChoiceField(
        label="It may",
        choices=list(tokens.SCOPES.items()),
        widget=forms.CheckboxSelectMultiple,
        initial=["servers:read"],
    )
    days = forms.ChoiceField(label="It lives for", choices=LIVES, initial="90")

    def __init__(self, data: Any, request: HttpRequest) -> None:
        super().__init__(data)
        self.customers = {str(one.pk): one for one in customers_of(request)}
        listed = [(pk, str(customer)) for pk, customer in self.customers.items()]
        self.fields["workspace"] = forms.ChoiceField(label="Workspace", choices=listed)

    def issue(self, request: HttpRequest) -> tuple[ApiToken, str]:
        given = self.cleaned_data
        return tokens.issue(
            self.customers[given["workspace"]], by=person(request), name=given["name"], scopes=given["scopes"],
            expires_at=timezone.now() + timedelta(days=int(given["days"])),
        )  # fmt: skip


@signed_in
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def page(request: HttpRequest) -> HttpResponse:
    """GET lists, POST issues one and shows its text."""
    form = TokenForm(request.POST or None, request)
    issued, text = None, ""
    if request.method == "POST" and form.is_valid():
        try:
            issued, text = form.issue(request)
        except Wrong as wrong:
            for name, said in wrong.fields.items():
                form.add_error(name if name in form.fields else None, said)
        except Denied as denial:
            form.add_error(None, denial.words)
    context = {
        "tokens": _mine(request)[:200],
        "form": form if form.customers and not text else None,
        "issued": issued,
        "text": text,
        "now": timezone.now(),
    }
    return render(request, "me/tokens.html", context, status=422 if form.errors else 200)


@signed_in
@require_http_methods(["GET", "HEAD", "POST"])
def revoke(request: HttpRequest, pk: UUID) -> HttpResponse:
    """GET asks, POST revokes."""
    token = get_object_or_404(_mine(request), pk=pk)
    back = reverse("portal:tokens")
    if request.method == "POST":
        tokens.revoke(token, audit.Actor.of(person(request)))
        return HttpResponseRedirect(back)
    context = {
        "heading": "Revoke this token",
        "sentence": "From now on it opens nothing. Whatever uses it gets an error that says so.",
        "targets": [{"name": token.name, "detail": str(token)}],
        "action_label": "Revoke token",
        "danger": True,
        "back": back,
    }
    return render(request, "confirm.html", context)


def _mine(request: HttpRequest) -> Any:
    """This person's own tokens, at the customers that this sign-in may see."""
    return ApiToken.objects.filter(user=person(request), customer__in=customers_of(request)).select_related("customer")
