"""The demo's rows, made by the same deeds that a provider's calls and staff's commands use."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings

from accounts import linking
from console.lib.audit import SYSTEM
from console.models import User
from providers import customers, links
from providers.models import CloudEndpoint, Customer, Membership, Provider, SignInLink

EMAIL, STAFF = "alice@orchard.example", "staff@muster.example"
LIFETIME = timedelta(hours=24)


@dataclass(frozen=True)
class Account:
    """An account of alice's, at an endpoint of its own. `branch`: see branches.py; "" is the modern OpenStack."""

    external_id: str
    branch: str
    endpoint: str
    endpoint_name: str
    name: str


@dataclass(frozen=True)
class Host:
    """A provider, and alice's company as that provider knows it."""

    slug: str
    name: str
    customer: str
    accounts: tuple[Account, ...]


NORTH = Host(
    "north-cloud",
    "North Cloud",
    "orchard",
    (
        Account("main", "", "nova", "North Cloud Nova", "Orchard at North Cloud"),
        Account("office", "essex", "essex", "North Cloud Essex", "Orchard office"),
        Account("attic", "diablo", "diablo", "North Cloud Diablo", "Orchard attic"),
    ),
)
SOUTH = Host(
    "south-host",
    "South Host",
    "c-2087",
    (
        Account("lisbon", "cloudstack-3", "lisbon", "South Host Lisbon", "Orchard Lisbon"),
        Account("porto", "cloudstack-4", "porto", "South Host Porto", "Orchard Porto"),
        Account("classic", "vcloud-1-0", "classic", "South Host Classic", "Orchard classic"),
        Account("business", "vcloud-1-5", "business", "South Host Business", "Orchard business"),
        Account("director", "vcd-38", "director", "South Host Director", "Orchard director"),
    ),
)
HOSTS = (NORTH, SOUTH)


class NoSite(Exception):
    """The simulated cloud has not written where it is."""


def site() -> dict[str, Any]:
    """Where the simulated clouds are and what opens them (written by `manage.py demo_cloud`)."""
    path = Path(settings.MUSTER_HOME) / "demo" / "site.json"
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as fault:
        raise NoSite(
            f"The simulated cloud is not running: {path} is missing or unreadable. Start it with make run."
        ) from fault
    return found


def plant() -> None:
    """Make what is missing; what is there stays, with the clouds' present addresses and credentials."""
    found = site()
    main = {"platform": "openstack", "url": found["url"]}
    main["credentials"] = {name: str(found[name]) for name in ("username", "password", "project")}
    clouds = {"": main} | {one["slug"]: one for one in found["branches"]}
    User.objects.filter(email=STAFF).exists() or User.objects.create_superuser(STAFF)
    for host in HOSTS:
        _settle(host, clouds)


def _settle(host: Host, clouds: Mapping[str, Any]) -> None:
    provider, _ = Provider.objects.get_or_create(
        slug=host.slug, defaults={"name": host.name, "status": Provider.Status.ENABLED}
    )
    person = {"email": EMAIL, "first_name": "Alice", "last_name": "Hall", "organization": "Orchard Ltd"}
    # One welcome mail is enough to look at: the other host's would be an invitation, and the trial's link accepts it.
    outcome = customers.put(provider, host.customer, {**person, "send_mail": host is NORTH}, SYSTEM)
    for one in host.accounts:
        cloud = clouds[one.branch]
        endpoint, _ = CloudEndpoint.objects.update_or_create(
            provider=provider,
            slug=one.endpoint,
            defaults={
                "name": one.endpoint_name,
                "platform": cloud["platform"],
                "url": cloud["url"],
                "networks": settings.DEMO_NETWORKS,
                "allow_http": True,
            },
        )
        _link(outcome.customer, one, endpoint, cloud["credentials"])


def _link(customer: Customer, one: Account, endpoint: CloudEndpoint, credentials: dict[str, str]) -> None:
    account = customer.accounts.filter(external_id=one.external_id).first()
    version = 1 + max(account.credentials_version, account.pending_version) if account else 1
    if account is None or account.credentials() != credentials:
        linking.push(
            customer,
            one.external_id,
            endpoint=endpoint,
            name=one.name,
            version=version,
            credentials=credentials,
            actor=SYSTEM,
        )


def links_for_trial() -> list[tuple[str, str]]:
    """Who, and a fresh single-use link, for the terminal."""
    mine = Membership.objects.select_related("user", "customer").filter(
        user__email=EMAIL, customer__provider__slug__in=[host.slug for host in HOSTS]
    )
    person = mine.get(customer__provider__slug=NORTH.slug, customer__external_id=NORTH.customer).user
    for one in mine.filter(accepted_at__isnull=True):
        Membership.objects.filter(pk=one.pk).update(accepted_at=one.customer.created_at)
    staff = User.objects.get(email=STAFF)
    made = []
    for who, user, path in (("Customer (Orchard Ltd)", person, ""), ("Staff (admin)", staff, "?next=/admin/")):
        token = links.issue(user, SignInLink.Purpose.SIGN_IN, lifetime=LIFETIME)
        made.append((who, f"{settings.PUBLIC_URL}/in/{token}/{path}"))
    return made
