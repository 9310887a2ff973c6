"""One process tree: parts are started, started again when they die, and stopped in order. Knows nothing of Muster.

It is one loop in the main thread: the kernel ties a child's life to the thread that started it (children.py).
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType

import psutil

from console.lib import children

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 30.0  # seconds between a death and the next start
STEADY_AFTER = 30.0  # seconds of life after which earlier deaths are forgotten


class Broken(RuntimeError):
    """A part cannot be started; the words say which and what it said last."""


@dataclass
class Part:
    """One child: how to start it, and how to stop it. Lower stages stop first; `grace` is in seconds."""

    name: str
    start: Callable[[], subprocess.Popen[bytes]]
    stage: int
    grace: float
    stop: int = signal.SIGTERM
    said: Callable[[], str] = lambda: ""
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    deaths: int = 0
    due: float | None = None

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None


@dataclass(frozen=True)
class Task:
    """A child that runs to its end, once."""

    name: str
    process: subprocess.Popen[bytes]
    said: Callable[[], str]


class Tree:
    """The parts and the loop. `tell` gets sentences for the terminal."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.tell = tell
        self.parts: list[Part] = []
        self.asked = 0  # how often somebody asked us to stop
        self.steady = False  # until it is, a part that dies three times makes the start Broken
        self._once: list[subprocess.Popen[bytes]] = []
        self._wake, self._poke = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        children.adopt_orphans()

    @contextmanager
    def signals(self) -> Iterator[None]:
        """SIGTERM, SIGINT and SIGHUP ask the tree to stop while this lasts."""

        def ask(number: int, frame: FrameType | None) -> None:
            self.asked += 1

        def look(number: int, frame: FrameType | None) -> None:
            """A child ended: the wake-up pipe has said so."""

        wanted = {signal.SIGTERM: ask, signal.SIGINT: ask, signal.SIGHUP: ask, signal.SIGCHLD: look}
        before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
        pipe = signal.set_wakeup_fd(self._poke, warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(pipe)
            for number, handler in before.items():
                signal.signal(number, handler)

    def add(self, part: Part) -> Part:
        """Start it now and keep it running."""
        self.parts.append(part)
        self._start(part)
        return part

    def until(self, true: Callable[[], bool], seconds: float) -> bool:
        """Tend the tree until `true()`, for at most `seconds`. False when time ran out or we were asked to stop."""
        deadline = time.monotonic() + seconds
        while not self.asked:
            if true():
                return True
            if time.monotonic() > deadline:
                return False
            self.tend(0.05)
        return False

    def finish(self, *tasks: Task) -> None:
        """Tend the tree until all have ended. Broken when one failed; a request to stop ends them."""
        self._once = [task.process for task in tasks]
        while not self.asked and any(task.process.poll() is None for task in tasks):
            self.tend(0.05)
        self._once = []
        for task in tasks:
            if task.process.poll() is None:
                self._kill(task.process)
            elif task.process.returncode != 0 and not self.asked:
                raise Broken(f"{task.name} failed ({_how(task.process.returncode)}). {task.said()}".strip())

    def tend(self, seconds: float) -> None:
        """Wait at most `seconds` for news, then bury the dead and start again what is due."""
        with suppress(BlockingIOError):
            if select.select([self._wake], [], [], seconds)[0]:
                os.read(self._wake, 4096)
        self._bury()
        now = time.monotonic()
        for part in self.parts:
            if part.process is not None and part.process.poll() is not None:
                self._died(part, now)
            if part.due is not None and now >= part.due and not self.asked:
                self._start(part)

    def _start(self, part: Part) -> None:
        part.due = None
        part.started = time.monotonic()
        try:
            part.process = part.start()
        except (OSError, RuntimeError, subprocess.SubprocessError) as fault:
            part.process = None
            self._again(part, f"{part.name} could not be started: {fault}")

    def _died(self, part: Part, now: float) -> None:
        process, part.process = part.process, None
        if process is None or self.asked:
            return
        self._kill(process)  # whoever is left of its session
        if now - part.started > STEADY_AFTER:
            part.deaths = 0
        self._again(part, f"{part.name} ended ({_how(process.returncode)}). {part.said()}".strip())

    def _again(self, part: Part, words: str) -> None:
        part.deaths += 1
        if not self.steady and part.deaths >= 3:
            raise Broken(words)
        pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (part.deaths - 1))
        part.due = time.monotonic() + pause
        self.tell(f"{words} It starts again in {pause:.1f} s.")

    def _bury(self) -> None:
        """Reap whoever ended: our own children by their Popen, which wants their status, adopted orphans here."""
        own = {process.pid: process for process in [*self._once, *(part.process for part in self.parts)] if process}
        while True:
            try:
                dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if dead is None:
                return
            if dead.si_pid in own:
                own[dead.si_pid].poll()
            else:
                os.waitpid(dead.si_pid, 0)

    def stop(self) -> None:
        """Stop all parts, stage by stage, and then whatever they left behind. A second request cuts it short."""
        self.asked = max(1, self.asked)
        patience = self.asked
        for stage in sorted({part.stage for part in self.parts}):
            running = [part for part in self.parts if part.stage == stage and part.alive]
            for part in running:
                if part.process is not None:
                    part.process.send_signal(part.stop)
            deadline = time.monotonic() + max((part.grace for part in running), default=0)
            while any(part.alive for part in running) and time.monotonic() < deadline and self.asked <= patience:
                self.tend(0.05)
            for part in running:
                if part.process is not None:
                    self._kill(part.process)
        left = psutil.Process().children(recursive=True)
        for process in left:
            children.send(process, signal.SIGKILL)
        psutil.wait_procs(left, timeout=1)

    @staticmethod
    def _kill(process: subprocess.Popen[bytes]) -> None:
        """End the process and its session's group for good."""
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"by {signal.Signals(-code).name}"
    except ValueError:
        return f"by signal {-code}"
