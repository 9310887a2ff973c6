"""Calls that look further than our own rows: what a cloud offers at this moment, and what is told only once."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import APIException, NotFound, PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import ready
from accounts.clouds.operations import Operation
from accounts.models import CloudAccount
from console.lib.api.schema import Error
from console.lib.denials import Denied
from console.lib.faults import Refused
from servers.actions import measures, offers, passwords
from servers.api.customer import examples
from servers.api.customer.base import CustomerView
from servers.api.customer.serializers import OffersOut, PasswordOut, SnapshotOut

_LISTS = {
    "sizes": (Operation.SIZES, offers.sizes),
    "images": (Operation.IMAGES, offers.images),
    "networks": (Operation.NETWORKS, offers.networks),
    "key_pairs": (Operation.KEY_PAIRS, offers.key_pairs),
}


# The account cannot be asked; the cloud refused; it answered rubbish; it did not answer, or wants fewer calls.
_FAULTS: dict[int, Any] = dict.fromkeys((409, 422, 502, 503), Error)


class Gone(APIException):
    status_code = 410
    default_code = "gone"
    default_detail = "It is no longer there."


class Offers(CustomerView):
    scopes: ClassVar = {"GET": "accounts:read"}
    in_path: ClassVar = {"id": examples.ACCOUNT_ID}

    @extend_schema(
        operation_id="my_offers_read", tags=["Your accounts"], responses={200: OffersOut, **_FAULTS},
        examples=[examples.OFFERS],
    )  # fmt: skip
    def get(self, request: Request, pk: UUID) -> Response:
        """What a server can be created from in this account: asked of its cloud, and kept for a few minutes.

        A list that this platform does not have is empty, and `missing` says why. Where vCloud lists sizes, CPUs and
        memory of your own can be said all the same.
        """
        account = self.account(pk)
        _ask(account)
        table = ready.table(account)
        told: dict[str, Any] = {"missing": {}}
        for name, (operation, ask) in _LISTS.items():
            reason = table[operation].refusal() if table is not None else ""
            try:
                told[name] = [] if reason else ask(account)
            except Refused as fault:
                if name != "sizes" or not measures.free(table):
                    raise
                told[name], reason = [], fault.words  # it can be done without
            if reason:
                told["missing"][name] = reason
        return Response(OffersOut(told).data)


class Snapshots(CustomerView):
    scopes: ClassVar = {"GET": "servers:read"}

    @extend_schema(
        operation_id="my_snapshots_list",
        tags=["Your servers"],
        responses={200: SnapshotOut(many=True), **_FAULTS},
        examples=[examples.TAKEN],
    )
    def get(self, request: Request, pk: UUID) -> Response:
        """A server's snapshots, newest first, as its cloud tells them now. 422 where its platform has none."""
        server = self.server(pk)
        _ask(server.account)
        return Response(SnapshotOut(offers.snapshots(server), many=True).data)


class Password(CustomerView):
    scopes: ClassVar = {"POST": "actions:write"}
    in_path: ClassVar = {"id": examples.ACTION_ID}

    @extend_schema(
        operation_id="my_passwords_tell", tags=["Your servers"], request=None,
        responses={200: PasswordOut, 410: Error}, examples=[examples.PASSWORD],
    )  # fmt: skip
    def post(self, request: Request, pk: UUID) -> Response:
        """The first password of a server that you created, once: it is deleted with that. 410 when it was told already
        or a day has passed, 404 when there is none, 403 when somebody else ordered the server."""
        try:
            password = passwords.reveal(self.action_row(pk), by=self.person)
        except Denied as denial:
            kinds: dict[str, type[APIException]] = {"password_none": NotFound, "password_gone": Gone}
            raise kinds.get(denial.code, PermissionDenied)(denial.words, denial.code) from denial
        return Response(PasswordOut({"password": password}).data, headers={"Cache-Control": "no-store"})


def _ask(account: CloudAccount) -> None:
    """Denied when this account's cloud cannot be asked at all."""
    if words := ready.refusal(account):
        raise Denied(words, "account_not_ready")
