"""A stand-in for VMware's `vmtoolsd`: guest properties of a simulated vCloud, asked for as a guest does.

    vmtoolsd --cmd "info-get guestinfo.muster.claim"

prints the property, or "No value found" and exits with 1, as the real one does.
"""

from __future__ import annotations

import sys
from pathlib import Path

_PROGRAM = """#!{python}
import sys
from http.client import HTTPConnection
words = sys.argv[2].split() if sys.argv[1:2] == ["--cmd"] and len(sys.argv) == 3 else []
if len(words) != 2 or words[0] != "info-get":
    sys.exit("vmtoolsd: only --cmd 'info-get KEY' is known here")
try:
    line = HTTPConnection("{host}", {port}, timeout=5, source_address={source})
    line.request("GET", "/guest-properties/" + words[1])
    reply = line.getresponse()
    text = reply.read().decode()
except OSError as fault:
    sys.exit("vmtoolsd: " + str(fault))
if reply.status != 200:
    sys.stderr.write("No value found\\n")
    sys.exit(1)
print(text)
"""


def put(folder: Path, service: str, source: str = "") -> Path:
    """Write the program into `folder`, which belongs into an instance's PATH. `service` is host:port of its metadata
    service (metadata.py), `source` the instance's own address where it shares a machine with others."""
    host, _, port = service.partition(":")
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    program = folder / "vmtoolsd"
    program.write_text(
        _PROGRAM.format(python=sys.executable, host=host, port=int(port or 80), source=(source, 0) if source else None)
    )
    program.chmod(0o755)
    return program
