"""A running console, as `make run` starts it, and a browser to look at it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from console.lib.embedded import free_port
from tests.processes import environment, manage
from tests.shared import ROOT

CHROMIUM = Path("/usr/bin/chromium")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass
class Console:
    """`manage.py up`, ready. `links` gives fresh sign-in links of the demo: its customer's, and its staff's."""

    url: str
    home: Path
    process: subprocess.Popen[str]
    env: dict[str, str]

    def links(self) -> list[str]:
        return [word for word in manage(self.env, "demo_links").split() if "/in/" in word]

    def command(self, *words: str) -> str:
        """What `manage.py WORDS` printed last: a key, a link."""
        return manage(self.env, *words).strip().rpartition("\n")[2]


@contextmanager
def running(home: Path, *, port: int | None = None, demo: bool = True) -> Iterator[Console]:
    """Start everything on embedded servers in `home`, wait for the ready line, and stop it at the end."""
    port = port or free_port()
    env = environment(home, PORT=str(port), DEMO="1" if demo else "0", PYTHONUNBUFFERED="1")
    process = subprocess.Popen(
        [sys.executable, "manage.py", "up"],
        cwd=ROOT,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    said: deque[str] = deque(maxlen=200)
    ready = threading.Event()

    def listen() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            said.append(line.rstrip())
            if line.startswith("ready "):
                ready.set()
        ready.set()

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        assert ready.wait(120), "no ready line: " + "\n".join(said)
        assert any(line.startswith("ready ") for line in said), "it ended: " + "\n".join(said)
        yield Console(f"http://127.0.0.1:{port}", home, process, env)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            listener.join(5)
            process.stdout.close()  # type: ignore[union-attr]


@contextmanager
def browser() -> Iterator[Any]:
    """A headless Chromium of Debian's; the tests that need it skip with the package's name where it is absent."""
    if not CHROMIUM.exists():
        pytest.skip("Chromium is absent: install Debian's package chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as engine:
        chromium = engine.chromium.launch(executable_path=str(CHROMIUM), args=QUIET)
        try:
            yield chromium
        finally:
            chromium.close()
