"""Whether the static files that pages link to are collected as they are now."""

from __future__ import annotations

import hashlib
from pathlib import Path

from django.contrib.staticfiles.finders import get_finders


def fingerprint() -> str:
    """Changes when any static file of ours or of a package comes, goes or changes. Looks at names, sizes and times."""
    seen = hashlib.sha256()
    for finder in get_finders():
        for path, storage in sorted(finder.list([]), key=lambda found: found[0]):
            stat = Path(storage.path(path)).stat()
            seen.update(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return seen.hexdigest()


def collected(root: Path) -> str:
    """The fingerprint of what was collected into `root`, or ""."""
    note = root / ".fingerprint"
    return note.read_text() if note.exists() else ""


def note(root: Path, value: str) -> None:
    """Remember what was collected; only after it was."""
    (root / ".fingerprint").write_text(value)
