"""A disk that is small, full or read-only, for one process: it has mounts of its own, which end with it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from tests.processes import end, wait

_ROOT: Final = os.geteuid() == 0
_APART: Final = ["unshare", "--mount", *([] if _ROOT else ["--map-root-user"])]
_INTO: Final = ["--mount", *([] if _ROOT else ["--user", "--preserve-credentials"])]

# $1 is the folder, $2 a size. What is on the disk stays readable; `run` is another disk, as on hosts.
SMALL: Final = """
set -e
mkdir -p "$1.disk"
mount -t tmpfs -o "size=$2,mode=755" muster "$1.disk"
cp -a "$1/etc" "$1/var" "$1.disk"
for one in etc var; do mount --bind "$1.disk/$one" "$1/$one"; done
"""
FULL: Final = SMALL + 'cat /dev/zero >"$1.disk/filler" 2>/dev/null || :\n'
READ_ONLY: Final = """
set -e
for one in etc var opt; do mount --bind "$1/$one" "$1/$one"; mount -o remount,bind,ro "$1/$one"; done
"""


class Apart:
    """A process whose `folder` has such a disk."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.process, self.folder = process, folder

    def inside(self, *words: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command that sees what the process sees."""
        return subprocess.run(  # noqa: S603 - the test's own words
            ["nsenter", "--target", str(self.process.pid), *_INTO, *words],  # noqa: S607
            capture_output=True, text=True, check=False, timeout=60, env=env,
        )  # fmt: skip

    def free(self) -> None:
        """There is room again."""
        self._change("rm", f"{self.folder}.disk/filler")

    def mount(self, how: str) -> None:
        """From now on it is "ro" or "rw". Linux refuses "ro" while a file is open for writing: it waits for its end."""
        for one in ("etc", "var", "opt"):
            wait(partial(self._remounted, one, how), 10, f"{one} is mounted {how}")

    def read(self, path: str | Path) -> str:
        done = self.inside("cat", str(path))
        return done.stdout if done.returncode == 0 else ""

    def _remounted(self, one: str, how: str) -> bool:
        return self.inside("mount", "-o", f"remount,bind,{how}", str(self.folder / one)).returncode == 0

    def _change(self, *words: str) -> None:
        done = self.inside(*words)
        assert done.returncode == 0, done.stderr


@contextmanager
def apart(disk: str, folder: Path, *words: str, env: Mapping[str, str], size: str = "4m") -> Iterator[Apart]:
    """Run the words where `folder` has that disk; they are ended with the block. Skips where nobody may mount."""
    _need()
    process = subprocess.Popen(  # noqa: S603 - the test's own words
        [*_APART, "sh", "-c", disk + 'shift 2\nexec "$@"', "sh", str(folder), size, *words],
        env=dict(env), start_new_session=True,
    )  # fmt: skip
    try:
        yield Apart(process, folder)
    finally:
        end(process)


def _need() -> None:
    if subprocess.run([*_APART, "true"], capture_output=True, check=False).returncode != 0:  # noqa: S603
        pytest.skip("Neither root nor unprivileged user namespaces: nobody may mount here")
