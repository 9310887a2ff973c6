"""What was begun and how it ended, on disk before and after: a piece of work is begun at most once, whatever kills us.

One folder holds, for each piece: `ID.start` (made before it runs, by O_EXCL and fsync), `ID.end` (its result) and the
pieces of its output. `sequence` holds the highest that was ever begun or refused.
"""

import contextlib
import json
import os
import re
import time
from typing import Any, Container, Dict, List, Optional, Set, Tuple

from . import files, protocol

NAME = re.compile(r"[0-9a-f-]{36}\Z")
KEPT = 7 * 86400  # seconds that a finished piece is remembered after the console knew of its end
_SIGNED = b'{"pid": %10d, "born": %20d}\n'  # of one length, so that what is written later needs no more room


class Journal:
    """The folder of one agent's work. OSError when the disk will not have it: then nothing may be begun."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def path(self, work: str, kind: str) -> str:
        return os.path.join(self.folder, work + "." + kind)

    def begin(self, work: str, sequence: int) -> bool:
        """Write down that it begins. False when it was begun before, here or by another thread.

        OSError, or ValueError where the note of the sequence is damaged: it has not begun, and nothing says it had.
        """
        files.folder(self.folder, 0o700)
        highest, start = self.highest(), self.path(work, "start")
        try:
            handle = os.open(start, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            return False
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(json.dumps({"sequence": sequence, "at": int(time.time())}).encode())
                file.flush()
                os.fsync(file.fileno())
            files.sync(self.folder)
            # After the start: a kill in between leaves one that was begun, which the next agent calls interrupted.
            if sequence > highest:
                files.write_json(os.path.join(self.folder, "sequence"), {"sequence": sequence})
        except OSError:
            with contextlib.suppress(OSError):  # the first error is the one to tell
                files.remove(start)
            raise
        return True

    def begun(self, work: str) -> bool:
        return os.path.exists(self.path(work, "start")) or os.path.exists(self.path(work, "end"))

    def highest(self) -> int:
        """The highest sequence that was begun; 0 when none was. ValueError when the note of it is damaged."""
        path = os.path.join(self.folder, "sequence")
        found = files.read_json(path)
        if found is None and os.path.exists(path):
            raise ValueError("{} is damaged".format(path))
        value = (found or {}).get("sequence", 0)
        if not isinstance(value, int):
            raise ValueError("{} is damaged".format(path))
        return value

    def place(self, work: str) -> int:
        """Room for the note of the process that it is, as an open file for `sign`, had before anything runs."""
        handle = os.open(self.path(work, "pid"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.write(handle, _SIGNED % (0, 0))
        except OSError:
            os.close(handle)
            raise
        return handle

    def process(self, work: str) -> Optional[Tuple[int, int]]:
        """The process that it ran as: its pid, and when it began. None when none was noted."""
        found = files.read_json(self.path(work, "pid")) or {}
        pid, born = found.get("pid"), found.get("born")
        return (pid, born) if isinstance(pid, int) and isinstance(born, int) and pid > 1 else None

    def end(self, work: str, state: str, exit_code: Optional[int], reason: str) -> None:
        """Write down how it ended; it is told until `known`."""
        if os.path.exists(self.path(work, "end")):
            return
        result = {"id": work, "state": state, "exit_code": exit_code, "reason": reason, "at": int(time.time())}
        files.folder(self.folder, 0o700)
        files.write_json(self.path(work, "end"), result)
        for kind in ("script", "pid"):
            files.remove(self.path(work, kind))

    def unended(self) -> List[str]:
        """Those that were begun and whose end was never written: their agent died."""
        names = self._names()
        return sorted(name[:-6] for name in names if name.endswith(".start") and name[:-6] + ".end" not in names)

    def results(self, but: Container[str] = ()) -> List[Dict[str, Any]]:
        """The results that the console does not know yet, oldest first, `but` those of these."""
        names = self._names()
        ended = [name[:-4] for name in names if name.endswith(".end") and name[:-4] + ".known" not in names]
        ended = [work for work in ended if work not in but]
        found = [files.read_json(self.path(work, "end")) for work in ended]
        return sorted((f for f in found if f), key=lambda f: (f.get("at", 0), f.get("id", "")))[: protocol.MAX_RESULTS]

    def known(self, works: List[str]) -> None:
        """The console has these results: their output goes, and after a week their names."""
        if not works:
            return
        for work in works:
            self.drop(work)
            files.write(self.path(work, "known"), b"")
        old = time.time() - KEPT
        for name in self._names():
            if name.endswith(".known") and os.path.getmtime(os.path.join(self.folder, name)) < old:
                for kind in ("start", "end", "known"):
                    files.remove(self.path(name[:-6], kind))

    def drop(self, work: str) -> None:
        """Its output, which the console has."""
        for kind in ("out", "err", "out.tail", "err.tail", "sent"):
            files.remove(self.path(work, kind))

    def _names(self) -> Set[str]:
        try:
            return {name for name in os.listdir(self.folder) if NAME.match(name.split(".")[0])}
        except (FileNotFoundError, NotADirectoryError):
            return set()


def sign(handle: int) -> None:
    """Note the process that runs this in the file of `place`: the script's own, before it is one.

    Nothing is allocated for it, and nothing loaded: we stand between fork and exec.
    """
    os.pwrite(handle, _SIGNED % (os.getpid(), born_at(os.getpid()) or 0), 0)


def born_at(pid: int) -> Optional[int]:
    """When this process began, in the kernel's ticks since boot: a pid alone may be somebody else's by now."""
    try:
        with open("/proc/{}/stat".format(pid), "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None
