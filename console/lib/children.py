"""Child processes that cannot outlive us: the kernel signals them when their parent dies."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True)  # loaded before any fork: a child must not import or allocate much


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """From now on the kernel sends `number` to this process when its parent ends. Linux only, harmless elsewhere."""
    if hasattr(_libc, "prctl"):
        _libc.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)


def adopt_orphans() -> None:
    """Processes whose parent died below us become our children, so that we can find and end them."""
    if hasattr(_libc, "prctl"):
        _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


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
    parent = os.getpid()

    def before_exec() -> None:
        if user is not None:
            os.setgroups([])
            os.setgid(user[1])
            os.setuid(user[0])
        die_with_parent(death)  # after setuid, which clears it
        if os.getppid() != parent:  # the parent died between fork and prctl
            os._exit(1)

    prepare: Callable[[], None] = before_exec
    return subprocess.Popen(
        [str(part) for part in argv],
        env=None if env is None else dict(env),
        preexec_fn=prepare,
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=subprocess.STDOUT if out is not None else None,
        pass_fds=pass_fds,
        cwd=cwd,
    )
