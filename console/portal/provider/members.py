"""Who works at the provider: list, invite, another role, remove."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from console.lib.denials import Denied, Wrong
from console.portal.provider.scope import Seat, confirm, done, page, show
from providers import members
from providers.models import ProviderMember


class MemberForm(forms.Form):
    """Whom to invite, and as what."""

    email = forms.CharField(label="E-mail", max_length=254, widget=forms.EmailInput({"autocomplete": "off"}))
    role = forms.ChoiceField(
        choices=ProviderMember.Role.choices,
        initial=ProviderMember.Role.VIEWER,
        help_text="Administrators act; viewers look.",
    )


@page("GET HEAD POST", only="live")
def listing(request: HttpRequest, seat: Seat) -> HttpResponse:
    """GET lists, POST invites."""
    form: Any = MemberForm(request.POST if request.method == "POST" else None)
    if form.is_valid():
        try:
            member = members.add(seat.provider, form.cleaned_data["email"], form.cleaned_data["role"], seat.actor)
        except Wrong as wrong:
            for name, said in wrong.fields.items():
                form.add_error(name, said)
        except Denied as denied:
            form.add_error("email", denied.words)
        else:
            messages.success(request, f"An invitation to {member.user} is on its way.")
            return HttpResponseRedirect(_back(seat))
    rows = seat.provider.members.select_related("user").order_by("created_at", "pk")
    return show(request, seat, "provider/members.html", "members", status=422 if form.is_bound else 200, form=form,
                members=list(rows), roles=ProviderMember.Role.choices)  # fmt: skip


@page("POST", only="live")
def role(request: HttpRequest, seat: Seat, pk: UUID) -> HttpResponse:
    """Another role."""
    member, wanted = _member(seat, pk), request.POST.get("role", "")
    words = f"{member.user} is {'an administrator' if wanted == 'admin' else 'a viewer'} now."
    return done(request, _back(seat), words, lambda: members.change_role(member, wanted, seat.actor))


@page("POST", only="live")
def again(request: HttpRequest, seat: Seat, pk: UUID) -> HttpResponse:
    """The invitation once more."""
    member = _member(seat, pk)
    said = f"A new invitation to {member.user} is on its way."
    return done(request, _back(seat), said, lambda: members.invite_again(member, seat.actor))


@page("GET HEAD POST", admin=True, only="live")
def remove(request: HttpRequest, seat: Seat, pk: UUID) -> HttpResponse:
    """GET asks, POST removes."""
    member = _member(seat, pk)
    if request.method == "POST":
        # Who leaves by themselves cannot come back here.
        back = _back(seat) if member.user_id != seat.user.pk else reverse("portal:me")
        said = f"{member.user} does not belong to {seat.provider} any more."
        return done(request, back, said, lambda: members.remove(member, seat.actor))
    target = {"name": str(member.user), "detail": member.get_role_display()}
    return confirm(request, seat, "members", heading="Remove this person", targets=[target], danger=True,
                   sentence=f"These pages of {seat.provider} are closed to the person at once. What the person did "
                            "stays in the audit log.",
                   action_label="Remove person", back=_back(seat))  # fmt: skip


def _member(seat: Seat, pk: UUID) -> ProviderMember:
    found = seat.provider.members.filter(pk=pk).select_related("user", "provider").first()
    if found is None:
        raise Http404("No such member.")
    return found


def _back(seat: Seat) -> str:
    return reverse("provider:members", args=[seat.slug])
