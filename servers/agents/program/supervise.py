"""Keep the installed version running, in every mode: what systemd, an init script or `boot` starts is this.

It runs from the launcher, a copy of the program that an update does not touch, and starts whatever `current` leads to.
It loads little: it stays for as long as the host does.
"""

import os
import signal
import time
from typing import Optional

from . import process
from .log import Log
from .paths import Paths
from .process import AGAIN, ENDING, FINAL, HALTED, HANDED, UNWELCOME
from .trial import Trial

STEADY = 60.0  # seconds after which a run counts as healthy again
OVERDUE, ASKED = -1000, -1001  # what no process ends with: it had its time; somebody asked us to end
SOONEST, SLOWEST = 1.0, 60.0  # seconds between two tries of a program that will not stay up
GLANCE = 1.0  # seconds between looks at a version that is being tried
# Ends after which a version that is being tried is not tried again.
HOPELESS = {
    OVERDUE: "It did not reach the console within five minutes.",
    UNWELCOME: "The console did not take it.",
}


def supervise(paths: Paths) -> int:
    """Keep `run` alive until it ends for good or somebody halts us. Its crashes go to the log.

    A version that is being tried does not end for good: whatever it ends with, it is started again or given up.
    Signals stay blocked and are fetched one by one: a handler could fire between a fork and our knowing of the child.
    """
    lock = process.take(paths)
    os.set_inheritable(lock, True)
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING + (signal.SIGCHLD,))
    log = Log(paths.log)
    trial = Trial(paths)
    pause = SOONEST
    while True:
        if os.path.exists(paths.leaving):  # the program that should have done it may be gone
            from . import uninstall

            return uninstall.leave(paths, log)
        began = time.monotonic()
        trial.begin()
        child = start(paths, lock)
        process.sign(lock, os.getpid(), child)
        code = watch(child, trial, log)
        log.bound()
        if code == ASKED:
            return HALTED
        if trial.is_on:
            if code in HOPELESS and trial.give_up(HOPELESS[code]):
                log.say("The new version is given up.")
                continue
        elif code == AGAIN:
            continue
        elif code in FINAL:
            return code
        pause = SOONEST if time.monotonic() - began > STEADY else pause
        log.say("The agent ended unexpectedly ({}); starting it again in {:.0f} s.".format(code, pause))
        process.sign(lock, os.getpid())
        if signal.sigtimedwait(ENDING, pause) is not None:
            return HALTED
        pause = min(SLOWEST, pause * 2)
        # Counted only now: where a host goes down, the agent may be ended before we are.
        if trial.is_on and trial.crashed("the last time with {}".format(code)):
            log.say("The new version ended again and again, and is given up.")
            pause = SOONEST


def start(paths: Paths, lock: int) -> int:
    """The pid of a new `run`, which holds the lock too, and writes its complaints to the log. It runs from its
    version's own file, so that it can load the rest of itself when `current` leads elsewhere already."""
    words = process.command(os.path.realpath(paths.program), "run")
    environment = dict(os.environ)
    environment[HANDED] = str(lock)
    complaints = _complaints(paths)
    child = os.fork()
    if child:
        os.close(complaints)
        return child
    try:
        process.sign(lock, os.getppid(), os.getpid())  # by itself: its supervisor may have been killed just now
        os.dup2(complaints, 2)
        os.chdir("/")
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING + (signal.SIGCHLD,))  # it can be ended, whatever it is
        os.execve(words[0], words, environment)  # noqa: S606 - of this program, by this Python
    finally:  # the child never goes on as a second supervisor
        os._exit(127)


def watch(child: int, trial: Trial, log: Log) -> int:
    """The exit code of the child, or its signal as a negative number; ASKED once we were asked to end and it has.

    OVERDUE when the version that is being tried had its time, and was ended for that.
    """
    while True:
        code = _ended(child)
        if code is not None:  # whoever ends both of us asks us first
            return code if signal.sigtimedwait(ENDING, 0) is None else ASKED
        log.bound()
        left = trial.left()
        if left == 0:
            _end(child)
            return OVERDUE
        got = signal.sigtimedwait(ENDING + (signal.SIGCHLD,), 60 if left is None else min(GLANCE, left))
        if got is not None and got.si_signo in ENDING:
            _end(child)
            return ASKED


def _end(child: int) -> None:
    os.kill(child, signal.SIGTERM)
    if not process.until(lambda: _ended(child) is not None, 5):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _ended(child: int) -> Optional[int]:
    """How it ended; None while it runs."""
    pid, how = os.waitpid(child, os.WNOHANG)
    if pid == 0:
        return None
    return -os.WTERMSIG(how) if os.WIFSIGNALED(how) else os.WEXITSTATUS(how)


def _complaints(paths: Paths) -> int:
    """Where a crash writes its traceback: the log, or nowhere when the disk will not have it."""
    try:
        return os.open(paths.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY)
