"""Three people: alice owns a customer, bob is in her team, charlie has no access. And what every test leaves clean."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from django.conf import settings
from django.test import Client, override_settings
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from accounts.models import CloudAccount
from console.demo.openstack import Cloud, Site, serve
from console.models import User
from providers.models import Customer
from tests.factories import AccountFactory, CustomerFactory, MembershipFactory, UserFactory
from tests.farclouds import account_at

# How long an example takes, or is thought of, says how busy the machine is. Speed is measured by `make bench`.
hypothesis_settings.register_profile(
    "muster", hypothesis_settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("muster")


@dataclass
class People:
    """alice and bob belong to `customer`; charlie belongs to `elsewhere`, at another provider."""

    alice: User
    bob: User
    charlie: User
    customer: Customer
    elsewhere: Customer
    account: CloudAccount

    @staticmethod
    def browser(person: User) -> Client:
        """A signed-in browser."""
        client = Client()
        client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
        return client


@pytest.fixture(autouse=True, scope="session")
def _plain_static() -> Iterator[None]:
    """Pages are tested without collectstatic: no hashed names."""
    plain = {**settings.STORAGES, "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
    with override_settings(STORAGES=plain):
        yield


@pytest.fixture
def people(db: None) -> People:
    customer, elsewhere = CustomerFactory(), CustomerFactory(organization="Elsewhere")
    alice, bob, charlie = (UserFactory(email=f"{name}@example.com") for name in ("alice", "bob", "charlie"))
    MembershipFactory(customer=customer, user=alice)
    MembershipFactory(customer=customer, user=bob, role="member")
    MembershipFactory(customer=elsewhere, user=charlie)
    return People(alice, bob, charlie, customer, elsewhere, AccountFactory(customer=customer))


@pytest.fixture
def site() -> Iterator[Site]:
    """A modern OpenStack of 25 servers."""
    with serve(Cloud.sized(25)) as served:
        yield served


@pytest.fixture
def account(site: Site) -> CloudAccount:
    """An account there, whose credentials have passed."""
    return account_at(site)
