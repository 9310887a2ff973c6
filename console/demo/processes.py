"""The processes of a simulated instance: started clean, found again by their environment, and ended for certain."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

MARK = "MUSTER_AGENT_PREFIX"
"""Every process of an instance has this in its environment, with the instance's own folder."""


class Nursery:
    """Starts processes and, when this process adopts orphans, buries the dead ones that nobody waits for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._awaited: set[int] = set()

    def spawn(
        self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, stdio: int | IO[bytes] = subprocess.PIPE
    ) -> subprocess.Popen[bytes]:
        """`argv` in a session of its own, with exactly `env`. Wait for it with `wait`."""
        with self._lock:
            child = subprocess.Popen(
                list(argv),
                env=dict(env),
                cwd=cwd,
                stdin=stdio,
                stdout=stdio,
                stderr=stdio,
                start_new_session=True,
                umask=0o077,
            )
            self._awaited.add(child.pid)
            return child

    def wait(self, child: subprocess.Popen[bytes], timeout: float | None = None) -> int:
        """The exit code; negative for a signal. Raises subprocess.TimeoutExpired."""
        code = child.wait(timeout)
        with self._lock:
            self._awaited.discard(child.pid)
        return code

    def bury(self) -> None:
        """Collect dead children that were adopted. Only for a process all of whose children are an instance's."""
        with self._lock:
            for pid in children(os.getpid()):
                if pid not in self._awaited and _state(pid) == "Z":
                    _collect(pid)


def _collect(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return  # somebody else did


def _stat(pid: int) -> list[str]:
    try:
        # The name in brackets may itself hold spaces and brackets.
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


def _state(pid: int) -> str:
    return next(iter(_stat(pid)), "")


def lives(pid: int) -> bool:
    """Whether it runs: a dead child that waits to be collected does not."""
    return _state(pid) not in ("Z", "X", "")


def _all() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def children(*parents: int) -> list[int]:
    """The direct children of these processes, dead ones included."""
    wanted = {str(pid) for pid in parents}
    return [pid for pid in _all() if (_stat(pid)[1:2] or [""])[0] in wanted]


def below(*roots: int) -> list[int]:
    """All descendants of these processes."""
    found: list[int] = []
    layer = list(roots)
    while layer:
        layer = [pid for pid in children(*layer) if pid not in found]
        found += layer
    return found


def of_prefix(prefix: Path) -> list[int]:
    """The live processes that carry this prefix in their environment, and all their descendants."""
    mark = f"{MARK}={prefix}".encode()
    marked = []
    for pid in _all():
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue  # somebody else's, or gone by now
        if pid != os.getpid() and mark in environment.split(b"\0"):
            marked.append(pid)
    more = below(*marked) if marked else []
    return [pid for pid in dict.fromkeys([*marked, *more]) if pid != os.getpid() and lives(pid)]


def end(find: Callable[[], list[int]], *, grace: float = 1.5, limit: float = 4.0) -> list[int]:
    """End what `find` finds: TERM first, KILL after `grace` seconds. Returns those that still live after `limit`."""
    began = time.monotonic()
    termed: set[int] = set()
    while left := find():
        spent = time.monotonic() - began
        if spent > limit:
            return left
        for pid in left:
            if spent >= grace or pid not in termed:
                _signal(pid, signal.SIGKILL if spent >= grace else signal.SIGTERM, find)
                termed.add(pid)
        time.sleep(0.02)
    return []


def _signal(pid: int, number: int, find: Callable[[], list[int]]) -> None:
    """By pidfd, checked again once held: a number may be somebody else's by now."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if pid in find():
            signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        return  # it ended meanwhile
    finally:
        os.close(handle)
