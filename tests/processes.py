"""Real processes for tests: a home of their own, conditions with a deadline, and an end to everything."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from console.lib import children, embedded
from console.lib.embedded import Engine

ROOT = Path(__file__).resolve().parent.parent
T = TypeVar("T")


def wait(true: Callable[[], T], seconds: float = 60, words: str = "it happens") -> T:
    """The first truthy `true()`; AssertionError with `words` when there is none within `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        found = true()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds} s: {words}"
        threading.Event().wait(0.02)


def environment(home: Path, **more: str) -> dict[str, str]:
    """What a newcomer's shell would hand down, with this home, and nothing of this test run's servers."""
    ours = (
        "DATABASE_URL",
        "REDIS_URL",
        "SECRET_KEY",
        "SEAL_KEYS",
        "SIGN_KEYS",
        "DEMO",
        "PORT",
        "PUBLIC_URL",
        "DATABASE_POOL",
        "DJANGO_SETTINGS_MODULE",
        children.MARK,
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", *ours))}
    return {**kept, "MUSTER_HOME": str(home), **more}


@contextmanager
def folder() -> Iterator[Path]:
    """A folder that everybody may pass through (pytest's may not be), gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="muster-test-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)
        yield Path(name)


@contextmanager
def engine_of_its_own(home: Path) -> Iterator[Engine]:
    """PostgreSQL and Valkey for one test alone, so that it may be rude to them."""
    eng = embedded.engine(home)
    running = []
    try:
        running.append(embedded.start_postgres(eng, durable=False))
        running.append(embedded.start_valkey(eng))
        embedded.ensure_database(eng)
        yield eng
    finally:
        for process in running:
            end(process, signal.SIGINT)


def manage(env: dict[str, str], *argv: str) -> str:
    """Run `manage.py` to its end; its output. AssertionError with what it said when it fails."""
    done = subprocess.run(
        [sys.executable, "manage.py", *argv],
        env=env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def end(process: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> None:
    """Ask it to stop; after five seconds, make it, with its whole session."""
    if process.poll() is None:
        process.send_signal(number)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
