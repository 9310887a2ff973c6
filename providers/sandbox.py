"""A provider's sandbox: a provider of its own with simulated clouds, on which the `mst_test_…` keys of its owner act.

Everything the API does goes to it by the same deeds; its events are delivered for real. Two things are not: its people
are nobody's (they sign in by addresses under `.invalid`, so that no test can take the sign-in of a real person), and
its mail is kept instead of sent.
"""

from __future__ import annotations

import re
import secrets
from collections import Counter
from hashlib import sha256
from typing import Final
from uuid import UUID

from django.db import transaction

from console.lib import audit
from console.models import User
from providers import endpoints, simulated
from providers.models import Customer, Event, Mail, Membership, Provider, Replay
from providers.signals import customer_closing, sandbox_resetting

SUFFIX: Final = " (sandbox)"
MOST: Final = {"max_customers": 1_000, "max_servers": 20_000, "max_agents": 1_000}
SLICE: Final = 50  # customers that go in one transaction
# What is told of a reset, by the label of the rows that went.
_COUNTED: Final = {
    "providers.Customer": "customers",
    "accounts.CloudAccount": "accounts",
    "servers.Server": "servers",
    "agents.Agent": "agents",
    "providers.Mail": "mails",
    "providers.Event": "events",
    "providers.Delivery": "deliveries",
}
_NOWHERE: Final = ".sandbox.invalid"  # no mail is ever delivered to .invalid (RFC 2606)
_PLAIN: Final = re.compile(r"[a-z0-9!#$%&'*+/?^_`{|}~-]+(\.[a-z0-9!#$%&'*+/?^_`{|}~-]+)*")


def twin(provider: Provider) -> Provider:
    """The provider's sandbox, made when it is first wanted; a sandbox is its own.

    It is enabled as long as its owner is, and named after it.
    """
    if provider.sandbox_of_id is not None:
        return provider
    found = Provider.objects.filter(sandbox_of=provider).first()
    if found is not None and (found.name, found.status) == (_name(provider), provider.status):
        return found
    with transaction.atomic():
        owner = Provider.objects.select_for_update(no_key=True).get(pk=provider.pk)
        told = {"name": _name(owner), "status": owner.status}
        found, made = Provider.objects.get_or_create(sandbox_of=owner, defaults={"slug": _slug(owner), **told, **MOST})
        if made:
            audit.note(audit.SYSTEM, "provider.sandbox_made", target=found, provider_id=owner.pk)
            furnish(found)
        elif (found.name, found.status) != (told["name"], told["status"]):
            found.name, found.status = told["name"], told["status"]
            found.save(update_fields=["name", "status"])
    return found


def furnish(home: Provider) -> None:
    """Its endpoints are the simulated clouds, at their present addresses. No network is approved: see `opening`."""
    places = simulated.places()
    for cloud in simulated.CLOUDS:
        if cloud.slug in places:
            endpoints.register(
                home,
                cloud.slug,
                platform=cloud.platform,
                url=places[cloud.slug],
                name=cloud.name,
                allow_http=True,
                actor=audit.SYSTEM,
            )


def furnish_all() -> int:
    """The clouds started, maybe elsewhere than before: every sandbox knows. How many there are."""
    homes = list(Provider.objects.filter(sandbox_of__isnull=False))
    for home in homes:
        furnish(home)
    return len(homes)


def reset(provider: Provider, actor: audit.Actor) -> dict[str, int]:
    """Everything that the sandbox's customers are and have goes at once, with its mails, events and deliveries; how
    many of each. Webhooks, wording, brand and the log of calls stay. Nothing is told to webhooks."""
    home = twin(provider)
    gone: Counter[str] = Counter()
    while _clear_some(home, gone):
        pass
    with transaction.atomic():
        _clear_loose(home, [], gone)
        for rows in (Event.objects.filter(provider=home), Mail.objects.filter(provider=home)):
            gone.update(rows.delete()[1])
        Replay.objects.filter(provider=home).delete()  # or a repeat would be told of what is no more
        told = {name: gone[label] for label, name in _COUNTED.items()}
        audit.note(actor, "provider.sandbox_reset", target=home, provider_id=home.pk, detail=told)
    return told


def sign_in_address(provider: Provider | None, email: str) -> str:
    """The address by which the person behind a contact address signs in. In a sandbox it is nobody's: whoever reads its
    mails could otherwise set the first password of anybody who is not here yet, and be that person from then on."""
    if provider is None or provider.sandbox_of_id is None:
        return email
    local, _, domain = email.lower().rpartition("@")
    name = f"{local}={domain}"
    if len(name) > 64 or not _PLAIN.fullmatch(name.replace("=", "")):
        name = sha256(email.lower().encode()).hexdigest()[:32]
    return f"{name}@{provider.slug}{_NOWHERE}"


def made_up(address: str) -> bool:
    """Whether it is the sign-in address of a sandbox's person. No mail goes there."""
    return address.lower().endswith(_NOWHERE)


def _clear_some(home: Provider, gone: Counter[str]) -> bool:
    with transaction.atomic():
        held = list(Customer.objects.select_for_update().filter(provider=home).order_by("pk")[:SLICE])
        if not held:
            return False
        keys = [one.pk for one in held]
        people = list(Membership.objects.filter(customer__in=keys).values_list("user_id", flat=True))
        for one in held:
            customer_closing.send(sender=Customer, customer=one)  # what runs for it ends before its rows go
        _clear_loose(home, keys, gone)
        gone.update(Customer.objects.filter(pk__in=keys).delete()[1])
        strangers = User.objects.filter(pk__in=people, memberships__isnull=True, provider_memberships__isnull=True)
        strangers.filter(is_staff=False).delete()
    return True


def _clear_loose(home: Provider, customers: list[UUID], gone: Counter[str]) -> None:
    for _, counts in sandbox_resetting.send(sender=Provider, provider=home, customers=customers):
        gone.update(counts)


def _name(owner: Provider) -> str:
    return f"{owner.name[: 120 - len(SUFFIX)]}{SUFFIX}"


def _slug(owner: Provider) -> str:
    wanted = f"{owner.slug[:45]}-sandbox"
    taken = Provider.objects.filter(slug=wanted).exists()
    return f"{wanted}-{secrets.token_hex(3)}" if taken else wanted
