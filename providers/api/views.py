"""The provider API's calls about customers (PROMISES.md)."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from console.lib.api.filters import narrowed, parameters
from console.lib.api.paging import Pages
from console.lib.api.schema import Error
from providers import customers, handoff
from providers.api.base import ByExternalId, ProviderView
from providers.api.examples import ASKED, ASKED_BY_POST, ENDPOINT, HANDED_OFF, HANDING_OFF, TOLD
from providers.api.filters import CustomerFilters
from providers.api.serializers import (
    CustomerIn,
    CustomerOut,
    EndpointOut,
    HandOffIn,
    HandOffOut,
    NewCustomerIn,
)

WRITES = {"GET": "customers:read"} | dict.fromkeys(("PUT", "POST", "DELETE"), "customers:write")


CLOSED = OpenApiResponse(Error, "The customer is closed.")
FULL = "You have as many customers as you may have"


class CustomerView(ProviderView):
    def _put(self, external_id: str, fields: dict[str, Any]) -> tuple[int, Any]:
        outcome = customers.put(self.provider, external_id, fields, self.actor)
        return 201 if outcome.created else 200, CustomerOut(outcome.customer).data


class Customers(CustomerView):
    scopes: ClassVar = WRITES
    pagination_class = ByExternalId

    @extend_schema(
        operation_id="customers_list",
        tags=["Customers"],
        responses=CustomerOut(many=True),
        parameters=parameters(CustomerFilters),
        examples=[TOLD],
    )
    def get(self, request: Request) -> Response:
        """Your customers, closed ones too, in the order of your ids."""
        rows = narrowed(request, self.customers().with_last_mail(), CustomerFilters)
        return self.pages(request, rows, CustomerOut, ByExternalId)

    @extend_schema(
        operation_id="customers_create",
        tags=["Customers"],
        request=NewCustomerIn,
        examples=[ASKED_BY_POST, TOLD],
        responses={201: CustomerOut, 200: CustomerOut, 409: OpenApiResponse(Error, f"{FULL}.")},
    )
    def post(self, request: Request) -> Response:
        """The same as PUT, with your id in the body."""
        fields = self.given(NewCustomerIn)
        status, answer = self._put(fields.pop("external_id"), fields)
        return Response(answer, status=status)


class OneCustomer(CustomerView):
    scopes: ClassVar = WRITES

    @extend_schema(operation_id="customers_read", tags=["Customers"], responses=CustomerOut, examples=[TOLD])
    def get(self, request: Request, external_id: str) -> Response:
        """One customer, with the state of the last mail."""
        return Response(CustomerOut(self.customer(external_id)).data)

    @extend_schema(
        operation_id="customers_put",
        tags=["Customers"],
        request=CustomerIn,
        examples=[ASKED, TOLD],
        responses={201: CustomerOut, 200: CustomerOut, 409: OpenApiResponse(Error, f"{FULL}.")},
    )
    def put(self, request: Request, external_id: str) -> Response:
        """201: made, or reopened after DELETE (with a mail). 200: unchanged, or its contact data updated.

        Send it as often as you like: one customer, one mail. Nobody's sign-in ever changes by it.
        """
        fields = self.given(NewCustomerIn, external_id=external_id)
        fields.pop("external_id")
        status, answer = self._put(external_id, fields)
        return Response(answer, status=status)

    @extend_schema(operation_id="customers_close", tags=["Customers"], responses={204: None})
    def delete(self, request: Request, external_id: str) -> Response:
        """Close it: nobody gets in, cloud credentials are wiped at once. PUT reopens it within the grace period."""
        customers.close(self.customer(external_id), self.actor)
        return Response(status=204)


class Suspend(CustomerView):
    scopes: ClassVar = WRITES

    @extend_schema(
        operation_id="customers_suspend",
        tags=["Customers"],
        request=None,
        responses={200: CustomerOut, 409: CLOSED},
        examples=[TOLD],
    )
    def post(self, request: Request, external_id: str) -> Response:
        """Its people can look and do nothing; nothing syncs, no work runs. 409 when it is closed."""
        held = customers.suspend(self.customer(external_id), self.actor)
        return Response(CustomerOut(held).data)


class Resume(CustomerView):
    scopes: ClassVar = WRITES

    @extend_schema(
        operation_id="customers_resume",
        tags=["Customers"],
        request=None,
        responses={200: CustomerOut, 409: CLOSED},
        examples=[TOLD],
    )
    def post(self, request: Request, external_id: str) -> Response:
        """Undo suspend. 409 when it is closed."""
        held = customers.resume(self.customer(external_id), self.actor)
        return Response(CustomerOut(held).data)


class ResendMail(CustomerView):
    scopes: ClassVar = WRITES

    @extend_schema(
        operation_id="customers_resend_mail",
        tags=["Customers"],
        request=None,
        responses={202: CustomerOut, 409: CLOSED},
        examples=[TOLD],
    )
    def post(self, request: Request, external_id: str) -> Response:
        """Send the first mail again, with a fresh link; to the present contact address while nobody has come in.

        A mail that still waits to be sent is not doubled. 409 when the customer is closed.
        """
        customer = self.customer(external_id)
        customers.resend_mail(customer, self.actor)
        return Response(CustomerOut(customer).data, status=202)


class HandOff(CustomerView):
    scopes: ClassVar = {"POST": "handoff:write"}
    keeps_answers = False  # the link signs somebody on

    @extend_schema(
        operation_id="customers_handoff", tags=["Customers"], request=HandOffIn,
        responses={201: HandOffOut, 409: OpenApiResponse(Error, "The customer is closed, or nobody belongs to it.")},
        examples=[HANDING_OFF, HANDED_OFF],
    )  # fmt: skip
    def post(self, request: Request, external_id: str) -> Response:
        """A link that signs your customer on: once, within 60 seconds, to see what is yours of them and nothing else.

        Make it when your portal's button is pressed, and send the browser there at once. It asks for the second factor
        that the person has turned on. 409 when the customer is closed.
        """
        fields = self.given(HandOffIn)
        offer = handoff.offer(self.customer(external_id), self.actor, fields.get("return_to", ""))
        return Response(HandOffOut(offer).data, status=201, headers={"Cache-Control": "no-store"})


class BySlug(Pages):
    fields = ("slug",)


class Endpoints(ProviderView):
    scopes: ClassVar = {"GET": "accounts:read"}
    pagination_class = BySlug

    @extend_schema(
        operation_id="endpoints_list", tags=["Accounts"], responses=EndpointOut(many=True), examples=[ENDPOINT]
    )
    def get(self, request: Request) -> Response:
        """The cloud endpoints that staff registered for you, with the version found."""
        return self.pages(request, self.provider.endpoints.all(), EndpointOut, BySlug)
