"""What every call of the customer API stands on: who asks, and what is theirs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from rest_framework.exceptions import NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.serializers import Serializer
from rest_framework.views import APIView

from accounts.models import CloudAccount
from console.lib.api.paging import Pages
from console.lib.api.strict import without_nul
from console.models import User
from providers.api.repeats import KeyBusy, KeyReused, canonical
from providers.api.tokenauth import TokenAuthentication, TokenHasScope
from providers.models import ApiToken, Customer
from servers import finding, presence
from servers.actions import repeating
from servers.actions.models import Action, ActionBatch
from servers.api.examples import SERVER_ID
from servers.finding import Reach
from servers.installs.models import InstallBatch
from servers.models import Server
from servers.query import QueryError, parse


class ByName(Pages):
    fields = ("name", "id")


class CustomerView(APIView):
    """A call of the customer API. `scopes` names what each method wants; a foreign id is a 404."""

    authentication_classes = (TokenAuthentication,)
    permission_classes = (TokenHasScope,)
    scopes: ClassVar[dict[str, str]] = {}
    in_path: ClassVar[dict[str, str]] = {"id": SERVER_ID}  # for the schema

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        without_nul(request)

    @property
    def token(self) -> ApiToken:
        return self.request.auth  # type: ignore[return-value]  # TokenHasScope let no stranger in

    @property
    def customer(self) -> Customer:
        return self.token.customer

    @property
    def person(self) -> User:
        return self.token.user

    def accounts(self) -> QuerySet[CloudAccount]:
        rows = CloudAccount.objects.of([self.customer.pk]).select_related("endpoint")
        return rows.defer("sealed", "pending_sealed", "endpoint__ca")

    def servers(self) -> QuerySet[Server]:
        rows = Server.objects.of([self.customer.pk]).select_related("account__endpoint", "customer", "agent")
        mine: QuerySet[Server] = rows.defer("account__sealed", "account__pending_sealed")
        return mine.annotate(presence=presence.word())

    def found(self, q: str) -> QuerySet[Server]:
        """The servers that the query finds, as the list's search box does. ValidationError when it is none."""
        accounts = list(self.accounts())
        try:
            condition = finding.where(parse(q), accounts)
        except QueryError as refusal:
            raise ValidationError({"q": [refusal.words]}) from refusal
        return self.servers().filter(condition, pk__in=Reach([self.customer.pk], accounts).servers().values("pk"))

    def server(self, pk: UUID) -> Server:
        found: Server | None = self.servers().filter(pk=pk).first()
        if found is None:
            raise NotFound("You have no server with this id.", "server_unknown")
        return found

    def account(self, pk: UUID) -> CloudAccount:
        found: CloudAccount | None = self.accounts().filter(pk=pk).first()
        if found is None:
            raise NotFound("You have no account with this id.", "account_unknown")
        return found

    def action_row(self, pk: UUID) -> Action:
        found: Action | None = Action.objects.filter(customer=self.customer, pk=pk).first()
        if found is None:
            raise NotFound("You have no action with this id.", "action_unknown")
        return found

    def install(self, pk: UUID) -> InstallBatch:
        batches = InstallBatch.objects.of([self.customer.pk]).defer("sealed").prefetch_related("installs")
        found: InstallBatch | None = batches.filter(pk=pk).first()
        if found is None:
            raise NotFound("You have no install with this id.", "install_unknown")
        return found

    def key(self) -> str:
        """The call's Idempotency-Key; "" for none."""
        key: str = self.request.headers.get("Idempotency-Key", "")
        if len(key) > 255 or not key.isprintable():
            raise ValidationError({"Idempotency-Key": ["Use 1 to 255 printable characters."]})
        return key

    def once(self, begin: Callable[[], ActionBatch]) -> Action:
        """The action that `begin` begins, or the one that the same call with the same key began."""
        call = f"{self.request.method} {self.request.path}\0".encode() + canonical(self.request.data)
        try:
            row: Action = repeating.once(self.customer, self.key(), call, begin).actions.get()
        except repeating.Mismatch as mismatch:
            raise KeyReused from mismatch
        except repeating.InProgress as busy:
            raise KeyBusy from busy
        return row

    def given(self, serializer: type[Serializer[Any]]) -> dict[str, Any]:
        if not isinstance(self.request.data, dict):
            raise ValidationError(["Send a JSON object."])
        wanted = serializer(data=self.request.data)
        wanted.is_valid(raise_exception=True)
        return dict(wanted.validated_data)
