"""People who work at providers, at their own pages: North's administrator and viewer, South's administrator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console.models import User
from providers.models import Customer, Provider, ProviderMember
from tests.factories import AccountFactory, CustomerFactory, MembershipFactory, ProviderFactory, UserFactory


def browser(person: User) -> Client:
    client = Client()
    client.force_login(person, backend="django.contrib.auth.backends.ModelBackend")
    return client


def member(provider: Provider, email: str, role: str) -> User:
    user = UserFactory(email=email)
    ProviderMember.objects.create(provider=provider, user=user, role=role, accepted_at=timezone.now())
    return user


@dataclass
class Desk:
    """Two providers with who works there; alice rents at North, charlie at South."""

    north: Provider
    south: Provider
    admin: User
    viewer: User
    stranger: User  # South's administrator
    alice: User
    charlie: User
    staff: User
    customer: Customer
    elsewhere: Customer

    def at(self, name: str, *args: Any) -> str:
        return reverse(f"provider:{name}", args=[self.north.slug, *args])

    def get(self, name: str, /, *args: Any, by: User | None = None, **query: str) -> Any:
        return browser(by or self.admin).get(self.at(name, *args), query)

    def post(self, name: str, /, *args: Any, by: User | None = None, **given: Any) -> Any:
        return browser(by or self.admin).post(self.at(name, *args), given)


def desk() -> Desk:
    cache.clear()
    north, south = ProviderFactory(slug="north", name="North Cloud"), ProviderFactory(slug="south", name="South Host")
    customer = CustomerFactory(provider=north, external_id="c-1", organization="Orchard Ltd")
    elsewhere = CustomerFactory(provider=south, external_id="c-2", organization="Elsewhere")
    alice, charlie = (UserFactory(email=f"{name}@example.com") for name in ("alice", "charlie"))
    MembershipFactory(customer=customer, user=alice)
    MembershipFactory(customer=elsewhere, user=charlie)
    AccountFactory(customer=customer, name="Main")
    return Desk(
        north, south,
        member(north, "ada@north.example", "admin"),
        member(north, "vic@north.example", "viewer"),
        member(south, "sue@south.example", "admin"),
        alice, charlie, UserFactory(email="boss@muster.example", is_staff=True, is_superuser=True),
        customer, elsewhere,
    )  # fmt: skip
