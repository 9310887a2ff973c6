"""What providers are told about servers."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from console.lib.api.strict import In
from servers.agents.models import Agent
from servers.models import Server
from servers.presence import Presence


class AddressOut(serializers.Serializer[Any]):
    ip = serializers.CharField()
    version = serializers.IntegerField()
    kind = serializers.CharField(help_text="fixed, floating or empty")
    network = serializers.CharField()
    mac = serializers.CharField()


class AgentOut(serializers.ModelSerializer[Agent]):
    packages = serializers.IntegerField(
        source="facts.packages", default=None, allow_null=True, help_text="How many are installed; null: not told."
    )
    reboot_needed = serializers.BooleanField(
        source="facts.reboot_needed", default=None, allow_null=True, help_text="null: not told."
    )

    class Meta:
        model = Agent
        fields = (
            "version",
            "enrolled_at",
            "last_seen_at",
            "load1",
            "cpu_percent",
            "memory_used",
            "memory_total",
            "disk_used",
            "disk_total",
            "packages",
            "reboot_needed",
        )


class ServerOut(serializers.ModelSerializer[Server]):
    account_id = serializers.CharField(source="account.external_id")
    addresses = AddressOut(many=True)
    agent_state = serializers.ChoiceField(
        choices=Presence.choices,
        source="presence",
        help_text="managed: it reports. offline: it did, and the server runs. off: it did, and its server is stopped, "
        "or an action works on it. pending: an install is under way. missing: none.",
    )
    agent = serializers.SerializerMethodField(help_text="The live agent and its last sample, in bytes; null: none.")

    class Meta:
        model = Server
        fields = (
            "id",
            "external_id",
            "account_id",
            "name",
            "state",
            "raw_state",
            "addresses",
            "size",
            "cpus",
            "memory_mb",
            "disk_gb",
            "image",
            "region",
            "cloud_created_at",
            "first_seen_at",
            "changed_at",
            "missing_since",
            "agent_state",
            "agent",
        )

    @extend_schema_field(AgentOut(allow_null=True))
    def get_agent(self, server: Server) -> dict[str, Any] | None:
        agent = getattr(server, "agent", None)
        return dict(AgentOut(agent).data) if agent else None


class JoinTokenIn(In):
    server_external_id = serializers.CharField(
        max_length=255, required=False, help_text="The cloud's id of the server; left out: the host says which it is."
    )


class JoinTokenOut(serializers.Serializer[Any]):
    token = serializers.CharField(help_text="Shown once; good once.")
    expires_at = serializers.DateTimeField()
    url = serializers.SerializerMethodField(help_text="Where the agent enrols.")

    def get_url(self, _: Any) -> str:
        return str(settings.PUBLIC_URL)
