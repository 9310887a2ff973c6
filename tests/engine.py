"""A pytest plugin (loaded by `-p tests.engine`): real PostgreSQL and Valkey for this run, gone when it ends.

With DATABASE_URL and REDIS_URL set, those servers are used instead. Under xdist only the controller starts servers;
each of its workers has a database of its own in both, so that a cache that one of them empties is nobody else's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from console.lib import embedded

_running: list[subprocess.Popen[bytes]] = []
_home: Path | None = None


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Before pytest-django reads the settings."""
    global _home
    if worker := os.environ.get("PYTEST_XDIST_WORKER"):
        number = 1 + int(worker.removeprefix("gw")) % 3  # stack.py takes the last ones of the sixteen
        os.environ["REDIS_URL"] = urlsplit(os.environ["REDIS_URL"])._replace(path=f"/{number}").geturl()
        return
    if _home is not None:
        return
    _home = Path(tempfile.mkdtemp(prefix="muster-test-"))
    _home.chmod(0o711)
    home = _home / "home"
    eng = embedded.engine(home)
    (home / "static").mkdir()  # WhiteNoise warns of a missing one, and a warning is an error
    os.environ.update(MUSTER_HOME=str(home), DEMO="1", SECRET_KEY=eng.secret_key, SEAL_KEYS=eng.seal_keys,
                      SIGN_KEYS=eng.sign_keys)  # fmt: skip
    if not (os.environ.get("DATABASE_URL") and os.environ.get("REDIS_URL")):
        _running.append(embedded.start_postgres(eng, durable=False))
        _running.append(embedded.start_valkey(eng))
        os.environ.update(DATABASE_URL=eng.database_url, REDIS_URL=eng.redis_url)


def pytest_unconfigure() -> None:
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    for process in _running:
        process.terminate()
    for process in _running:
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    _running.clear()
    if _home is not None:
        shutil.rmtree(_home, ignore_errors=True)
