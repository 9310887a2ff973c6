"""docs/examples/integrate.py, written only from the docs, against the processes that `make run` starts."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.e2e.console import running
from tests.processes import folder
from tests.shared import ROOT

pytestmark = [pytest.mark.timeout(300)]


def test_the_example_of_the_docs_integrates_a_provider_from_key_to_servers():
    with folder() as home, running(home) as console:
        console.command("add_provider", "west", "--name", "West Host")
        key = console.command("add_provider_key", "west", "--sandbox")
        assert key.startswith("mst_test_")
        done = subprocess.run(
            [sys.executable, "docs/examples/integrate.py", console.url, key],
            cwd=ROOT,
            text=True,
            capture_output=True,
            check=False,
            timeout=200,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Bad credentials: bad_credentials" in done.stdout
        assert "An older version is refused" in done.stdout
        assert done.stdout.strip().endswith("Done.")
