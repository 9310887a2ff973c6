"""The provider API's call that lets an agent appear in its sandbox; test keys only."""

from __future__ import annotations

from typing import ClassVar

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from console.lib.api.schema import Error
from providers.api.sandbox import SandboxView
from servers import presence
from servers.agents import simulated
from servers.api import examples
from servers.api.serializers import ServerOut
from servers.models import Server


class Manage(SandboxView):
    scopes: ClassVar = {"POST": "accounts:write"}
    in_path: ClassVar = {"external_id": "c-1001", "server_id": examples.CLOUDS_ID}

    @extend_schema(
        operation_id="sandbox_manage",
        tags=["Sandbox"],
        request=None,
        responses={200: ServerOut, 409: OpenApiResponse(Error, "The sandbox may have no more agents.")},
        examples=[examples.server("main")],
    )
    def post(self, request: Request, external_id: str, server_id: str) -> Response:
        """Let a made-up agent appear on a server (by the cloud's id of it): it enrols as a real one does and reports
        once. `server.managed` is told; `agent.offline` some minutes later, since it reports no more.
        """
        server = self._server(external_id, server_id)
        simulated.appear(server, self.actor)
        return Response(ServerOut(self._server(external_id, server_id)).data)

    def _server(self, external_id: str, server_id: str) -> Server:
        rows = Server.objects.of([self.customer(external_id).pk]).filter(account__endpoint__provider=self.provider)
        rows = rows.select_related("account", "agent", "customer__provider").annotate(presence=presence.word())
        found: Server | None = rows.filter(external_id=server_id).first()
        if found is None:
            raise NotFound("This customer has no server with that id. GET …/servers lists them.", "server_unknown")
        return found
