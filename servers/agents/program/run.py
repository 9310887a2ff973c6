"""The running agent as a process: one to a prefix, and any moment is a good one to end it."""

import os
import signal
import sys
from types import FrameType
from typing import Optional

from . import files, process, protocol
from .agent import Agent
from .log import Log
from .paths import Paths


def run(paths: Paths) -> int:
    """Run until halted (0), unwelcome (3) or gone (4: removed by the console, or its files by hand).

    Refusal when another agent runs here.
    """
    process.take(paths)
    for number in process.ENDING:
        signal.signal(number, _halt)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, process.ENDING + (signal.SIGCHLD,))  # the supervisor has them blocked
    log = Log(paths.log)
    if os.path.exists(paths.leaving):
        from . import uninstall

        return uninstall.leave(paths, log)
    log.say("Agent {} starts under Python {}.".format(protocol.VERSION, sys.version.split()[0]))
    try:
        agent = Agent(paths, log)
    except OSError as error:
        log.say(files.refusal(error).cause)
        raise files.refusal(error) from error
    try:
        while True:
            code = agent.step()
            if code is not None:
                return code
            agent.rest()
            if _is_gone(paths.config):  # somebody removed our files by hand, and means us to be gone
                return process.LEFT
    finally:
        agent.close()


def _is_gone(path: str) -> bool:
    """Whether it is not there; a disk that does not answer is no such word."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _halt(number: int, frame: Optional[FrameType]) -> None:
    """Every file we write is whole or absent, so any moment is a good one to end."""
    raise SystemExit(process.HALTED)
