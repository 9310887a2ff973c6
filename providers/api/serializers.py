"""What providers send about customers and what they are told."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from console.lib.api.strict import ExternalId, In
from providers.models import CloudEndpoint, Customer, Mail


class CustomerIn(In):
    email = serializers.EmailField(max_length=254, help_text="The contact address; the first mail goes there.")
    first_name = serializers.CharField(max_length=150)
    last_name = serializers.CharField(max_length=150)
    organization = serializers.CharField(max_length=200, allow_blank=True, help_text="Empty for a private person.")
    locale = serializers.RegexField(
        r"^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8})?$",
        max_length=12,
        required=False,
        error_messages={"invalid": "Write a language tag, such as en or de-AT."},
    )
    send_mail = serializers.BooleanField(default=True, help_text="false: no mail; POST …/resend-mail sends it later.")


class NewCustomerIn(CustomerIn):
    external_id = ExternalId(help_text="Your own id of the customer.")


class MailOut(serializers.ModelSerializer[Mail]):
    state = serializers.ChoiceField(choices=["queued", "sent", "delivered", "bounced", "failed"], source="delivery")
    reason = serializers.SerializerMethodField(help_text="How it went, in the mail server's own words.")

    class Meta:
        model = Mail
        fields = ("state", "reason", "queued_at", "ended_at")

    def get_reason(self, mail: Mail) -> str:
        return mail.told


class CustomerOut(serializers.ModelSerializer[Customer]):
    mail = serializers.SerializerMethodField(help_text="The last mail that was written; null: none.")

    class Meta:
        model = Customer
        fields = (
            "external_id",
            "email",
            "first_name",
            "last_name",
            "organization",
            "locale",
            "status",
            "created_at",
            "closed_at",
            "mail",
        )

    @extend_schema_field(MailOut(allow_null=True))
    def get_mail(self, customer: Customer) -> dict[str, Any] | None:
        found: list[Mail] | None = vars(customer).get("last_mails")  # of `with_last_mail`, where many are told
        last = customer.mails.order_by("-queued_at", "-id").first() if found is None else next(iter(found), None)
        return dict(MailOut(last).data) if last else None


class HandOffIn(In):
    return_to = serializers.CharField(
        max_length=500,
        required=False,
        allow_blank=True,
        help_text="A path of the console's: /servers/, /servers/{id}/, /accounts/, /activity/ …, with its query.",
    )


class HandOffOut(serializers.Serializer[Any]):
    url = serializers.URLField(help_text="Send the browser there. It is told this once.")
    expires_at = serializers.DateTimeField()


class EndpointOut(serializers.ModelSerializer[CloudEndpoint]):
    class Meta:
        model = CloudEndpoint
        fields = ("slug", "name", "platform", "url", "version", "version_found", "region", "enabled")
