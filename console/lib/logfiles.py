"""The log of each child process: `MUSTER_HOME/log/NAME.log` and one older `NAME.log.1`, both of bounded size."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import IO

MOST = 20 * 1024 * 1024  # bytes
TAIL = 16 * 1024


def folder(home: Path) -> Path:
    """Made when it is not there; its owner's alone."""
    path = home / "log"
    path.mkdir(exist_ok=True, mode=0o700)
    return path


def opened(home: Path, name: str) -> IO[bytes]:
    """The log of `name`, to be written at its end (so that it may be cut while it is written)."""
    return (folder(home) / f"{name}.log").open("ab")


def cut(home: Path, most: int = MOST) -> None:
    """Move what is longer than `most` bytes aside. Lines written in that instant may be lost; the disk is not."""
    for path in folder(home).glob("*.log"):
        if path.stat().st_size > most:
            shutil.copyfile(path, path.with_name(f"{path.name}.1"))
            os.truncate(path, 0)


def last_words(home: Path, name: str) -> str:
    """What this child said last, for a person: the message of a JSON line, or the last line as it is."""
    path = folder(home) / f"{name}.log"
    if not path.exists():
        return ""
    with path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - TAIL))
        lines = [line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip()]
    return _plain(lines[-1])[:500] if lines else ""


def _plain(line: str) -> str:
    try:
        event = json.loads(line)
    except ValueError:
        return line
    if not isinstance(event, dict):
        return line
    trace = str(event.get("exception", "")).strip().splitlines()
    return ": ".join(part for part in (str(event.get("event", "")), trace[-1] if trace else "") if part)
