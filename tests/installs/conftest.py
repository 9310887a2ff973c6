"""A live console that agents report to, and a host with OpenSSH."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from servers.models import Server
from tests.asgi import served
from tests.conftest import People
from tests.installs.hosts import at, take_off
from tests.sshd import Sshd


@pytest.fixture(autouse=True)
def console(transactional_db: None, settings: Any) -> Iterator[str]:
    """The console that agents report to; they do it every second here."""
    with served() as live:
        settings.PUBLIC_URL, settings.AGENT_INTERVAL = live.url, 1
        yield live.url


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Sshd]:
    with Sshd(tmp_path / "host") as sshd:
        yield sshd
        take_off(sshd)


@pytest.fixture
def server(people: People) -> Server:
    return at("127.0.0.1", people, name="reachable")
