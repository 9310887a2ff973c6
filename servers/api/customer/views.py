"""The customer API (PROMISES.md): what a token may see is what its customer's list shows."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from console.lib.api.schema import Error
from servers.actions import ability, actions, creating
from servers.api.customer import examples
from servers.api.customer.base import ByName, CustomerView
from servers.api.customer.serializers import (
    ActionIn,
    ActionOut,
    InstallIn,
    InstallOut,
    KindOut,
    MyAccountOut,
    MyServerOut,
    OrderIn,
    params_of,
)
from servers.installs import install
from servers.installs.through import Jump

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


class Installs(CustomerView):
    scopes: ClassVar = {"POST": "installs:write"}

    @extend_schema(
        operation_id="my_installs_create", tags=["Your installs"], request=InstallIn,
        responses={202: InstallOut, 409: OpenApiResponse(Error, "The customer is suspended.")},
        examples=[examples.INSTALL, examples.INSTALLING],
        parameters=[
            OpenApiParameter(
                "Idempotency-Key", str, OpenApiParameter.HEADER,
                description="Up to 255 characters. The same key with the same servers gives the same install.",
            )
        ],
    )  # fmt: skip
    def post(self, request: Request) -> Response:
        """Install the agent over SSH on up to 1,000 servers: those with these ids, or those that `q` finds now.

        The credentials are sealed, and deleted when it ends (60 minutes at most).
        """
        fields = self.given(InstallIn)
        key = self.key()
        if jump := fields.pop("jump", None):
            fields["jump"] = Jump(**jump)
        if "q" in fields:
            found = list(self.found(fields.pop("q"))[: install.MOST + 1])
        else:
            wanted = set(fields.pop("servers"))
            found = list(self.servers().filter(pk__in=wanted))
            if len(found) != len(wanted):
                raise NotFound("You have no server with one of these ids.", "server_unknown")
        batch = install.start(found, by=self.person, customer=self.customer, request_key=key, **fields)
        return Response(InstallOut(batch).data, status=202)


class GoOn(CustomerView):
    scopes: ClassVar = {"POST": "installs:write"}
    in_path: ClassVar = {"id": examples.INSTALL_ID}

    @extend_schema(
        operation_id="my_installs_go_on", tags=["Your installs"], request=None,
        responses={202: InstallOut, 409: OpenApiResponse(Error, "There is nothing to go on with.")},
        examples=[examples.INSTALLING],
    )  # fmt: skip
    def post(self, request: Request, pk: UUID) -> Response:
        """The look (`look_first`) is over: install on those that can be reached."""
        found = self.install(pk)
        install.go_on(found, by=self.person)
        return Response(InstallOut(self.install(pk)).data, status=202)


class OneInstall(CustomerView):
    scopes: ClassVar = {"GET": "installs:read"}
    in_path: ClassVar = {"id": examples.INSTALL_ID}

    @extend_schema(
        operation_id="my_installs_read", tags=["Your installs"], responses=InstallOut, examples=[examples.INSTALLING]
    )
    def get(self, request: Request, pk: UUID) -> Response:
        """How an install stands, server by server."""
        return Response(InstallOut(self.install(pk)).data)
