"""Homes for consoles that tests start: copies of one whose database is made, migrated and empty, its files collected.

A first start spends half of its time on that, which tests/test_up.py pays once and sees.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from console.lib import embedded, pgdata, staticset
from console.management.start import COLLECT, MIGRATE
from tests.processes import engine_of_its_own, environment, folder, manage


@contextmanager
def ready_home() -> Iterator[Path]:
    """A home with ports and secrets of its own, gone afterwards."""
    with folder() as place:
        home, kept = place / "home", _made_once()
        if pgdata.folder(kept).is_relative_to(kept):  # elsewhere it cannot be copied: this home is made anew
            subprocess.run(["cp", "-a", "--reflink=auto", kept, home], check=True)
            (home / "embedded.json").unlink()
            embedded.engine(home)
            told = json.loads((home / "embedded.json").read_text())
            told["password"] = embedded.engine(kept).password  # the database's own
            (home / "embedded.json").write_text(json.dumps(told))
        yield home


def _made_once() -> Path:
    """The home that is copied: of this test run, whichever of its processes wants it first."""
    place = Path(os.environ["MUSTER_HOME"]).parent  # tests/engine.py made it, and removes it
    home, whole = place / "ready", place / "ready.whole"
    with (place / "ready.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not whole.exists():
            with engine_of_its_own(home):
                env = environment(home, DEMO="0")
                manage(env, *MIGRATE)
                manage(env, *COLLECT)
            staticset.note(home / "static", staticset.fingerprint())
            whole.touch()
    return home
