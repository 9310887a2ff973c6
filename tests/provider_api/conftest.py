"""Two providers, with customers of the same ids."""

from __future__ import annotations

import pytest

from tests.factories import AccountFactory, CustomerFactory, EndpointFactory, ProviderFactory, ServerFactory
from tests.provider_api.calls import Api


@pytest.fixture
def api(db):
    provider = ProviderFactory()
    EndpointFactory(provider=provider, slug="nova", name="Nova")
    return Api(provider)


@pytest.fixture
def rival(db):
    """Another provider, with a customer, an account and a server of the same ids."""
    provider = ProviderFactory()
    customer = CustomerFactory(provider=provider, external_id="c-1", organization="Secret Ltd")
    account = AccountFactory(customer=customer, external_id="main")
    ServerFactory(account=account, name="secret-1")
    return Api(provider)
