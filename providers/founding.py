"""Many new customers at once: the same rows that `customers.put` makes for one, in a few statements for all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.hashers import make_password
from django.db.models.functions import Lower

from console.lib import audit, copying
from console.models import User
from providers import events, mail
from providers.customers import FIELDS
from providers.models import Customer, Membership, Provider


def customers(
    provider: Provider, wanted: Mapping[str, Mapping[str, Any]], actor: audit.Actor, *, send_mail: bool
) -> dict[str, Customer]:
    """Make those that the provider does not have, by external id; returns the ones that this call made.

    Call it inside a transaction. The others are for `customers.put`: they exist, or somebody makes them right now. So
    are all of a provider with a quota, whose room is counted one by one, and of a sandbox, whose people are nobody's.
    """
    if provider.max_customers is not None or provider.sandbox_of_id is not None:
        return {}
    known = provider.customers.filter(external_id__in=list(wanted)).values_list("external_id", flat=True)
    fresh = [
        Customer(provider=provider, external_id=pk, **{name: row[name] for name in FIELDS if name in row})
        for pk, row in wanted.items()
        if pk not in set(known)
    ]
    Customer.objects.bulk_create(fresh, ignore_conflicts=True)
    made = {one.external_id: one for one in Customer.objects.filter(pk__in=[one.pk for one in fresh])}
    for one in made.values():
        one.provider = provider  # or each would be asked for it
    memberships = _admit(list(made.values()))
    audit.note_many(actor, "customer.created", list(made.values()), provider_id=provider.pk)
    events.fire_many(provider, "customer.created", [{"external_id": pk} for pk in made])
    if send_mail:
        mail.queue_many(memberships)
    return made


def _admit(made: list[Customer]) -> list[Membership]:
    """The people behind the contact addresses; an address that somebody signs in with is an invitation."""
    wanted = {one.email.lower(): one for one in reversed(made)}
    people = _people(list(wanted))
    strangers = [
        User(email=User.objects.normalize_email(address).lower(), first_name=one.first_name, last_name=one.last_name,
             password=make_password(None))
        for address, one in wanted.items() if address not in people
    ]  # fmt: skip
    User.objects.bulk_create(strangers, ignore_conflicts=True)
    ours = {one.pk for one in strangers}
    people |= _people([one.email for one in strangers])
    founded: set[Any] = set()
    rows = []
    for one in made:
        person = people[one.email.lower()]
        founding = person.pk in ours and person.pk not in founded  # of two with one address, the first made the person
        founded.add(person.pk)
        rows.append(Membership(customer=one, user=person, founding=founding))
    copying.insert(rows)
    return rows


def _people(addresses: list[str]) -> dict[str, User]:
    found = User.objects.alias(address=Lower("email")).filter(address__in=addresses)
    return {person.email.lower(): person for person in found}
