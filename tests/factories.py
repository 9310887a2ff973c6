"""Rows for tests, as small as they can be."""

from __future__ import annotations

import factory
from django.utils import timezone

from accounts.models import CloudAccount
from console.models import User
from providers.models import CloudEndpoint, Customer, Membership, Provider
from servers.models import Server


class UserFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = User

    email = factory.Sequence(lambda n: f"person{n}@example.com")


class ProviderFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Provider

    slug = factory.Sequence(lambda n: f"cloud-{n}")
    name = "North Cloud"
    status = Provider.Status.ENABLED


class EndpointFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = CloudEndpoint

    provider = factory.SubFactory(ProviderFactory)
    slug = "essex-lab"
    name = "Essex Lab"
    platform = "openstack"
    url = "http://127.0.0.1:9/"
    networks = ["127.0.0.0/8"]
    allow_http = True


class CustomerFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Customer

    provider = factory.SubFactory(ProviderFactory)
    external_id = factory.Sequence(lambda n: f"c-{n}")
    email = factory.Sequence(lambda n: f"contact{n}@example.com")
    organization = "Orchard Ltd"


class MembershipFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Membership

    customer = factory.SubFactory(CustomerFactory)
    user = factory.SubFactory(UserFactory)
    accepted_at = factory.LazyFunction(timezone.now)


class AccountFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = CloudAccount

    customer = factory.SubFactory(CustomerFactory)
    endpoint = factory.SubFactory(EndpointFactory, provider=factory.SelfAttribute("..customer.provider"))
    external_id = factory.Sequence(lambda n: f"a-{n}")
    name = "Main account"


class ServerFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Server

    account = factory.SubFactory(AccountFactory)
    customer = factory.SelfAttribute("account.customer")
    external_id = factory.Sequence(lambda n: f"srv-{n}")
    name = factory.Sequence(lambda n: f"web-{n}")
    state = Server.State.RUNNING
    digest = "0"
