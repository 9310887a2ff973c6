"""One customer of the provider: its accounts, the credentials that were pushed, its mails; suspend, resume, close."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse

from accounts.health import health
from accounts.models import CloudAccount, CredentialPush
from console.portal.provider.scope import Seat, confirm, done, page, show
from providers import customers
from providers.models import Customer

PUSHES: Final = 25  # of all accounts, the newest
MAILS: Final = 10
ACCOUNTS: Final = 200
PUSH_TONES: Final = {"passed": "running", "pending": "changing", "refused": "failed", "replaced": "stopped",
                    "failed": "failed"}  # fmt: skip


@page()
def one(request: HttpRequest, seat: Seat, pk: UUID) -> HttpResponse:
    """The page of a customer. Whoever belongs to it is not named: the provider knows its contact address."""
    customer = _customer(seat, pk)
    rows = CloudAccount.objects.present().filter(customer=customer).select_related("endpoint__provider", "customer")
    accounts = list(rows.defer("sealed", "pending_sealed", "endpoint__ca").order_by("name", "pk")[:ACCOUNTS])
    pushes = CredentialPush.objects.filter(account__customer=customer).select_related("account").order_by("-pk")
    history = [(push, CredentialPush.Outcome(push.outcome).label, PUSH_TONES[push.outcome])
               for push in pushes.defer("account__sealed", "account__pending_sealed")[:PUSHES]]  # fmt: skip
    return show(
        request, seat, "provider/customer.html", "customers",
        customer=customer,
        accounts=[(account, health(account)) for account in accounts],
        servers=sum(account.server_count for account in accounts),
        pushes=history,
        mails=list(customer.mails.order_by("-queued_at", "-id")[:MAILS]),
    )  # fmt: skip


@page("POST")
def resend_mail(request: HttpRequest, seat: Seat, pk: UUID) -> HttpResponse:
    """The welcome or invitation once more."""
    customer = _customer(seat, pk)
    words = "A mail with a fresh link is on its way."
    return done(request, _at(seat, customer), words, lambda: customers.resend_mail(customer, seat.actor))


@page("POST")
def resume(request: HttpRequest, seat: Seat, pk: UUID) -> HttpResponse:
    """Everything goes on."""
    customer = _customer(seat, pk)
    return done(request, _at(seat, customer), f"{customer} is active again.",
                lambda: customers.resume(customer, seat.actor))  # fmt: skip


@page("GET HEAD POST", admin=True)
def suspend(request: HttpRequest, seat: Seat, pk: UUID) -> HttpResponse:
    """GET asks, POST suspends."""
    customer = _customer(seat, pk)
    if request.method == "POST":
        return done(request, _at(seat, customer), f"{customer} is suspended.",
                    lambda: customers.suspend(customer, seat.actor))  # fmt: skip
    return confirm(
        request, seat, "customers", heading="Suspend this customer", action_label="Suspend customer",
        sentence="Its people can look and do nothing; nothing is read and no work runs until you resume it. "
                 "Its servers themselves run on.",
        targets=_targets(customer), danger=True, back=_at(seat, customer),
    )  # fmt: skip


@page("GET HEAD POST", admin=True)
def close(request: HttpRequest, seat: Seat, pk: UUID) -> HttpResponse:
    """GET asks, POST closes."""
    customer = _customer(seat, pk)
    if request.method == "POST":
        return done(request, _at(seat, customer), f"{customer} is closed, its cloud credentials are wiped.",
                    lambda: customers.close(customer, seat.actor))  # fmt: skip
    return confirm(
        request, seat, "customers", heading="Close this customer", action_label="Close customer",
        sentence="Nobody gets in any more, its cloud credentials are wiped at once, and its agents leave. What is kept "
                 "is erased after the grace period; until then a PUT with its id reopens it.",
        targets=_targets(customer), danger=True, back=_at(seat, customer),
    )  # fmt: skip


def _targets(customer: Customer) -> list[dict[str, Any]]:
    rows = CloudAccount.objects.present().filter(customer=customer).order_by("name")[:ACCOUNTS]
    accounts = [{"name": account.name, "detail": f"{account.server_count} servers"}
                for account in rows.defer("sealed", "pending_sealed")]  # fmt: skip
    return [{"name": str(customer), "detail": customer.external_id}, *accounts]


def _customer(seat: Seat, pk: UUID) -> Customer:
    found: Customer | None = Customer.objects.known_to(seat.provider).filter(pk=pk).first()
    if found is None:
        raise Http404("No such customer.")
    return found


def _at(seat: Seat, customer: Customer) -> str:
    return reverse("provider:customer", args=[seat.slug, customer.pk])
