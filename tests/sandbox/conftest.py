"""The simulated clouds, served; North, with a test key and a live one."""

from __future__ import annotations

import pytest

from console.demo.sandbox import Sandbox
from tests.factories import ProviderFactory
from tests.provider_api.calls import Api


@pytest.fixture(scope="module")
def clouds(tmp_path_factory):
    """The simulated clouds of the sandbox, served; the folder that says where."""
    home = tmp_path_factory.mktemp("home")
    served = Sandbox(home / "sandbox" / "site.json")
    served.start()
    yield home
    served.stop()


@pytest.fixture
def here(clouds, settings):
    settings.MUSTER_HOME, settings.SANDBOX = clouds, True


@pytest.fixture
def north(db, here):
    return ProviderFactory(slug="north", name="North Cloud")


@pytest.fixture
def test(north):
    """North's program with a test key."""
    return Api(north, sandbox=True)


@pytest.fixture
def live(north):
    return Api(north)
