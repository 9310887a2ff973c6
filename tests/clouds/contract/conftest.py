"""A served account of each version. It is made once a module and version, since serving one costs the most."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clouds.contract.sites import Site
from tests.clouds.contract.versions import VERSIONS, serving


@pytest.fixture(scope="module", params=VERSIONS)
def served(request: pytest.FixtureRequest) -> Iterator[Site]:
    with serving(request.param) as site:
        yield site


@pytest.fixture
def site(served: Site) -> Iterator[Site]:
    """Without servers or mishaps of the test before."""
    served.clear()
    yield served
    served.faults.clear()
