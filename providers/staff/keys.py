"""API keys of providers: issue, rotate, revoke. The text of a key is shown once."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSplitDateTimeWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from console.lib.denials import Wrong
from console.lib.staff import TONES, ReadOnlyAdmin, ReadOnlyInline, StaffAdmin, action, display, who
from providers import keys
from providers.models import Provider, ProviderKey

ONCE = "Copy it now: it is shown this once, and only a hash of it is kept."


class KeyForm(forms.Form):
    name = forms.CharField(
        max_length=80, required=False, widget=UnfoldAdminTextInputWidget, help_text="What it is for, such as billing."
    )
    scopes = forms.MultipleChoiceField(
        choices=list(keys.SCOPES.items()),
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="None ticked: all.",
    )
    sandbox = forms.BooleanField(required=False, widget=UnfoldBooleanSwitchWidget, help_text="For trials: mst_test_….")
    allowed_networks = forms.CharField(
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="Addresses and networks it may be used from, separated by commas. Empty: anywhere.",
    )
    expires_at = forms.SplitDateTimeField(
        required=False, widget=UnfoldAdminSplitDateTimeWidget, help_text="Empty: never."
    )

    def clean_allowed_networks(self) -> list[str]:
        try:
            return keys.networks(self.cleaned_data["allowed_networks"].split(","))
        except Wrong as wrong:
            raise forms.ValidationError(wrong.fields["allowed_networks"]) from wrong


class RotateForm(forms.Form):
    days = forms.IntegerField(
        min_value=0,
        max_value=keys.LONGEST_OVERLAP.days,
        initial=keys.OVERLAP.days,
        widget=UnfoldAdminIntegerFieldWidget,
        help_text="For so long the older key works beside the new one. 0: it ends now.",
    )


class KeyInline(ReadOnlyInline):
    model = ProviderKey
    fields = ("__str__", "name", "scopes", "allowed_networks", "expires_at", "revoked_at", "last_used_at")


class Issues(StaffAdmin):
    """What ProviderAdmin can besides."""

    @action(description="Issue a key", icon="key")
    def issue_key(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def do(provider: Provider, given: dict[str, Any]) -> HttpResponse:
            _, text = keys.issue(provider, actor=who(request), **given)
            return self.tell(request, provider, f"A key for {provider}", ONCE, [("The key", text)])

        return self.form_deed(
            request,
            object_id,
            title="Issue a key",
            sentence="It acts for the provider at the API, as far as its scopes go.",
            form=lambda provider, data: KeyForm(data),
            do=do,
            right="providers.add_providerkey",
        )


@admin.register(ProviderKey)
class ProviderKeyAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "name", "provider", "state", "scope_words", "last_used_at", "expires_at")
    list_filter = ("provider", "sandbox")
    list_select_related = ("provider",)
    search_fields = ("name", "prefix", "provider__name")
    actions_detail = ("rotate", "revoke")

    @display(description="State", label=TONES)
    def state(self, key: ProviderKey) -> tuple[str, str]:
        if key.revoked_at:
            return "stopped", "Revoked"
        if key.expires_at and key.expires_at <= timezone.now():
            return "attention", "Expired"
        return "running", "Live"

    @display(description="Scopes")
    def scope_words(self, key: ProviderKey) -> str:
        return ", ".join(key.scopes) or "all"

    @action(description="Rotate", icon="autorenew")
    def rotate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def do(key: ProviderKey, given: dict[str, Any]) -> HttpResponse:
            made, text = keys.rotate(key, who(request), timedelta(days=given["days"]))
            return self.tell(request, made, f"The key after {key}", ONCE, [("The key", text)])

        return self.form_deed(
            request,
            object_id,
            title="Rotate",
            sentence="A new key that can do the same; both work until the older one's days are over.",
            form=lambda key, data: RotateForm(data),
            do=do,
        )

    @action(description="Revoke", icon="block")
    def revoke(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def do(key: ProviderKey) -> str:
            keys.revoke(key, who(request))
            return f"{key} is revoked."

        sentence = "From now on the key opens nothing. This cannot be undone; issue another one instead."
        return self.deed(request, object_id, title="Revoke", sentence=sentence, do=do, danger=True)
