"""Collected only when asked for: this needs an installation of its own, and minutes (`make test-openstack`)."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.realstack.ground import Missing
from tests.realstack.person import Person
from tests.realstack.stack import Stack, running

collect_ignore_glob = [] if os.environ.get("MUSTER_OPENSTACK") == "1" else ["test_*.py"]


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """One OpenStack for all tests of the run."""
    try:
        with running() as stack:
            yield stack
    except Missing as words:
        pytest.exit(str(words), returncode=1)


@pytest.fixture
def person(stack: Stack) -> Iterator[Person]:
    """A member of the project with a driver of ours; the servers that the test made are deleted afterwards."""
    someone = Person(stack)
    try:
        yield someone
    finally:
        someone.leave()
