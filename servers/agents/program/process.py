"""One running agent per prefix: the lock that says so, starting it, watching over it, ending it."""

import contextlib
import fcntl
import os
import signal
import sys
import time
from typing import Callable, Iterator, List, Optional

from . import files
from .paths import PREFIX, Paths
from .refusal import Refusal

HANDED = "MUSTER_AGENT_LOCK"  # the number of the locked file that the supervisor hands to its child

# How `run` ends. Whoever supervises it starts it again after anything else.
HALTED, UNWELCOME, LEFT = 0, 3, 4
FINAL = (HALTED, UNWELCOME, LEFT)
AGAIN = 5  # at once: `current` leads to another version now

ENDING = (signal.SIGTERM, signal.SIGINT)


def take(paths: Paths, patience: float = 2.0) -> int:
    """The lock of the running agent, as an open file; the caller is now the one. Refusal when there is one already.

    The lock is the kernel's, on the pid file: it ends with its last holder, however that ends.
    """
    handed = os.environ.pop(HANDED, "")
    if handed.isdigit():
        return int(handed)
    files.folder(os.path.dirname(paths.pid))
    handle = os.open(paths.pid, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _flock(handle, fcntl.LOCK_EX, patience)  # `holder` peeks with a shared lock: wait for it to look away
    except BlockingIOError:
        os.close(handle)
        raise Refusal("Another agent is running here.", "Stop it first with: {} halt".format(paths.program)) from None
    sign(handle, os.getpid())
    return handle


def sign(lock: int, *pids: int) -> None:
    """Write into the pid file who holds it. A full disk loses the note, not the lock."""
    text = "".join("{}\n".format(pid) for pid in pids).encode()
    with contextlib.suppress(OSError):
        os.pwrite(lock, text, 0)
        os.ftruncate(lock, len(text))  # after writing, so that nobody finds it empty


def holders(paths: Paths) -> Optional[List[int]]:
    """The pids of the running agent, its supervisor first; None when none runs."""
    try:
        handle = os.open(paths.pid, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        words = os.pread(handle, 256, 0).decode("ascii", "replace").split()
        return [int(w) for w in words if w.isdigit()]
    finally:
        os.close(handle)
    return None


@contextlib.contextmanager
def changing(paths: Paths, patience: float = 0.0) -> Iterator[None]:
    """Only one install or uninstall at a time. Refusal when another is at work for longer than `patience` seconds."""
    end = time.monotonic() + patience
    while True:
        files.folder(paths.state, 0o700)
        handle = os.open(paths.lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _flock(handle, fcntl.LOCK_EX, end - time.monotonic())
        except BlockingIOError:
            os.close(handle)
            raise Refusal("Another install or uninstall is at work here.", "Wait until it has ended.") from None
        if os.fstat(handle).st_nlink:
            break
        os.close(handle)  # the uninstall that we waited for removed it, with the directory
    try:
        yield
    finally:
        os.close(handle)


def command(program: str, deed: str) -> List[str]:
    """How the agent is started: by the Python that runs us, deaf to its environment and without what a site adds."""
    return [sys.executable, "-I", "-S", program, deed]


def boot(paths: Paths, patience: float = 15.0) -> None:
    """Start the installed program under a supervisor, apart from this terminal. Returns once it holds the lock."""
    if holders(paths) is not None:
        return
    if not os.path.exists(paths.program) or not os.path.exists(paths.launcher):
        raise Refusal("The agent is not installed here.", "Install it first.")
    import subprocess

    environment = dict(os.environ)
    if not paths.is_whole_host:
        environment[PREFIX] = paths.prefix
    with open(os.devnull, "r+b") as nothing:
        child = subprocess.Popen(
            command(paths.launcher, "supervise"),
            stdin=nothing, stdout=nothing, stderr=nothing, close_fds=True, start_new_session=True, cwd="/",
            env=environment,
        )  # fmt: skip
    until(lambda: bool(holders(paths)) or child.poll() is not None, patience)
    if child.poll() is not None or not holders(paths):
        raise Refusal("The agent was started and did not stay up.", "See {} for the reason.".format(paths.log))
    child.returncode = 0  # it stays when we go: no warning that it was not waited for


def halt(paths: Paths, patience: float = 10.0) -> bool:
    """End the running agent and its supervisor. False when none ran. Refusal when it will not end."""
    if holders(paths) is None:
        return False
    for force in (signal.SIGTERM, signal.SIGKILL):
        for pid in holders(paths) or []:
            if is_ours(pid, paths):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, force)
        if until(lambda: holders(paths) is None, patience):
            return True
    raise Refusal("The running agent did not end.", "End the processes named in {} by hand.".format(paths.pid))


def is_ours(pid: int, paths: Paths) -> bool:
    """Whether this process runs the program of this prefix: a number alone may long be somebody else's."""
    try:
        with open("/proc/{}/cmdline".format(pid), "rb") as file:
            words = file.read(65536).split(b"\0")
            ours = (paths.program.encode(), paths.launcher.encode())
            return any(word in ours or word.startswith(paths.versions.encode() + b"/") for word in words)
    except OSError:
        return False


def until(true: Callable[[], bool], patience: float) -> bool:
    """Wait for something to become true, at most so many seconds."""
    end = time.monotonic() + patience
    while not true():
        if time.monotonic() >= end:
            return False
        time.sleep(0.02)
    return True


def _flock(handle: int, kind: int, patience: float) -> None:
    """flock, waiting at most so long; BlockingIOError after that."""
    end = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= end:
                raise
            time.sleep(0.02)
