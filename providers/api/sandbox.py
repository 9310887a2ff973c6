"""The provider API's calls about its sandbox; test keys only."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from providers import kept, platforms, sandbox, simulated
from providers.api.base import ProviderView
from providers.models import Mail


class SandboxView(ProviderView):
    """A call that acts on made-up things, and so is refused to a live key."""

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if not self.key.sandbox:
            raise PermissionDenied(
                "This call is for test keys (mst_test_…); this key acts on your live customers. "
                "Ask staff for a sandbox key.",
                "sandbox_only",
            )


class LoginOut(serializers.Serializer[Any]):
    credentials = serializers.DictField(child=serializers.CharField(), help_text="Push these.")
    status = serializers.CharField(help_text="The status of the account that comes of it.")
    words = serializers.CharField()


class SimulatedCloudOut(serializers.Serializer[Any]):
    endpoint = serializers.CharField(source="slug", help_text="Name it when you push credentials.")
    platform = serializers.ChoiceField(choices=list(platforms.choices()))
    logins = LoginOut(many=True)


class SandboxOut(serializers.Serializer[Any]):
    provider = serializers.CharField(help_text="The name of the sandbox.")
    running = serializers.BooleanField(help_text="false: the simulated clouds are not there. Ask the console's staff.")
    clouds = SimulatedCloudOut(many=True)
    most_customers = serializers.IntegerField(allow_null=True, help_text="More it does not hold; null: no limit.")
    refusing_domain = serializers.CharField(help_text="Mail to addresses there fails, so that you can see that too.")


class KeptMailOut(serializers.Serializer[Any]):
    to = serializers.CharField()
    kind = serializers.ChoiceField(choices=Mail.Kind.choices)
    customer = serializers.CharField(help_text="Your id of the customer; empty: it is about none.")
    subject = serializers.CharField()
    text = serializers.CharField()
    link = serializers.CharField(help_text="Where the mail leads; empty: nowhere.")
    kept_at = serializers.DateTimeField(allow_null=True)


class KeptMailsOut(serializers.Serializer[Any]):
    results = KeptMailOut(many=True)


class ResetOut(serializers.Serializer[Any]):
    """How many went."""

    customers = serializers.IntegerField()
    accounts = serializers.IntegerField()
    servers = serializers.IntegerField()
    agents = serializers.IntegerField()
    mails = serializers.IntegerField()
    events = serializers.IntegerField()
    deliveries = serializers.IntegerField()


_PASSES = simulated.CLOUDS[0].logins[0]
THERE = OpenApiExample(
    "A sandbox",
    {
        "provider": "North Cloud (sandbox)",
        "running": True,
        "clouds": [
            {
                "endpoint": "openstack",
                "platform": "openstack",
                "logins": [
                    {"credentials": dict(_PASSES.credentials), "status": _PASSES.status, "words": _PASSES.words}
                ],
            }
        ],
        "most_customers": 1000,
        "refusing_domain": kept.REFUSING,
    },
    response_only=True,
    status_codes=["200"],
)
KEPT = OpenApiExample(
    "A welcome",
    {
        "results": [
            {
                "to": "ada@example.com",
                "kind": "welcome",
                "customer": "c-1001",
                "subject": "Welcome to North Cloud (sandbox)",
                "text": "Hello Ada, …",
                "link": "https://console.example/welcome/3q2-7wAB…/",
                "kept_at": "2025-01-07T09:30:02Z",
            }
        ]
    },
    response_only=True,
    status_codes=["200"],
)
EMPTIED = OpenApiExample(
    "What went",
    {"customers": 2, "accounts": 3, "servers": 18, "agents": 1, "mails": 2, "events": 31, "deliveries": 31},
    response_only=True,
    status_codes=["200"],
)


class Sandbox(SandboxView):
    scopes: ClassVar = {"GET": "customers:read"}

    @extend_schema(operation_id="sandbox_read", tags=["Sandbox"], responses=SandboxOut, examples=[THERE])
    def get(self, request: Request) -> Response:
        """What is there to try: simulated clouds, and credentials for each status that an account can have.

        Every customer of a sandbox sees the same servers there. What is done to them is undone after half an hour.
        """
        there = set(self.provider.endpoints.values_list("slug", flat=True))
        told = {
            "provider": self.provider.name,
            "running": bool(simulated.places()),
            "clouds": [cloud for cloud in simulated.CLOUDS if cloud.slug in there],
            "most_customers": self.provider.max_customers,
            "refusing_domain": kept.REFUSING,
        }
        return Response(SandboxOut(told).data)


class Mails(SandboxView):
    scopes: ClassVar = {"GET": "customers:write"}  # what they link to opens a customer

    @extend_schema(operation_id="sandbox_mails", tags=["Sandbox"], responses=KeptMailsOut, examples=[KEPT])
    def get(self, request: Request) -> Response:
        """The last 50 mails, the newest first. Mail of a sandbox goes to nobody: it is kept, for you to follow its
        link."""
        data = KeptMailsOut({"results": kept.letters(self.provider)}).data
        return Response(data, headers={"Cache-Control": "no-store"})


class Reset(SandboxView):
    scopes: ClassVar = {"POST": "customers:write"}

    @extend_schema(operation_id="sandbox_reset", tags=["Sandbox"], request=None, responses=ResetOut, examples=[EMPTIED])
    def post(self, request: Request) -> Response:
        """Start afresh: all customers go at once, with accounts, servers, agents, mails, events and deliveries, and
        answers kept for an Idempotency-Key.

        Your webhooks, wording and brand stay, and so does the log of your calls. No webhook is told.
        """
        return Response(ResetOut(sandbox.reset(self.provider, self.actor)).data)
