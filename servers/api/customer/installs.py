"""Installs over the customer API: the same deeds as the pages' buttons."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from console.lib.api.schema import Error
from servers.api.customer import examples
from servers.api.customer.base import CustomerView
from servers.api.customer.serializers import HostKeysIn, InstallIn, InstallOut, RetryIn
from servers.installs import install, trusting
from servers.installs.through import Jump


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


class Cancel(CustomerView):
    scopes: ClassVar = {"POST": "installs:write"}
    in_path: ClassVar = {"id": examples.INSTALL_ID}

    @extend_schema(
        operation_id="my_installs_cancel", tags=["Your installs"], request=None, responses={200: InstallOut},
        examples=[examples.CANCELED],
    )  # fmt: skip
    def post(self, request: Request, pk: UUID) -> Response:
        """Stop what has not ended, at once. What is installed already stays; one that has ended is as it was."""
        install.cancel(self.install(pk), by=self.person)
        return Response(InstallOut(self.install(pk)).data)


class Retry(CustomerView):
    scopes: ClassVar = {"POST": "installs:write"}
    in_path: ClassVar = {"id": examples.INSTALL_ID}

    @extend_schema(
        operation_id="my_installs_retry", tags=["Your installs"], request=RetryIn,
        responses={202: InstallOut, 409: OpenApiResponse(Error, "Nothing failed, or the customer is suspended.")},
        examples=[examples.RETRY, examples.INSTALLING],
    )  # fmt: skip
    def post(self, request: Request, pk: UUID) -> Response:
        """A new install, the same way, on those servers of this one where it failed and whose agent does not report.

        The credentials of the first one are gone, so they are given again.
        """
        before, fields = self.install(pk), self.given(RetryIn)
        own = {f"jump_{name}": value for name, value in fields.pop("jump", {}).items()}
        batch = install.retry_failed(before, by=self.person, **fields, **own)
        return Response(InstallOut(batch).data, status=202)


class ConfirmKeys(CustomerView):
    scopes: ClassVar = {"POST": "installs:write"}
    in_path: ClassVar = {"id": examples.INSTALL_ID}

    @extend_schema(
        operation_id="my_installs_confirm_keys", tags=["Your installs"], request=HostKeysIn,
        responses={202: InstallOut, 409: OpenApiResponse(Error, "None of these waits, or the credentials are gone.")},
        examples=[examples.HOST_KEYS, examples.INSTALLING],
    )  # fmt: skip
    def post(self, request: Request, pk: UUID) -> Response:
        """Vouch for host keys that this install waits on: those with these fingerprints, and no other. They go on.

        Compare them with what you know of your servers, not with what this API told: that is what the host showed.
        """
        trusting.confirm(self.install(pk), by=self.person, fingerprints=self.given(HostKeysIn)["fingerprints"])
        return Response(InstallOut(self.install(pk)).data, status=202)
