"""Staff pages of providers: enable them, issue keys, register endpoints; look at customers and mail."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.db.models import Count, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone

from console.lib.pages import person
from console.lib.staff import TONES, ReadOnlyAdmin, ReadOnlyInline, StaffAdmin, action, display, toned, who
from providers import customers, endpoints, members, quotas, tokens
from providers.models import (
    ApiToken,
    CloudEndpoint,
    Customer,
    Mail,
    Membership,
    Provider,
)
from providers.staff import calls as calls  # it registers its page, as the others do
from providers.staff import webhooks as webhooks
from providers.staff import wordings as wordings
from providers.staff.acting import Acts
from providers.staff.identity import Identifies
from providers.staff.keys import Issues, KeyInline
from providers.staff.members import Invites
from providers.staff.members import MemberInline as ProviderMemberInline
from providers.staff.turning import Turns


class EndpointInline(ReadOnlyInline):
    model = CloudEndpoint
    fields = ("slug", "platform", "url", "version_found", "enabled")


@admin.register(Provider)
class ProviderAdmin(Turns, Issues, Invites, Identifies):
    list_display = ("name", "slug", "state", "customer_count", "endpoint_count", "created_at")
    list_filter = ("status",)
    search_fields = ("name", "slug")
    readonly_fields = ("status", "created_at", *quotas.FIELDS)  # limits are set by a deed
    fields = (
        "name",
        "slug",
        "status",
        "support_url",
        "contact_email",
        "webhook_networks",
        "created_at",
        *quotas.FIELDS,
    )
    prepopulated_fields: ClassVar = {"slug": ("name",)}
    inlines = (KeyInline, EndpointInline, ProviderMemberInline)
    actions_detail: ClassVar[list[Any]] = [
        "health",
        "enable",
        "suspend",
        {
            "title": "More",
            "items": ["set_limits", "issue_key", "invite", "set_identity", "legacy_on", "legacy_off", "open_pages"],
        },
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Provider]:
        rows: QuerySet[Provider] = super().get_queryset(request)
        return rows.annotate(
            customer_total=Count("customers", distinct=True, filter=~Q(customers__status="closed")),
            endpoint_total=Count("endpoints", distinct=True),
        )

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @display(description="Status", label=TONES, ordering="status")
    def state(self, provider: Provider) -> tuple[str, str]:
        return toned(Provider.Status(provider.status))

    @display(description="Customers", ordering="customer_total")
    def customer_count(self, provider: Any) -> int:
        return int(provider.customer_total)

    @display(description="Endpoints", ordering="endpoint_total")
    def endpoint_count(self, provider: Any) -> int:
        return int(provider.endpoint_total)

    @action(description="Open its pages", icon="open_in_new")
    def open_pages(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """To the provider's own pages, for staff who work there too."""
        provider = self.get_object(request, object_id)
        if provider is None:
            raise Http404
        if members.of(person(request)).filter(provider=provider).exists():
            return HttpResponseRedirect(reverse("provider:overview", args=[provider.slug]))
        messages.info(request, f"Only people who work at {provider} see its pages. Its administrators invite them.")
        return HttpResponseRedirect(reverse("admin:providers_provider_change", args=[provider.pk]))


@admin.register(ApiToken)
class ApiTokenAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "name", "user", "customer", "state", "scope_words", "last_used_at", "expires_at")
    list_filter = (("revoked_at", admin.EmptyFieldListFilter), ("customer__provider", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("user", "customer")
    search_fields = ("name", "prefix", "user__email", "customer__organization", "customer__external_id")
    actions_detail = ("revoke",)

    @display(description="State", label=TONES)
    def state(self, token: ApiToken) -> tuple[str, str]:
        if token.revoked_at:
            return "stopped", "Revoked"
        return ("attention", "Expired") if token.expires_at <= timezone.now() else ("running", "Live")

    @display(description="Scopes")
    def scope_words(self, token: ApiToken) -> str:
        return ", ".join(token.scopes)

    @action(description="Revoke", icon="block")
    def revoke(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def do(token: ApiToken) -> str:
            tokens.revoke(token, who(request))
            return f"{token} is revoked."

        sentence = "From now on the token opens nothing. Whatever uses it gets an error that says so."
        return self.deed(request, object_id, title="Revoke", sentence=sentence, do=do, danger=True)


class EndpointForm(forms.ModelForm):  # type: ignore[type-arg]
    """What the command checks is checked here too."""

    def clean(self) -> dict[str, Any]:
        told: dict[str, Any] = super().clean() or {}
        wrong = endpoints.faults(
            url=told.get("url", "https://given.wrong.example"),
            allow_http=bool(told.get("allow_http")),
            networks=told.get("networks") or [],
            ca=told.get("ca") or "",
        )
        for field, words in wrong.items():
            self.add_error(field, words)
        return told


@admin.register(CloudEndpoint)
class CloudEndpointAdmin(StaffAdmin):
    form = EndpointForm
    list_display = ("__str__", "provider", "platform", "url", "version_found", "enabled")
    list_filter = ("platform", "provider", "enabled")
    list_select_related = ("provider",)
    search_fields = ("name", "slug", "url", "provider__name")
    readonly_fields = ("version_found", "created_at")
    fields = (
        "provider",
        "slug",
        "name",
        "platform",
        "url",
        "version",
        "version_found",
        "region",
        "networks",
        "allow_http",
        "old_tls",
        "ca",
        "enabled",
        "created_at",
    )

    def has_delete_permission(self, request: HttpRequest, obj: CloudEndpoint | None = None) -> bool:
        """One that accounts use is turned off, not deleted."""
        free = obj is None or not obj.accounts.exists()
        return free and bool(super().has_delete_permission(request, obj))


class MemberInline(ReadOnlyInline):
    model = Membership
    ordering = ("created_at",)
    fields = ("user", "role", "created_at", "accepted_at")
    verbose_name_plural = "People"


class MailInline(ReadOnlyInline):
    model = Mail
    fields = ("kind", "to", "state", "outcome", "attempts", "queued_at", "ended_at")


@admin.register(Customer)
class CustomerAdmin(Acts, ReadOnlyAdmin):
    list_display = ("__str__", "email", "provider", "external_id", "state", "last_mail", "created_at")
    list_filter = ("status", "provider")
    list_select_related = ("provider",)
    search_fields = ("organization", "email", "external_id", "first_name", "last_name")
    inlines: ClassVar[tuple[Any, ...]] = (MemberInline, MailInline)  # accounts/admin.py adds theirs
    actions_detail = ("act_for", "suspend", "resume", "resend_mail", "close")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Customer]:
        rows: QuerySet[Customer] = Customer.objects.with_last_mail()
        return rows

    @display(description="Status", label=TONES, ordering="status")
    def state(self, customer: Customer) -> tuple[str, str]:
        return toned(Customer.Status(customer.status))

    @display(description="Last mail", label=TONES)
    def last_mail(self, customer: Any) -> tuple[str, str]:
        for mail in customer.last_mails:
            return mail.tone, mail.delivery.capitalize()
        return "stopped", "None"

    @action(description="Suspend", icon="pause")
    def suspend(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def do(customer: Customer) -> str:
            customers.suspend(customer, who(request))
            return f"{customer} is suspended."

        sentence = "Its people can look and do nothing; nothing is read and no work runs until you resume it."
        return self.deed(request, object_id, title="Suspend", sentence=sentence, do=do)

    @action(description="Resume", icon="play_arrow")
    def resume(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def do(customer: Customer) -> str:
            customers.resume(customer, who(request))
            return f"{customer} is active again."

        return self.deed(request, object_id, title="Resume", sentence="Everything goes on as before.", do=do)

    @action(description="Send the mail again", icon="mail")
    def resend_mail(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def do(customer: Customer) -> str:
            return f"A mail to {customers.resend_mail(customer, who(request)).to} is on its way."

        sentence = "The welcome or invitation goes out again, with a fresh link."
        return self.deed(request, object_id, title="Send the mail again", sentence=sentence, do=do)

    @action(description="Close", icon="delete")
    def close(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def do(customer: Customer) -> str:
            customers.close(customer, who(request))
            return f"{customer} is closed, its cloud credentials are wiped."

        sentence = "Nobody gets in any more, and its cloud credentials are wiped at once. Its provider can reopen it."
        return self.deed(request, object_id, title="Close", sentence=sentence, do=do, danger=True)


@admin.register(Mail)
class MailAdmin(ReadOnlyAdmin):
    list_display = ("to", "kind", "progress", "outcome", "customer", "attempts", "queued_at")
    list_filter = ("state", "kind")
    list_select_related = ("customer",)
    search_fields = ("to", "customer__organization", "customer__external_id")
    hidden = ("worker", "leased_until")
    actions_detail = ("resend",)

    @display(description="State", label=TONES, ordering="state")
    def progress(self, mail: Mail) -> tuple[str, str]:
        return mail.tone, mail.delivery.capitalize()

    @action(description="Send again", icon="mail")
    def resend(self, request: HttpRequest, object_id: str) -> HttpResponse:
        def do(mail: Mail) -> str:
            if mail.customer is None:
                return "This mail belongs to no customer; it is not sent again."
            return f"A mail to {customers.resend_mail(mail.customer, who(request)).to} is on its way."

        sentence = "The customer's welcome or invitation goes out again, with a fresh link."
        return self.deed(request, object_id, title="Send again", sentence=sentence, do=do)
