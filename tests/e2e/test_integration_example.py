"""docs/examples/integrate.py, written only from the docs, against the processes that `make run` starts."""

from __future__ import annotations

import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.e2e.console import Console
from tests.shared import ROOT

pytestmark = [pytest.mark.timeout(300)]


def test_the_example_of_the_docs_integrates_a_provider_from_key_to_first_managed_server(
    console: Console, tmp_path: Path
):
    console.command("add_provider", "west", "--name", "West Host")
    key = console.command("add_provider_key", "west", "--sandbox")
    assert key.startswith("mst_test_")
    script = tmp_path / "integrate.py"  # as a developer gets it, who has no copy of this repository
    with urllib.request.urlopen(f"{console.url}/api/docs/guide/integrate.py", timeout=30) as file:
        script.write_bytes(file.read())
    done = subprocess.run(
        [sys.executable, str(script), console.url, key],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Bad credentials: bad_credentials" in done.stdout
    assert "An older version is refused" in done.stdout
    verified = re.search(r"Verified within ([\d.]+) seconds of the push", done.stdout)
    assert verified and float(verified[1]) <= 30, done.stdout  # as docs/integrate.md promises
    assert re.search(r"^Managed: .+, load \d", done.stdout, re.MULTILINE), done.stdout
    assert done.stdout.strip().endswith("Done.")
