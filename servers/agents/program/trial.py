"""A newer version on trial: the supervisor, which is of another version and stays in charge, goes back from it.

`update.json` says how it stands: `{version, before, state, reason, crashes, failed, told}`. `trying` is a version that
was switched to and has not reached the console yet; `done`, `rolled_back` and `refused` are told until the console
knows. Versions in `failed` are not tried again. The running program writes it (update.py), and this while it is tried.
"""

import contextlib
import os
import time
from typing import Any, Callable, Dict, List, Optional

from . import files
from .paths import Paths

TRYING, ROLLED_BACK = "trying", "rolled_back"
PATIENCE = 300.0  # seconds that a new version has to reach the console
CRASHES = 3  # after which it is given up sooner
REMEMBERED = 20  # versions that failed


def state(paths: Paths) -> Dict[str, Any]:
    """How it stands; {} when no update was tried, or what is there is damaged."""
    return files.read_json(paths.update) or {}


def switch(paths: Paths, version: str) -> None:
    """Let `current` lead to this version, in one step."""
    files.link(paths.current, os.path.join("versions", version))


def failed(known: Dict[str, Any]) -> List[str]:
    found = known.get("failed")
    return [version for version in found if isinstance(version, str)] if isinstance(found, list) else []


def tried(paths: Paths) -> Optional[str]:
    """The version that `current` leads to, if it is on trial. One that was never switched to is not: a kill came first,
    and it is taken again. None also when the disk does not tell."""
    if not os.path.exists(paths.update):  # most hosts: reading it costs memory
        return None
    try:
        known = state(paths)
        if known.get("state") == TRYING and known.get("version") == os.path.basename(os.readlink(paths.current)):
            return str(known["version"])
    except OSError:
        return None
    return None


class Trial:
    """The supervisor's eye on a version that is being tried. Time is counted by a clock that only moves forward. A disk
    that cannot be written costs no more than that a version is given up later."""

    def __init__(self, paths: Paths, clock: Callable[[], float] = time.monotonic) -> None:
        self.paths = paths
        self._clock = clock
        self._version = None  # type: Optional[str]
        self._until = 0.0
        self._crashes = 0

    def begin(self) -> None:
        """What `current` leads to is started now; a new version's time begins with its first start."""
        found = tried(self.paths)
        if found != self._version:
            self._version, self._until, self._crashes = found, self._clock() + PATIENCE, 0

    @property
    def is_on(self) -> bool:
        """Whether what was started last is on trial, still."""
        return self._version is not None and tried(self.paths) == self._version

    def left(self) -> Optional[float]:
        """Seconds until the version that runs is given up; None when none is being tried."""
        return max(0.0, self._until - self._clock()) if self.is_on else None

    def crashed(self, how: str) -> bool:
        """The version that is being tried ended by itself. Whether it was given up for that."""
        self._crashes += 1
        with contextlib.suppress(OSError):
            known = state(self.paths)
            kept = known.get("crashes")  # also those of a supervisor before us
            self._crashes = max(self._crashes, kept + 1 if isinstance(kept, int) else 0)
            if self._crashes < CRASHES:
                files.write_json(self.paths.update, dict(known, crashes=self._crashes))
        if self._crashes < CRASHES:
            return False
        return self.give_up("It ended {} times by itself ({}).".format(self._crashes, how))

    def give_up(self, reason: str) -> bool:
        """Go back to the version before. False when there is none that could be gone back to, or the disk will not have
        it: then it has its time once more."""
        self._until = self._clock() + PATIENCE
        try:
            known = state(self.paths)
            before, version = known.get("before"), known.get("version")
            if not isinstance(before, str) or not os.path.isfile(self.paths.release(before)):
                return False
            switch(self.paths, before)
            gone = (failed(known) + [str(version)])[-REMEMBERED:]
            files.write_json(self.paths.update, dict(known, state=ROLLED_BACK, reason=reason, failed=gone, told=False))
        except OSError:
            return tried(self.paths) is None
        return True
