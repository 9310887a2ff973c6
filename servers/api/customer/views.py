"""The customer API (PROMISES.md): what a token may see is what its customer's list shows."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from console.lib.api.schema import Error
from servers.actions import ability, actions, creating
from servers.api.customer import examples
from servers.api.customer.base import ByName, CustomerView
from servers.api.customer.serializers import (
    ActionIn,
    ActionOut,
    KindOut,
    MyAccountOut,
    MyServerOut,
    OrderIn,
    params_of,
)

KEY = OpenApiParameter(
    "Idempotency-Key", str, OpenApiParameter.HEADER,
    description="Up to 255 characters. The same call with the same key gives the action that the first one began.",
)  # fmt: skip
REUSED = OpenApiResponse(Error, "The Idempotency-Key came with another call before.")


class Servers(CustomerView):
    scopes: ClassVar = {"GET": "servers:read", "POST": "actions:write"}
    pagination_class = ByName

    @extend_schema(
        operation_id="my_servers_list", tags=["Your servers"], responses=MyServerOut(many=True),
        parameters=[OpenApiParameter("q", str, description="As in the list's search box: state:running web")],
        examples=[examples.SERVER],
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        """Your servers by name, narrowed by `q`."""
        paging = ByName()
        found = paging.paginate_queryset(self.found(request.query_params.get("q", "")), request, self)
        return paging.get_paginated_response(MyServerOut(found, many=True).data)

    @extend_schema(
        operation_id="my_servers_create", tags=["Your servers"], request=OrderIn,
        responses={202: ActionOut, 409: Error, 422: REUSED}, examples=[examples.ORDER, examples.ORDERED],
        parameters=[KEY],
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Create a server. 202 with a row to follow: `server_id` is set as soon as its cloud has told which it is."""
        fields = self.given(OrderIn)
        account = self.account(fields.pop("account_id"))
        row = self.once(lambda: creating.create(account, order=fields, by=self.person, customer=self.customer))
        return Response(ActionOut(row).data, status=202)


class OneServer(CustomerView):
    scopes: ClassVar = {"GET": "servers:read"}

    @extend_schema(
        operation_id="my_servers_read", tags=["Your servers"], responses=MyServerOut, examples=[examples.SERVER]
    )
    def get(self, request: Request, pk: UUID) -> Response:
        """One server."""
        return Response(MyServerOut(self.server(pk)).data)


class ServerActions(CustomerView):
    scopes: ClassVar = {"GET": "servers:read", "POST": "actions:write"}

    @extend_schema(
        operation_id="my_actions_possible",
        tags=["Your servers"],
        responses=KindOut(many=True),
        examples=[examples.POSSIBLE],
    )
    def get(self, request: Request, pk: UUID) -> Response:
        """What can be done to a server at the moment, and why the rest cannot. Nothing is asked of its cloud."""
        told = [{"kind": kind.name, "label": kind.label, "possible": not reason, "reason": reason,
                 "needs": kind.needs, "danger": kind.danger}
                for kind, reason in ability.offered(self.server(pk))]  # fmt: skip
        return Response(KindOut(told, many=True).data)

    @extend_schema(
        operation_id="my_actions_create", tags=["Your servers"], request=ActionIn,
        responses={202: ActionOut, 409: OpenApiResponse(Error, "A call with this Idempotency-Key is under way."),
                   422: REUSED},
        examples=[examples.STOP, examples.RESIZE, examples.SNAPSHOT, examples.ACTION], parameters=[KEY],
    )  # fmt: skip
    def post(self, request: Request, pk: UUID) -> Response:
        """Do something to a server. 202 with a row to follow; one that cannot be done has failed already, with why."""
        server, fields = self.server(pk), self.given(ActionIn)
        row = self.once(
            lambda: actions.start(
                [server], kind=fields["kind"], params=params_of(fields), by=self.person, customer=self.customer
            )
        )
        return Response(ActionOut(row).data, status=202)


class OneAction(CustomerView):
    scopes: ClassVar = {"GET": "actions:read"}
    in_path: ClassVar = {"id": examples.ACTION_ID}

    @extend_schema(
        operation_id="my_actions_read", tags=["Your servers"], responses=ActionOut, examples=[examples.ACTION]
    )
    def get(self, request: Request, pk: UUID) -> Response:
        """How an action stands."""
        return Response(ActionOut(self.action_row(pk)).data)


class Accounts(CustomerView):
    scopes: ClassVar = {"GET": "accounts:read"}
    pagination_class = ByName

    @extend_schema(
        operation_id="my_accounts_list",
        tags=["Your accounts"],
        responses=MyAccountOut(many=True),
        examples=[examples.ACCOUNT],
    )
    def get(self, request: Request) -> Response:
        """Your cloud accounts by name, and how reading them goes."""
        paging = ByName()
        found = paging.paginate_queryset(self.accounts(), request, self)
        return paging.get_paginated_response(MyAccountOut(found, many=True).data)
