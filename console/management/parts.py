"""What runs: each part of the process tree and its command line. Secrets travel by environment or file, never here."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import IO

from console.lib import children, embedded, logfiles
from console.lib.embedded import Engine
from console.lib.tree import Part

BEAT, WORKERS, WEB, DEMO, ENGINE = range(5)  # the order of stopping; together less than 15 s
POOL = "20"  # database connections of a process that works in threads
QUEUES = ("default", "actions", "sync", "ssh", "webhooks")  # a worker for each
# Tasks at once in one process that works in threads: actions, readings of accounts and of single servers (two endpoints
# that hang leave room for others: accounts.places, servers.turns, servers.refreshing), slices of installs, and
# webhooks, which run threads of their own.
THREADS = {"actions": "8", "sync": "14", "ssh": "4", "webhooks": "16"}
_CELERY = ("-m", "celery", "-A", "console.celery", "-q")


def worker(queue: str) -> list[str]:
    """Python's arguments for a worker of this queue."""
    threads = THREADS.get(queue)
    pool = ["--pool", "threads", "-c", threads] if threads else ["-c", "2", "--max-tasks-per-child", "2000"]
    named = ["-Q", queue, "-n", f"{queue}-{os.getpid()}@%h"]
    return [*_CELERY, "worker", *named, "--without-gossip", "--without-mingle", *pool]


def pool(queue: str = "") -> str:
    """How many database connections the process of this queue (or of the web) may hold."""
    asked = os.environ.get("DATABASE_POOL") or POOL
    least = 2 * int(THREADS[queue]) if queue in ("actions", "sync") else 0  # each has a thread that keeps its lease
    return str(least) if asked.isdigit() and 0 < int(asked) < least else asked


class Parts:
    """The parts of one home, each to be added to a tree."""

    def __init__(self, home: Path, root: Path) -> None:
        self.home, self.root = home, root
        self.env = {**os.environ, "MUSTER_HOME": str(home), children.MARK: str(home), "PYTHONUNBUFFERED": "1"}

    def said(self, name: str) -> str:
        """What `name` said last, and where its log is."""
        words = logfiles.last_words(self.home, name)
        return f"{f'It said: {words} ' if words else ''}(log: {logfiles.folder(self.home) / name}.log)"

    def python(
        self,
        name: str,
        *argv: str,
        env: Mapping[str, str] | None = None,
        fds: Sequence[int] = (),
        death: int = signal.SIGKILL,
        out: IO[bytes] | None = None,
    ) -> subprocess.Popen[bytes]:
        """A Python of ours with this command line, its words in `out` or in its own log."""
        with nullcontext(out) if out else logfiles.opened(self.home, name) as log:
            return children.spawn(
                [sys.executable, *argv],
                env={**self.env, **(env or {})},
                out=log,
                cwd=self.root,
                pass_fds=fds,
                death=death,
            )

    def manage(self, name: str, *argv: str) -> subprocess.Popen[bytes]:
        """One `manage.py` command that runs to its end."""
        return self.python(name, "manage.py", *argv)

    def postgres(self, eng: Engine) -> Part:
        return Part(
            "postgres", lambda: embedded.spawn_postgres(eng), ENGINE, 3.0, signal.SIGINT, lambda: self.said("postgres")
        )

    def valkey(self, eng: Engine) -> Part:
        return Part("valkey", lambda: embedded.spawn_valkey(eng), ENGINE, 3.0, said=lambda: self.said("valkey"))

    def web(self, name: str, door: socket.socket) -> Part:
        def start() -> subprocess.Popen[bytes]:
            return self.python(
                name, "-m", "console.web", str(door.fileno()), env={"DATABASE_POOL": pool()}, fds=[door.fileno()]
            )

        return Part(name, start, WEB, 3.0, said=lambda: self.said(name))

    def worker(self, queue: str) -> Part:
        """The others wait on sockets, so they work in threads of one process; `default` forks."""
        name = f"worker-{queue}"

        def start() -> subprocess.Popen[bytes]:
            return self.python(name, *worker(queue), env={"DATABASE_POOL": pool(queue)} if queue in THREADS else None)

        return Part(name, start, WORKERS, 4.0, said=lambda: self.said(name))

    def beat(self) -> Part:
        """Keeps no file: after a restart everything is due within one interval, and twice is harmless."""

        def start() -> subprocess.Popen[bytes]:
            return self.python("beat", *_CELERY, "beat", "-S", "celery.beat:Scheduler")

        return Part("beat", start, BEAT, 1.0, said=lambda: self.said("beat"))

    def demo(self) -> Part:
        def start() -> subprocess.Popen[bytes]:
            return self.python("demo", "manage.py", "demo_cloud", "--home", str(self.home), death=signal.SIGTERM)

        return Part("demo", start, DEMO, 2.0, said=lambda: self.said("demo"))

    def sandbox(self) -> Part:
        """The simulated clouds that test keys act on."""

        def start() -> subprocess.Popen[bytes]:
            return self.python("sandbox", "manage.py", "sandbox_cloud")

        return Part("sandbox", start, DEMO, 2.0, said=lambda: self.said("sandbox"))
