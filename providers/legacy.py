"""The calls of 2012, for providers that were integrated with the original: their key, and customers by e-mail.

Off until staff turn them on for a provider. The secret is a dedicated one, known to programs as its MD5 hex; we keep a
SHA-256 of that.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import md5, sha256
from typing import Final

from django.db import transaction
from django.db.models import QuerySet

from console.lib import audit
from console.lib.denials import Denied
from providers import customers, links
from providers.models import Customer, Membership, Provider

LONGEST_ID: Final = 120
ORDERS: Final = {"firstname": "first_name", "lastname": "last_name", "email": "email", "organization": "organization"}


@dataclass(frozen=True)
class Created:
    """`password` is a single-use link to a first password (the original gave the password itself). What is set by it
    opens this customer alone, until the person sets another by their own mail: the caller may have used it itself.
    """

    customer: Customer
    membership: Membership
    password: str


class Registered(Exception):
    """The provider has a customer of this address already."""


def turn_on(provider: Provider, actor: audit.Actor) -> tuple[str, str]:
    """A fresh key and secret for the 2012 calls, shown once; what was there before opens nothing any more."""
    key, secret = secrets.token_hex(16), secrets.token_urlsafe(24)
    with transaction.atomic():
        Provider.objects.filter(pk=provider.pk).update(
            legacy_calls=True, legacy_key=key, legacy_digest=_digest(hashed(secret))
        )
        audit.note(actor, "provider.legacy_calls_on", target=provider, provider_id=provider.pk)
    provider.refresh_from_db()
    return key, secret


def turn_off(provider: Provider, actor: audit.Actor) -> None:
    """The 2012 calls open nothing from now on. Twice is harmless."""
    with transaction.atomic():
        on = Provider.objects.filter(pk=provider.pk, legacy_calls=True)
        if on.update(legacy_calls=False, legacy_key="", legacy_digest=""):
            audit.note(actor, "provider.legacy_calls_off", target=provider, provider_id=provider.pk)
    provider.refresh_from_db()


def hashed(secret: str) -> str:
    """What a program sends as `sxsecretkey`: the MD5 hex of its secret."""
    return md5(secret.encode(), usedforsecurity=False).hexdigest()


def find(key: str, hashed_secret: str) -> Provider | None:
    """The enabled provider of this key and hashed secret, when its 2012 calls are on."""
    found = Provider.objects.filter(legacy_calls=True, legacy_key=key).first() if key else None
    # Compared even when there is no such key, so that the time taken does not tell which keys exist.
    same = secrets.compare_digest(
        _digest(hashed_secret.lower()), found.legacy_digest if found and found.legacy_digest else "0" * 64
    )
    return found if found and same and found.status == Provider.Status.ENABLED else None


def create(
    provider: Provider, *, email: str, first_name: str, last_name: str, organization: str, actor: audit.Actor
) -> Created:
    """A customer of this address. Registered when the provider has one already; of other providers nothing is told."""
    email = email.strip()
    with transaction.atomic():
        Provider.objects.select_for_update(no_key=True).get(pk=provider.pk)  # two of one address come one by one
        if by_email(provider, email) is not None:
            raise Registered
        fields = {"email": email, "first_name": first_name, "last_name": last_name, "organization": organization}
        outcome = customers.put(provider, _external_id(email), fields, actor)
        if not outcome.created:  # the id is taken by one whose address was changed since
            raise Registered
        membership = outcome.customer.memberships.select_related("user").get(user__email__iexact=email)
        # A person with a sign-in of their own gets a link that looks the same and sets nothing: they are invited by
        # mail, and the provider does not learn from it that anybody knows them.
        link = links.told_password(membership.user, outcome.customer)
    return Created(outcome.customer, membership, link)


def by_email(provider: Provider, email: str) -> Customer | None:
    """The provider's customer of this contact address, closed ones left out."""
    return _open(provider).filter(email__iexact=email.strip()).order_by("created_at").first()


def listed(
    provider: Provider, *, order: str = "email", descending: bool = False, rows: int | None = None, page: int = 1
) -> Sequence[Customer]:
    """The provider's customers, closed ones left out. Denied for an order that there is not."""
    if order not in ORDERS:
        raise Denied(f"sortedby is one of {', '.join(ORDERS)}")
    found = _open(provider).order_by(f"{'-' if descending else ''}{ORDERS[order]}", "pk")
    return list(found if rows is None else found[(page - 1) * rows : page * rows])


def _open(provider: Provider) -> QuerySet[Customer]:
    rows: QuerySet[Customer] = provider.customers.exclude(status=Customer.Status.CLOSED)
    return rows


def _external_id(email: str) -> str:
    """The id that such a customer has in the present API: its address as it was registered."""
    known_by = email.lower()
    usable = len(known_by) <= LONGEST_ID and "/" not in known_by
    return known_by if usable else f"2012-{sha256(known_by.encode()).hexdigest()}"


def _digest(text: str) -> str:
    return sha256(text.encode(errors="surrogatepass")).hexdigest()
