"""The provider API's calls about servers (PROMISES.md)."""

from __future__ import annotations

from typing import ClassVar

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.api.views import AccountView
from accounts.models import CloudAccount
from console.lib.api.paging import Pages
from console.lib.api.schema import Error
from servers import presence
from servers.agents import enrol
from servers.api import examples
from servers.api.serializers import JoinTokenIn, JoinTokenOut, ServerOut
from servers.models import Server


class ByName(Pages):
    fields = ("name", "id")


class Servers(AccountView):
    scopes: ClassVar = {"GET": "servers:read"}
    pagination_class = ByName

    @extend_schema(
        operation_id="servers_list",
        tags=["Servers"],
        responses=ServerOut(many=True),
        parameters=[OpenApiParameter("account", str, description="Only of the account with this id of yours.")],
        examples=[examples.server("main")],
    )
    def get(self, request: Request, external_id: str) -> Response:
        """What the customer's list shows of your accounts, by name."""
        rows = Server.objects.of([self.customer(external_id).pk]).filter(account__endpoint__provider=self.provider)
        if account_id := request.query_params.get("account"):
            rows = rows.filter(account=self.account(external_id, account_id))
        rows = rows.select_related("account", "agent").annotate(presence=presence.word())
        return self.pages(request, rows, ServerOut, ByName)


class JoinTokens(AccountView):
    scopes: ClassVar = {"POST": "accounts:write"}
    keeps_answers = False  # the token is told once

    @extend_schema(
        operation_id="join_tokens_create",
        tags=["Servers"],
        request=JoinTokenIn,
        responses={201: JoinTokenOut, 409: OpenApiResponse(Error, "The account was removed.")},
        examples=[examples.JOINING, examples.JOINED],
    )
    def post(self, request: Request, external_id: str, account_id: str) -> Response:
        """A token with which one agent enrols, once, within 60 minutes: put it into the user-data of a launch."""
        account = self.account(external_id, account_id)
        fields = self.given(JoinTokenIn)
        subject: CloudAccount | Server = account
        if "server_external_id" in fields:
            subject = self._server(account, fields["server_external_id"])
        expires_at = timezone.now() + enrol.LIFE
        token = enrol.issue(subject, self.actor)
        return Response(JoinTokenOut({"token": token, "expires_at": expires_at}).data, status=201)

    def _server(self, account: CloudAccount, server_id: str) -> Server:
        found: Server | None = Server.objects.listed().filter(account=account, external_id=server_id).first()
        if found is None:
            words = "The account has no server of that id yet. Leave it out when the server is being launched."
            raise ValidationError({"server_external_id": [words]})
        return found
