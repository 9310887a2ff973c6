"""Who works at providers: invite, mail again, change the role, remove."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from unfold.widgets import UnfoldAdminEmailInputWidget, UnfoldAdminSelectWidget

from console.lib.staff import TONES, ReadOnlyAdmin, ReadOnlyInline, StaffAdmin, action, display, who
from providers import members
from providers.models import Provider, ProviderMember


class RoleForm(forms.Form):
    role = forms.ChoiceField(choices=ProviderMember.Role.choices, widget=UnfoldAdminSelectWidget)


class InviteForm(RoleForm):
    email = forms.EmailField(max_length=254, widget=UnfoldAdminEmailInputWidget)
    field_order = ("email", "role")


class MemberInline(ReadOnlyInline):
    model = ProviderMember
    ordering = ("created_at",)
    fields = ("user", "role", "created_at", "accepted_at")
    verbose_name_plural = "Members"


class Invites(StaffAdmin):
    """What ProviderAdmin can besides."""

    @action(description="Invite a member", icon="person_add")
    def invite(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def do(provider: Provider, given: dict[str, Any]) -> str:
            members.add(provider, given["email"], given["role"], who(request))
            return f"An invitation to {given['email']} is on its way."

        return self.form_deed(
            request,
            object_id,
            title="Invite a member",
            sentence="The person says yes by the link in the mail; before that it opens nothing.",
            form=lambda provider, data: InviteForm(data, initial={"role": ProviderMember.Role.ADMIN}),
            do=do,
        )


@admin.register(ProviderMember)
class ProviderMemberAdmin(ReadOnlyAdmin):
    list_display = ("user", "provider", "role", "state", "created_at", "accepted_at")
    list_filter = ("role", "provider")
    list_select_related = ("user", "provider")
    search_fields = ("user__email", "provider__name")
    actions_detail = ("change_role", "mail_again", "remove")

    @display(description="State", label=TONES)
    def state(self, member: ProviderMember) -> tuple[str, str]:
        return ("running", "Member") if member.accepted_at else ("attention", "Invited")

    @action(description="Change the role", icon="badge")
    def change_role(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def do(member: ProviderMember, given: dict[str, Any]) -> str:
            held = members.change_role(member, given["role"], who(request))
            return f"{held.user} is {held.get_role_display().lower()} now."

        return self.form_deed(
            request,
            object_id,
            title="Change the role",
            sentence="Administrators act, viewers look.",
            form=lambda member, data: RoleForm(data, initial={"role": member.role}),
            do=do,
        )

    @action(description="Mail again", icon="mail")
    def mail_again(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def do(member: ProviderMember) -> str:
            members.invite_again(member, who(request))
            return f"A mail to {member.user} is on its way."

        sentence = "The invitation goes out again, with a fresh link."
        return self.deed(request, object_id, title="Mail again", sentence=sentence, do=do)

    @action(description="Remove", icon="person_remove")
    def remove(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def do(member: ProviderMember) -> HttpResponse:
            members.remove(member, who(request))
            return HttpResponseRedirect(reverse("admin:providers_provider_change", args=[member.provider_id]))

        sentence = "The provider's pages are closed to this person. An invitation that is open ends."
        return self.deed(request, object_id, title="Remove", sentence=sentence, do=do, danger=True)
