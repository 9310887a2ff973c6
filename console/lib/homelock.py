"""One `up` at a time in a home: an flock, which the kernel lets go when its holder dies, however it dies."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Taken(RuntimeError):
    """Another process holds the home; the words name it."""


@contextmanager
def held(home: Path, note: str) -> Iterator[None]:
    """Hold `home` while this lasts. `note` is what another one reads about us."""
    with (home / "up.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as fault:
            lock.seek(0)
            raise Taken(f"Muster already runs on {home}: {lock.read().strip()}") from fault
        lock.truncate(0)
        lock.write(f"process {os.getpid()}, {note}\n")
        lock.flush()
        yield
