"""What every call of the provider API has in common: the key, its scope, lookups among the caller's own rows."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.urls import register_converter
from rest_framework.exceptions import NotFound, Throttled, ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from console.lib.api.paging import Pages
from console.lib.api.strict import ExternalIdInPath, without_nul
from console.lib.audit import Actor
from providers import limits
from providers.api import repeats
from providers.api.auth import HasScope, ProviderAuthentication
from providers.models import Customer, Provider, ProviderKey
from providers.querysets import CustomerQuerySet

register_converter(ExternalIdInPath, "ext")


class ByExternalId(Pages):
    """In the order of the provider's own ids."""

    fields = ("external_id",)


class ProviderView(APIView):
    """A call of the provider API. `scopes` names what each method wants; a foreign id is a 404."""

    authentication_classes = (ProviderAuthentication,)
    permission_classes = (HasScope,)
    scopes: ClassVar[dict[str, str]] = {}
    in_path: ClassVar[dict[str, str]] = {"external_id": "c-1001", "account_id": "main"}  # for the schema
    pagination_class: type[BasePagination] | None = None  # for the schema
    keeps_answers: ClassVar[bool] = True  # false: the answer of its POST holds a secret, and is told once only

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        self.allowance = limits.take(self.provider)
        if self.allowance and self.allowance.exceeded:
            most = self.allowance.limit
            raise Throttled(self.allowance.resets, f"More than {most} calls in a minute. Wait, or ask staff for more.")
        without_nul(request)
        if request.method == "POST" and (act := getattr(self, "post", None)):
            # This request's own: REST framework looks for the handler after this.
            vars(self)["post"] = repeats.answered(self.provider, request, act, kept=self.keeps_answers)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        told = super().finalize_response(request, response, *args, **kwargs)
        if allowance := getattr(self, "allowance", None):
            for name, value in allowance.headers.items():
                told[name] = value
        return told

    @property
    def provider(self) -> Provider:
        return self.request.user.provider  # type: ignore[union-attr,no-any-return]  # HasScope let no stranger in

    @property
    def key(self) -> ProviderKey:
        return self.request.auth  # type: ignore[return-value]

    @property
    def actor(self) -> Actor:
        return self.request.user.actor  # type: ignore[union-attr,no-any-return]

    def customers(self) -> CustomerQuerySet:
        known: CustomerQuerySet = Customer.objects.known_to(self.provider)
        return known

    def customer(self, external_id: str) -> Customer:
        found: Customer | None = self.customers().filter(external_id=external_id).first()
        if found is None:
            raise NotFound(
                f"You have no customer with the id {echoed(external_id)}. PUT it to create it.", "customer_unknown"
            )
        found.provider = self.provider  # known already, and asked for by most deeds
        return found

    def given(self, serializer: type[Serializer[Any]], **in_path: str) -> dict[str, Any]:
        """The request's body and what its address says, checked. The body may repeat the address, not contradict it."""
        data = self.request.data
        if not isinstance(data, dict):
            raise ValidationError(["Send a JSON object."])
        for name, value in in_path.items():
            if data.get(name, value) != value:
                raise ValidationError({name: ["The address names another id. Leave it out of the body."]})
        wanted = serializer(data={**data, **in_path})
        wanted.is_valid(raise_exception=True)
        return dict(wanted.validated_data)

    def pages(self, request: Request, rows: QuerySet[Any], out: type[Serializer[Any]], pages: type[Pages]) -> Response:
        """One page of `rows`."""
        paging = pages()
        return paging.get_paginated_response(out(paging.paginate_queryset(rows, request, self), many=True).data)


def echoed(text: str) -> str:
    """What a caller sent, in a sentence: of something endless, enough to know it by."""
    return text if len(text) <= 120 else f"{text[:60]}…"
