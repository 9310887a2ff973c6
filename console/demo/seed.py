"""The demo's rows, made by the same deeds that a provider's calls and staff's commands use."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings

from accounts import linking
from console.lib.audit import SYSTEM
from console.models import User
from providers import customers, links
from providers.models import CloudEndpoint, Customer, Membership, Provider, SignInLink

PROVIDER, CUSTOMER, ACCOUNT = "north-cloud", "orchard", "main"
EMAIL, STAFF = "alice@orchard.example", "staff@muster.example"
LIFETIME = timedelta(hours=24)


class NoSite(Exception):
    """The simulated cloud has not written where it is."""


def site() -> dict[str, Any]:
    """Where the simulated cloud is and what opens it (written by `manage.py demo_cloud`)."""
    path = Path(settings.MUSTER_HOME) / "demo" / "site.json"
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as fault:
        raise NoSite(
            f"The simulated cloud is not running: {path} is missing or unreadable. Start it with make run."
        ) from fault
    return found


def plant() -> None:
    """Make what is missing; what is there stays, with the cloud's present address and credentials."""
    cloud = site()
    provider, _ = Provider.objects.get_or_create(
        slug=PROVIDER, defaults={"name": "North Cloud", "status": Provider.Status.ENABLED}
    )
    endpoint, _ = CloudEndpoint.objects.update_or_create(
        provider=provider,
        slug="nova",
        defaults={
            "name": "North Cloud Nova",
            "platform": CloudEndpoint.Platform.OPENSTACK,
            "url": cloud["url"],
            "networks": settings.DEMO_NETWORKS,
            "allow_http": True,
        },
    )
    User.objects.filter(email=STAFF).exists() or User.objects.create_superuser(STAFF)
    outcome = customers.put(
        provider,
        CUSTOMER,
        {"email": EMAIL, "first_name": "Alice", "last_name": "Hall", "organization": "Orchard Ltd"},
        SYSTEM,
    )
    account = outcome.customer.accounts.filter(external_id=ACCOUNT).first()
    version = 1 + max(account.credentials_version, account.pending_version) if account else 1
    credentials = {name: str(cloud[name]) for name in ("username", "password", "project")}
    if account is None or account.credentials() != credentials:
        linking.push(
            outcome.customer,
            ACCOUNT,
            endpoint=endpoint,
            name="Orchard at North Cloud",
            version=version,
            credentials=credentials,
            actor=SYSTEM,
        )


def links_for_trial() -> list[tuple[str, str]]:
    """Who, and a fresh single-use link, for the terminal."""
    customer = Customer.objects.get(provider__slug=PROVIDER, external_id=CUSTOMER)
    person = Membership.objects.select_related("user").get(customer=customer, user__email=EMAIL).user
    Membership.objects.filter(customer=customer, user=person, accepted_at__isnull=True).update(
        accepted_at=customer.created_at
    )
    staff = User.objects.get(email=STAFF)
    made = []
    for who, user, path in (("Customer (Orchard Ltd)", person, ""), ("Staff (admin)", staff, "?next=/admin/")):
        token = links.issue(user, SignInLink.Purpose.SIGN_IN, lifetime=LIFETIME)
        made.append((who, f"{settings.PUBLIC_URL}/in/{token}/{path}"))
    return made
