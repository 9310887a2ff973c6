"""Pack the agent into one file, the same bytes for the same source wherever it is built (not part of the agent itself).

`python -m servers.agents.program.build OUT` writes it to OUT, for `make agent`.
"""

import functools
import hashlib
import os
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import NamedTuple

from . import protocol

HERE = Path(__file__).parent
LEFT_OUT = {"build.py", "__init__.py"}
MOMENT = (1980, 1, 1, 0, 0, 0)  # the earliest that zip knows: a build is dated by its version, not by the clock

# The first thing that runs, so it has to be understood by every Python that a host may call python3, or python.
START = """\
import sys

if sys.version_info < (3, 6):
    print('{"ok": false, "cause": "The agent needs Python 3.6 or newer, and this is Python %d.%d.", '
          '"fix": "Install a newer python3 on this server."}' % sys.version_info[:2])
    sys.exit(1)

from muster_agent.__main__ import main

sys.exit(main())
"""


class Artifact(NamedTuple):
    """A packed agent on this machine: its file, its version, and the SHA-256 of its bytes in hex."""

    path: Path
    version: str
    sha256: str


def pack() -> bytes:
    """The zipapp's bytes: a first line for the shell, then a zip of the modules, sorted, with fixed dates and modes.

    Stored, not compressed: two builds of zlib give two results.
    """
    entries = {"__main__.py": START.encode(), "muster_agent/__init__.py": b""}
    for path in HERE.glob("*.py"):
        if path.name not in LEFT_OUT:
            entries["muster_agent/" + path.name] = path.read_bytes()
    with tempfile.TemporaryFile() as file:
        file.write(b"#!/usr/bin/env python3\n")
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name in sorted(entries):
                info = zipfile.ZipInfo(name, MOMENT)
                info.create_system = 3  # Unix, wherever it is built
                info.external_attr = 0o100644 << 16
                archive.writestr(info, entries[name])
        file.seek(0)
        return file.read()


def write(path: Path, data: bytes) -> None:
    """Whole or not at all, also when several workers build at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, spare = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    os.chmod(spare, 0o755)  # noqa: S103 - it is a program, and holds no secret
    os.replace(spare, path)


@functools.lru_cache(maxsize=1)
def artifact() -> Artifact:
    """The packed agent, built once per process, below MUSTER_HOME; where that cannot be written, in a folder of this
    process's own.

    The file is named by its hash, so builds of different source never stand in each other's way.
    """
    data = pack()
    sha256 = hashlib.sha256(data).hexdigest()
    home = Path(os.environ.get("MUSTER_HOME") or HERE.parents[2] / ".muster")
    name = f"muster-agent-{protocol.VERSION}-{sha256[:12]}.pyz"
    path = home / "agent" / name
    try:
        if not path.exists() or path.read_bytes() != data:
            write(path, data)
    except OSError:
        path = Path(tempfile.mkdtemp(prefix="muster-agent-")) / name  # a shared name there could be laid by others
        write(path, data)
    return Artifact(path, protocol.VERSION, sha256)


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "muster-agent.pyz"), pack())
