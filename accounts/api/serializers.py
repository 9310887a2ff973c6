"""What providers send about cloud accounts and what they are told. Credentials go in and never come out."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers

from accounts.models import CloudAccount, CredentialPush
from console.lib.api.strict import ExternalId, In


class AccountIn(In):
    endpoint = serializers.CharField(max_length=60, help_text="The slug of one of GET endpoints.")
    name = serializers.CharField(max_length=200, help_text="How people know the account.")
    version = serializers.IntegerField(
        min_value=1, max_value=2**63 - 1, help_text="Of the credentials; only grows, such as a counter or Unix time."
    )
    credentials = serializers.DictField(
        child=serializers.CharField(max_length=10_000, trim_whitespace=False),
        write_only=True,
        allow_empty=False,
        help_text="Never told again. openstack: {username, password, project, user_domain?, project_domain?} or "
        "{application_credential_id, application_credential_secret}; cloudstack: {api_key, secret_key}; "
        "vcloud: {username, org, password} or {api_token, org}.",
    )


class NamedAccountIn(AccountIn):
    account_id = ExternalId()


UNREAD = "Servers that the last reading listed without all that it takes to show them; they stand as they were before."


class AccountOut(serializers.ModelSerializer[CloudAccount]):
    account_id = serializers.CharField(source="external_id")
    endpoint = serializers.CharField(source="endpoint.slug")
    platform = serializers.CharField(source="endpoint.platform")
    pending_version = serializers.SerializerMethodField(
        help_text="Of credentials that were pushed and have not passed yet; null: none."
    )

    class Meta:
        model = CloudAccount
        fields = (
            "account_id",
            "name",
            "endpoint",
            "platform",
            "status",
            "status_reason",
            "credentials_version",
            "pending_version",
            "verified_at",
            "last_sync_at",
            "server_count",
            "unread_count",
            "created_at",
        )
        extra_kwargs = {"unread_count": {"help_text": UNREAD}}

    def get_pending_version(self, account: CloudAccount) -> int | None:
        return account.pending_version or None


ASKED = OpenApiExample(
    "OpenStack, with a password",
    {
        "endpoint": "nova",
        "name": "Engines at Acme",
        "version": 1,
        "credentials": {"username": "engines", "password": "…", "project": "engines"},
    },
    request_only=True,
)
TOLD = OpenApiExample(
    "Verified",
    {
        "account_id": "main",
        "name": "Engines at Acme",
        "endpoint": "nova",
        "platform": "openstack",
        "status": "ok",
        "status_reason": "",
        "credentials_version": 1,
        "pending_version": None,
        "verified_at": "2025-01-07T09:31:00Z",
        "last_sync_at": "2025-01-07T09:31:02Z",
        "server_count": 12,
        "unread_count": 0,
        "created_at": "2025-01-07T09:30:40Z",
    },
    response_only=True,
    status_codes=["200", "202"],
)


class PushOut(serializers.ModelSerializer[CredentialPush]):
    """One push of credentials: never what was in it."""

    pushed_by = serializers.CharField(source="actor_name", help_text="Which key pushed it.")
    pushed_at = serializers.DateTimeField(source="at")

    class Meta:
        model = CredentialPush
        fields = ("version", "pushed_by", "pushed_at", "outcome", "reason", "ended_at")


PUSHED = OpenApiExample(
    "It passed",
    {
        "version": 1,
        "pushed_by": "north mst_live_3q27wab…",
        "pushed_at": "2025-01-07T09:30:40Z",
        "outcome": "passed",
        "reason": "",
        "ended_at": "2025-01-07T09:31:00Z",
    },
    response_only=True,
)
