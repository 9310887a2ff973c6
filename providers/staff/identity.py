"""Identity servers of providers: set one, turn it on and off, remove it. Its secret is written and never shown."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from unfold.widgets import (
    UnfoldAdminPasswordWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from console.lib.staff import TONES, ReadOnlyAdmin, StaffAdmin, action, display, who
from providers import identity
from providers.models import IdentityServer, Provider

RIGHT = "providers.change_identityserver"


class IdentityForm(forms.Form):
    issuer = forms.URLField(
        max_length=300,
        assume_scheme="https",
        widget=UnfoldAdminTextInputWidget,
        help_text="As its own description writes it, such as https://login.example.com/realms/customers.",
    )
    client_id = forms.CharField(max_length=200, widget=UnfoldAdminTextInputWidget)
    secret = forms.CharField(
        required=False,
        max_length=500,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text="Empty: as it is.",
    )
    no_secret = forms.BooleanField(
        required=False, widget=UnfoldBooleanSwitchWidget, help_text="A public client: PKCE alone proves it."
    )
    customer_claim = forms.CharField(
        max_length=60,
        initial="sub",
        widget=UnfoldAdminTextInputWidget,
        help_text="The claim that holds the provider's own id of the customer.",
    )


class Identifies(StaffAdmin):
    """What ProviderAdmin can besides."""

    @action(description="Set the identity server", icon="passkey")
    def set_identity(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def do(provider: Provider, given: dict[str, Any]) -> HttpResponse:
            secret = "" if given["no_secret"] else given["secret"] or None
            server = identity.put(
                provider, given["issuer"], given["client_id"], secret, given["customer_claim"], who(request)
            )
            return HttpResponseRedirect(reverse("admin:providers_identityserver_change", args=[server.pk]))

        slug = self.subject(request, object_id, RIGHT).slug
        return self.form_deed(
            request,
            object_id,
            title="Set the identity server",
            sentence="It is asked at once whether it fits. At another issuer it is off until you enable it, and nobody "
            "known by the old one is known by the new one. Register there, as the address to come back to: "
            f"{settings.PUBLIC_URL}{reverse('portal:came-back', args=[slug])}",
            form=lambda provider, data: IdentityForm(data, initial=_now(provider)),
            do=do,
            right=RIGHT,
        )


@admin.register(IdentityServer)
class IdentityServerAdmin(ReadOnlyAdmin):
    list_display = ("provider", "issuer", "state", "customer_claim", "created_at")
    list_filter = ("enabled",)
    list_select_related = ("provider",)
    search_fields = ("issuer", "provider__name")
    actions_detail = ("enable", "disable", "remove")

    @display(description="State", label=TONES)
    def state(self, server: IdentityServer) -> tuple[str, str]:
        return ("running", "On") if server.enabled else ("stopped", "Off")

    @action(description="Enable", icon="toggle_on")
    def enable(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def do(server: IdentityServer) -> str:
            identity.enable(server, who(request))
            return f"Customers of {server.provider} sign in at {settings.PUBLIC_URL}{_door(server)}."

        sentence = "Customers of this provider may sign in by it, each to its own servers at this provider."
        return self.deed(request, object_id, title="Enable", sentence=sentence, do=do)

    @action(description="Disable", icon="toggle_off")
    def disable(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def do(server: IdentityServer) -> str:
            identity.disable(server, who(request))
            return "Nobody signs in by it now. Who is in stays in."

        sentence = "Customers sign in by their passwords and by links until it is on again."
        return self.deed(request, object_id, title="Disable", sentence=sentence, do=do, danger=True)

    @action(description="Remove", icon="delete")
    def remove(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def do(server: IdentityServer) -> HttpResponse:
            identity.remove(server, who(request))
            return HttpResponseRedirect(reverse("admin:providers_provider_change", args=[server.provider_id]))

        sentence = "It goes with all identities that it vouched for; people and customers stay."
        return self.deed(request, object_id, title="Remove", sentence=sentence, do=do, danger=True)


def _door(server: IdentityServer) -> str:
    return reverse("portal:enter-at", args=[server.provider.slug])


def _now(provider: Provider) -> dict[str, str]:
    server = IdentityServer.objects.filter(provider=provider).first()
    if server is None:
        return {}
    return {"issuer": server.issuer, "client_id": server.client_id, "customer_claim": server.customer_claim}
