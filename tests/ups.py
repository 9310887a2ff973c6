"""`manage.py up` as a test sees it: a process whose terminal is read, and the tree below it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from console.lib import children, embedded
from tests.processes import ROOT, environment, wait

READY_WITHIN = 120.0  # seconds; on a quiet machine a new home needs six


class Up:
    """One run of `up` on a home. Parts are found by what their command lines say."""

    PARTS = {
        "postgres": r"bin/postgres -D",
        "valkey": r"valkey.conf",
        "web": r"console\.web",
        "worker-default": r" worker -Q default",
        "worker-actions": r" worker -Q actions",
        "worker-sync": r" worker -Q sync",
        "worker-ssh": r" worker -Q ssh",
        "worker-webhooks": r" worker -Q webhooks",
        "beat": r" beat -S",
        "sandbox": r"sandbox_cloud",
        "demo": r"demo_cloud",
    }

    def __init__(self, home: Path, **env: str) -> None:
        port = env.setdefault("PORT", str(embedded.free_port()))
        self.home, self.port = home, int(port) if port.isdigit() else 0
        self.terminal = home.parent / f"{home.name}.terminal"
        self.terminal.touch()
        self._before = self.terminal.stat().st_size
        with self.terminal.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "up"],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environment(home, DEMO="0") | env,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        """What this run has printed."""
        return self.terminal.read_bytes()[self._before :].decode()

    def ready(self) -> Up:
        """Wait for the ready line."""
        wait(lambda: self.process.poll() is not None or "\nready " in f"\n{self.said}", READY_WITHIN, self.said)
        assert self.process.poll() is None, self.said
        assert f"ready http://127.0.0.1:{self.port}\n" in self.said
        return self

    def tree(self) -> list[psutil.Process]:
        """Everything below `up` now."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def part(self, name: str) -> psutil.Process | None:
        """The direct child that is this part."""
        for process in psutil.Process(self.process.pid).children():
            try:
                if re.search(self.PARTS[name], " ".join(process.cmdline())):
                    return process
            except psutil.NoSuchProcess:
                continue
        return None

    def readyz(self) -> tuple[int, list[str]]:
        """Status and reasons; (0, …) when nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=5) as reply:  # noqa: S310
                return reply.status, json.load(reply)["reasons"]
        except urllib.error.HTTPError as reply:
            return reply.code, json.load(reply)["reasons"]
        except OSError as fault:
            return 0, [str(fault)]

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Ask it to stop and wait as long as is promised."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait(15)


@contextmanager
def up(home: Path, **env: str) -> Iterator[Up]:
    """Started, not yet ready; whatever happens, nothing of it is left."""
    running = Up(home, **env)
    try:
        yield running
    finally:
        try:
            running.stop()
        except subprocess.TimeoutExpired:
            os.killpg(running.process.pid, signal.SIGKILL)
            running.process.wait()
            children.end_marked(home, 0)
