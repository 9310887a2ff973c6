"""A provider, its webhook, and what listens there."""

from __future__ import annotations

import pytest

from console.lib import audit
from providers import webhooks
from tests.factories import ProviderFactory
from tests.receiver import receiving


@pytest.fixture
def site():
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def north(db):
    return ProviderFactory(contact_email="developers@north.example")


@pytest.fixture
def hook(north, site):
    """North's webhook to the receiver, and its secret."""
    return webhooks.add(north, site.url, [], audit.SYSTEM)
