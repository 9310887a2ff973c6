"""An OpenSSH server, and a console that answers, for all tests of a file."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import farside
from tests.sshd import Sshd


@pytest.fixture(scope="module")
def room() -> Iterator[Path]:
    """A folder that another user may enter too (pytest's own are closed to others)."""
    folder = Path(tempfile.mkdtemp(prefix="muster-ssh-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def console() -> Iterator[str]:
    with farside.health() as url:
        yield url


@pytest.fixture(scope="module")
def sshd(room: Path) -> Iterator[Sshd]:
    with Sshd(
        room / "plain", env={"MUSTER_SEEN": str(room / "plain" / "seen")}, keys=("ed25519", "ecdsa", "rsa")
    ) as one:
        yield one
