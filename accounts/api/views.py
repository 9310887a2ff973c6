"""The provider API's calls about cloud accounts (PROMISES.md)."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import linking
from accounts.api.filters import AccountFilters
from accounts.api.serializers import ASKED, PUSHED, TOLD, AccountIn, AccountOut, NamedAccountIn, PushOut
from accounts.models import CloudAccount
from console.lib.api.filters import narrowed, parameters
from console.lib.api.paging import Pages
from console.lib.api.schema import Error
from providers.api.base import ByExternalId, ProviderView, echoed
from providers.models import CloudEndpoint


class AccountView(ProviderView):
    """Lookups of the caller's accounts, removed ones left out."""

    scopes: ClassVar = {"GET": "accounts:read"} | dict.fromkeys(("PUT", "POST", "DELETE"), "accounts:write")

    def accounts(self, external_id: str) -> QuerySet[CloudAccount]:
        customer = self.customer(external_id)
        return CloudAccount.objects.present().filter(customer=customer).select_related("endpoint")

    def account(self, external_id: str, account_id: str) -> CloudAccount:
        found: CloudAccount | None = self.accounts(external_id).filter(external_id=account_id).first()
        if found is None:
            raise NotFound(
                f"This customer has no account with the id {echoed(account_id)}. PUT it first.", "account_unknown"
            )
        return found


class NewestFirst(Pages):
    fields = ("-id",)


class Accounts(AccountView):
    pagination_class = ByExternalId

    @extend_schema(
        operation_id="accounts_list", tags=["Accounts"], responses=AccountOut(many=True),
        parameters=parameters(AccountFilters), examples=[TOLD]
    )  # fmt: skip
    def get(self, request: Request, external_id: str) -> Response:
        """The customer's cloud accounts, in the order of your ids."""
        rows = narrowed(request, self.accounts(external_id), AccountFilters)
        return self.pages(request, rows, AccountOut, ByExternalId)


class OneAccount(AccountView):
    @extend_schema(operation_id="accounts_read", tags=["Accounts"], responses=AccountOut, examples=[TOLD])
    def get(self, request: Request, external_id: str, account_id: str) -> Response:
        """One account: is it verified, what went wrong, when was it last read."""
        return Response(AccountOut(self.account(external_id, account_id)).data)

    @extend_schema(
        operation_id="accounts_put",
        tags=["Accounts"],
        request=AccountIn,
        examples=[ASKED, TOLD],
        responses={
            202: AccountOut,
            409: OpenApiResponse(Error, "The version is older than one pushed before, or taken."),
        },
    )
    def put(self, request: Request, external_id: str, account_id: str) -> Response:
        """Push cloud credentials. They are verified within 30 s; the old ones stay live until the new ones pass.

        The same push again changes nothing. `version` only grows: an older one is 409.
        """
        customer = self.customer(external_id)
        fields = self.given(NamedAccountIn, account_id=account_id)
        pushed = linking.push(
            customer,
            account_id,
            endpoint=self._endpoint(fields["endpoint"]),
            name=fields["name"],
            version=fields["version"],
            credentials=fields["credentials"],
            actor=self.actor,
        )
        return Response(AccountOut(pushed.account).data, status=202)

    @extend_schema(operation_id="accounts_remove", tags=["Accounts"], responses={204: None})
    def delete(self, request: Request, external_id: str, account_id: str) -> Response:
        """The account and its servers leave the customer's lists; its credentials are wiped at once."""
        linking.remove(self.account(external_id, account_id), self.actor)
        return Response(status=204)

    def _endpoint(self, slug: str) -> Any:
        found = CloudEndpoint.objects.filter(provider=self.provider, slug=slug, enabled=True).first()
        if found is None:
            words = "You have no endpoint of that name. GET endpoints lists yours; staff add others."
            raise ValidationError({"endpoint": [words]})
        return found


class Pushes(AccountView):
    pagination_class = NewestFirst

    @extend_schema(operation_id="accounts_pushes", tags=["Accounts"], responses=PushOut(many=True), examples=[PUSHED])
    def get(self, request: Request, external_id: str, account_id: str) -> Response:
        """Every push of credentials, the newest first: who, when, which version, and what became of it."""
        return self.pages(request, self.account(external_id, account_id).pushes.all(), PushOut, NewestFirst)
