"""The provider API's calls about the agent for images: what the provider's page has, for builds that run alone."""

from __future__ import annotations

import hashlib
from typing import Any, ClassVar

from django.conf import settings
from django.http import Http404, HttpResponse
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response

from providers.api.base import ProviderView
from servers.agents.images import helper
from servers.agents.program import protocol
from servers.api import examples


class AgentPackageOut(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(choices=list(helper.FORMS))
    name = serializers.CharField(help_text="Of the file.")
    description = serializers.CharField(help_text="What it is for.")
    media_type = serializers.CharField()
    size = serializers.IntegerField(help_text="In bytes.")
    sha256 = serializers.CharField(help_text="Of the file, in hex: the same version gives the same bytes.")
    url = serializers.CharField(help_text="Where this API has the file.")


class AgentPackagesOut(serializers.Serializer[Any]):
    version = serializers.CharField(help_text="Of the agent.")
    channel = serializers.CharField(help_text="Yours: machines from your images claim in it.")
    results = AgentPackageOut(many=True)


class AsItIs(BaseContentNegotiation):
    """A file has the type that it has, whatever is asked for; errors are JSON."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return next((one for one in parsers if one.media_type == request.content_type), None)

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


class AgentPackages(ProviderView):
    scopes: ClassVar = {"GET": "accounts:read"}

    @extend_schema(
        operation_id="agent_packages_list", tags=["Images"], responses=AgentPackagesOut, examples=[examples.PACKAGES]
    )
    def get(self, request: Request) -> Response:
        """The agent for your images in each form, with your channel in it and nothing secret."""
        rows = []
        for kind, form in helper.FORMS.items():
            made = helper.build_for(self.provider, kind)
            rows.append({
                "kind": kind, "name": made.name, "description": form.words, "media_type": made.media_type,
                "size": len(made.content), "sha256": hashlib.sha256(made.content).hexdigest(),
                "url": settings.PUBLIC_URL + reverse("api-agent-package", args=[kind]),
            })  # fmt: skip
        told = {"version": protocol.VERSION, "channel": str(self.provider.pk), "results": rows}
        return Response(AgentPackagesOut(told).data)


class OneAgentPackage(ProviderView):
    scopes: ClassVar = {"GET": "accounts:read"}
    in_path: ClassVar = {"kind": "deb"}
    words_in_path: ClassVar = {"kind": tuple(helper.FORMS)}
    content_negotiation_class = AsItIs

    @extend_schema(
        operation_id="agent_packages_fetch",
        tags=["Images"],
        responses={(200, form.media_type): OpenApiTypes.BINARY for form in helper.FORMS.values()},
    )
    def get(self, request: Request, kind: str) -> HttpResponse:
        """The file itself."""
        if kind not in helper.FORMS:
            raise Http404(f"There is no such package. Choose one of {', '.join(helper.FORMS)}.")
        made = helper.build_for(self.provider, kind)
        reply = HttpResponse(made.content, content_type=made.media_type)
        reply["Content-Disposition"] = f'attachment; filename="{made.name}"'
        return reply
