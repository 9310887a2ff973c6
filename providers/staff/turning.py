"""Enable and suspend a provider, with what that would do counted before; its limits; its calls of 2012."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from django import forms
from django.db.models import Q
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from unfold.widgets import UnfoldAdminIntegerFieldWidget

from console.lib.staff import StaffAdmin, action, who
from providers import enabling, legacy, quotas
from providers.models import Provider, ProviderKey

# What turning a provider on or off does, as sentences; accounts add theirs (accounts/admin.py).
EFFECTS: list[Callable[[Provider, bool], Iterator[str]]] = []


class LimitsForm(forms.Form):
    max_customers = forms.IntegerField(
        min_value=0, max_value=quotas.LARGEST, required=False, widget=UnfoldAdminIntegerFieldWidget,
        help_text="Empty: no limit. Closed customers do not count.",
    )  # fmt: skip
    max_servers = forms.IntegerField(
        min_value=0, max_value=quotas.LARGEST, required=False, widget=UnfoldAdminIntegerFieldWidget,
        help_text="Empty: no limit. At it, no account can be added; one that was not read yet counts as one server.",
    )  # fmt: skip
    max_agents = forms.IntegerField(
        min_value=0, max_value=quotas.LARGEST, required=False, widget=UnfoldAdminIntegerFieldWidget,
        help_text="Empty: no limit.",
    )  # fmt: skip
    calls_per_minute = forms.IntegerField(
        min_value=1, max_value=quotas.LARGEST, widget=UnfoldAdminIntegerFieldWidget,
        help_text="Of all its keys together.",
    )  # fmt: skip


class Turns(StaffAdmin):
    """What ProviderAdmin can besides."""

    @action(description="Enable", icon="check_circle")
    def enable(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def do(provider: Provider) -> str:
            enabling.enable(provider, who(request))
            return f"{provider} is enabled: its keys open the API."

        sentence = "Its keys open the API, and its customers' accounts are read."
        return self.deed(
            request, object_id, title="Enable", sentence=sentence, do=do, effects=lambda one: effects(one, on=True)
        )

    @action(description="Suspend", icon="block")
    def suspend(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def do(provider: Provider) -> str:
            enabling.suspend(provider, who(request))
            return f"{provider} is suspended: its keys get 403."

        sentence = "Its keys get 403 and nothing of it is read until you enable it again. Nothing is deleted."
        return self.deed(
            request,
            object_id,
            title="Suspend",
            sentence=sentence,
            do=do,
            danger=True,
            effects=lambda one: effects(one, on=False),
        )

    @action(description="Set limits", icon="speed")
    def set_limits(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def do(provider: Provider, given: dict[str, Any]) -> str:
            changed = quotas.put(provider, given, who(request))
            return f"The limits of {provider} are set." if changed else "Nothing was changed."

        return self.form_deed(
            request,
            object_id,
            title="Set limits",
            sentence="What is above a lowered limit stays. Customers, accounts and agents are added only where there "
            "is room; servers that an account turns out to have are all shown, however many.",
            form=lambda provider, data: LimitsForm(
                data, initial={name: getattr(provider, name) for name in quotas.FIELDS}
            ),
            do=do,
        )

    @action(description="2012 calls on, with a new secret", icon="history")
    def legacy_on(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def do(provider: Provider) -> HttpResponse:
            key, secret = legacy.turn_on(provider, who(request))
            once = "Copy both now: they are shown this once."
            told = [("sxapikey", key), ("The secret; sxsecretkey is its MD5 hex", secret)]
            return self.tell(request, provider, "The 2012 calls are on", once, told)

        sentence = "The calls under /scalex/acl/ work with a fresh key and secret; an older pair works no more."
        return self.deed(request, object_id, title="Turn the 2012 calls on", sentence=sentence, do=do)

    @action(description="2012 calls off", icon="history_toggle_off")
    def legacy_off(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def do(provider: Provider) -> str:
            legacy.turn_off(provider, who(request))
            return "The 2012 calls are off."

        sentence = "Programs of 2012 get errors from now on. The present API is not touched."
        return self.deed(request, object_id, title="Turn the 2012 calls off", sentence=sentence, do=do, danger=True)

    @action(description="Health", icon="monitor_heart")
    def health(self, request: HttpRequest, object_id: str) -> HttpResponse:
        provider = self.subject(request, object_id, "providers.view_provider")
        return HttpResponseRedirect(reverse("portal:provider-health", args=[provider.pk]))


def effects(provider: Provider, on: bool) -> list[str]:
    """What turning it so would do, counted now; the sandbox goes along."""
    if (provider.status == Provider.Status.ENABLED) == on:
        return [f"Nothing: {provider} is {provider.get_status_display().lower()} already."]
    return [words for count in (_ours, *EFFECTS) for words in count(provider, on)]


def number(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _ours(provider: Provider, on: bool) -> Iterator[str]:
    keys = ProviderKey.objects.filter(provider=provider, revoked_at__isnull=True)
    open_to = keys.filter(Q(expires_at=None) | Q(expires_at__gt=Now())).count()
    customers = quotas.customers(provider)
    hooks = provider.webhooks.filter(enabled=True).count()
    yield f"{number(customers, 'customer sees', 'customers see')} {'fresh servers' if on else 'what was read last'}"
    opened, shut = ("key opens", "keys open"), ("key gets", "keys get")
    yield f"{number(open_to, *(opened if on else shut))} {'the API' if on else '403'}"
    yield f"{number(hooks, 'webhook hears', 'webhooks hear')} {'of what is read' if on else 'of no new reading'}"
    if members := provider.members.filter(accepted_at__isnull=False).count():
        act, look = "acts on its own pages", "looks at its own pages, and changes nothing"
        acts, looks = "act on its own pages", "look at its own pages, and change nothing"
        yield number(members, *((f"member {act}", f"members {acts}") if on else (f"member {look}", f"members {looks}")))
    if hasattr(provider, "identity_server") and provider.identity_server.enabled:
        yield "Customers sign in by its identity server" if on else "Nobody signs in by its identity server"
    if provider.legacy_calls:
        yield "Its 2012 calls work" if on else "Its 2012 calls get errors"
    if Provider.objects.filter(sandbox_of=provider).exists():
        yield "Its sandbox goes along"
