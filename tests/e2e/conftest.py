"""The demo's console, which the stories that leave it standing share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.console import Console, running
from tests.homes import ready_home


@pytest.fixture(scope="package")
def console() -> Iterator[Console]:
    with ready_home() as home, running(home) as started:
        yield started
