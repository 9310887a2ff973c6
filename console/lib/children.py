"""Child processes that cannot outlive us: the kernel signals them when their parent dies."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

import psutil

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
MARK = "MUSTER_TREE"  # in the environment of every child of `up`: the home that it serves

_libc = ctypes.CDLL(None, use_errno=True)  # loaded before any fork: a child must not import or allocate much


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """From now on the kernel sends `number` to this process when its parent ends. Linux only, harmless elsewhere."""
    if hasattr(_libc, "prctl"):
        _libc.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)


def adopt_orphans() -> None:
    """Processes whose parent died below us become our children, so that we can find and end them."""
    if hasattr(_libc, "prctl"):
        _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def bound(user: tuple[int, int] | None, death: int) -> Callable[[], None]:
    """What a child does before it runs its program: become `user` (uid, gid), and bind its life to ours by `death`."""
    parent = os.getpid()

    def before_exec() -> None:
        if user is not None:
            os.setgroups([])
            os.setgid(user[1])
            os.setuid(user[0])
        die_with_parent(death)  # after setuid, which clears it
        if os.getppid() != parent:  # the parent died between fork and prctl
            os._exit(1)

    return before_exec


def spawn(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    user: tuple[int, int] | None = None,
    death: int = signal.SIGKILL,
    out: IO[bytes] | int | None = None,
    pass_fds: Sequence[int] = (),
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start `argv` in a session of its own, as `user` (uid, gid) when given, bound to our life by `death`.

    Call it from a thread that lives as long as the process: the kernel watches the thread, not the process.
    """
    return subprocess.Popen(
        [str(part) for part in argv],
        env=None if env is None else dict(env),
        preexec_fn=bound(user, death),
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=subprocess.STDOUT if out is not None else None,
        pass_fds=pass_fds,
        cwd=cwd,
    )


def send(process: psutil.Process, number: int) -> None:
    """Signal a process that may have ended meanwhile (never another one that got its number)."""
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def end_marked(home: Path, patience: float) -> list[int]:
    """End what a killed `up` of this home left behind, wherever it hides. Returns the pids.

    Call it under the home's lock. The kernel ends direct children at once; this waits `patience` seconds for the rest,
    then kills it. Our own line of parents is spared: `up` may have been started from a child of another one.
    """
    ours = {os.getpid(), *(process.pid for process in psutil.Process().parents())}
    left = []
    for process in psutil.process_iter():
        try:
            if process.pid not in ours and process.environ().get(MARK) == str(home):
                left.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    _, alive = psutil.wait_procs(left, timeout=patience if left else 0)
    for process in alive:
        send(process, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=2)
    return [process.pid for process in left]
