"""What one request may see: the accounts of the customers that are open to it. Pages start here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID

from django.http import Http404, HttpRequest

from accounts.models import CloudAccount
from providers.models import Customer
from providers.scope import customers_of

_KEY = "_muster_visit"


@dataclass
class Visit:
    """Read once a request; `customers` also holds those that have no account yet."""

    request: HttpRequest

    @cached_property
    def accounts(self) -> list[CloudAccount]:
        """With customer and endpoint, without secrets, by name."""
        rows = CloudAccount.objects.of(customers_of(self.request)).select_related("customer", "endpoint__provider")
        return list(rows.defer("sealed", "pending_sealed", "endpoint__ca").order_by("name", "pk"))

    @cached_property
    def customers(self) -> list[Customer]:
        return list(customers_of(self.request).select_related("provider"))

    @property
    def with_accounts(self) -> list[UUID]:
        """Ids of the customers that can have servers."""
        return list(dict.fromkeys(account.customer_id for account in self.accounts))

    def account(self, pk: Any) -> CloudAccount:
        """One of them, or a 404 that does not say whether there is one elsewhere."""
        found = next((account for account in self.accounts if account.pk == pk), None)
        if found is None:
            raise Http404("No such account.")
        return found


def visit(request: HttpRequest) -> Visit:
    made: Visit | None = getattr(request, _KEY, None)
    if made is None:
        made = Visit(request)
        setattr(request, _KEY, made)
    return made
