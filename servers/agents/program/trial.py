"""A newer version on trial: the supervisor, which is of another version and stays in charge, goes back from it.

`update.json` says how it stands: `{version, before, state, reason, crashes, failed, told}`. `trying` is a version that
was switched to and has not reached the console yet; `done`, `rolled_back` and `refused` are told until the console
knows. Versions in `failed` are not tried again. The running program writes it (update.py), and this while it is tried.
"""

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


class Trial:
    """The supervisor's eye on a version that is being tried. Time is counted by a clock that only moves forward."""

    def __init__(self, paths: Paths, clock: Callable[[], float] = time.monotonic) -> None:
        self.paths = paths
        self._clock = clock
        self._version = None  # type: Optional[str]
        self._until = 0.0

    def left(self) -> Optional[float]:
        """Seconds until the version that runs is given up; None when none is being tried."""
        try:
            known = state(self.paths)
        except OSError:
            return None
        if known.get("state") != TRYING:
            self._version = None
            return None
        if known.get("version") != self._version:
            self._version, self._until = known.get("version"), self._clock() + PATIENCE
        return max(0.0, self._until - self._clock())

    def crashed(self, how: str) -> bool:
        """The version that is being tried ended by itself. Whether it was given up for that."""
        if self.left() is None:
            return False
        known = state(self.paths)
        count = known.get("crashes", 0) + 1
        if count >= CRASHES:
            return self.give_up("It ended {} times by itself ({}).".format(count, how))
        files.write_json(self.paths.update, dict(known, crashes=count))
        return False

    def give_up(self, reason: str) -> bool:
        """Go back to the version before. False when there is none that could be gone back to."""
        known = state(self.paths)
        before, version = known.get("before"), known.get("version")
        if not isinstance(before, str) or not os.path.isfile(self.paths.release(before)):
            return False
        switch(self.paths, before)
        gone = (failed(known) + [str(version)])[-REMEMBERED:]
        files.write_json(self.paths.update, dict(known, state=ROLLED_BACK, reason=reason, failed=gone, told=False))
        return True
