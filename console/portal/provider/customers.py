"""The provider's customers: searched, narrowed, paged; how the accounts and the last mail of each are."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, Final

from django import forms
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponse

from accounts.models import CloudAccount
from console.portal.provider.paging import page as paged
from console.portal.provider.scope import Seat, page, show
from console.portal.provider.standing import WELL
from providers.models import Customer, Mail

WITH: Final = {
    "refused": "Refused credentials",
    "trouble": "Accounts that cannot be read",
    "none": "No account",
    "mail": "Mail that did not arrive",
}
LOST: Final = Q(state__in=("failed", "expired", "interrupted")) | Q(bounced_at__isnull=False)


class CustomerFilters(forms.Form):
    """What the list is narrowed by; what cannot be is left out."""

    q = forms.CharField(max_length=200, required=False, strip=True)
    status = forms.ChoiceField(choices=[("", "Any state"), *Customer.Status.choices], required=False)
    having = forms.ChoiceField(choices=[("", "All"), *WITH.items()], required=False)

    def add_prefix(self, field_name: str) -> str:
        return "with" if field_name == "having" else field_name


@dataclass
class Row:
    """A customer in the list. `servers` and `accounts` (tone, label, how many) are of what is not removed."""

    customer: Customer
    mail: Mail | None
    servers: int = 0
    accounts: list[tuple[str, str, int]] = field(default_factory=list)


@page()
def listing(request: HttpRequest, seat: Seat) -> HttpResponse:
    """A page of customers, the newest first."""
    form = CustomerFilters(request.GET)
    form.is_valid()
    asked = form.cleaned_data
    rows = _narrowed(Customer.objects.known_to(seat.provider).with_last_mail(), asked)
    found = paged(request, rows, "created_at", "id")
    return show(request, seat, "provider/customers.html", "customers", page=found, rows=_rows(found.rows),
                total=rows.count(), asked=asked, form=form, narrowed=any(asked.values()))  # fmt: skip


def _narrowed(rows: QuerySet[Customer], asked: dict[str, str]) -> QuerySet[Customer]:
    if text := asked.get("q", "").replace("\0", ""):
        looked = ("external_id", "email", "organization", "first_name", "last_name")
        anywhere = Q()
        for name in looked:
            anywhere |= Q(**{f"{name}__icontains": text})
        rows = rows.filter(anywhere)
    if asked.get("status"):
        rows = rows.filter(status=asked["status"])
    accounts = CloudAccount.objects.present().filter(customer=OuterRef("pk"))
    match asked.get("having"):
        case "refused":
            rows = rows.exclude(status="closed").filter(Exists(accounts.filter(status="bad_credentials")))
        case "trouble":
            rows = rows.exclude(status="closed").filter(Exists(accounts.exclude(status__in=WELL)))
        case "none":
            rows = rows.exclude(status="closed").filter(~Exists(accounts))
        case "mail":
            rows = rows.filter(Exists(Mail.objects.filter(LOST, customer=OuterRef("pk"))))
    return rows


def _rows(customers: list[Any]) -> list[Row]:
    made = {one.pk: Row(one, next(iter(one.last_mails), None)) for one in customers}
    live = [one.pk for one in customers if one.status != Customer.Status.CLOSED]
    counts = CloudAccount.objects.present().filter(customer__in=live).order_by()
    told: dict[Any, list[tuple[str, str, int]]] = defaultdict(list)
    for pk, status, number in counts.values_list("customer", "status").annotate(Count("pk")):
        told[pk].append((CloudAccount.Status(status).tone, CloudAccount.Status(status).label, number))
    servers = counts.values_list("customer", "server_count")
    for pk, number in servers:
        made[pk].servers += number
    rank = ("failed", "attention", "changing", "running")
    for pk, accounts in told.items():
        made[pk].accounts = sorted(accounts, key=lambda one: rank.index(one[0]) if one[0] in rank else len(rank))
    return list(made.values())
