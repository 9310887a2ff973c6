"""An identity server that runs, and the provider whose it is."""

from __future__ import annotations

import pytest
from django.core.cache import cache

from tests.identity_server import identity_server, opened


@pytest.fixture
def demo(db, settings):
    settings.DEMO_NETWORKS = ["127.0.0.0/8"]
    cache.clear()


@pytest.fixture
def site(demo):
    with identity_server() as made:
        yield made


@pytest.fixture
def north(site):
    return opened("north", site)
