"""The script that installs the agent on one machine, and the commands that fetch and run it. It holds no secret."""

from __future__ import annotations

import shlex
from functools import lru_cache
from pathlib import Path

from django.conf import settings

from servers.agents.program import build

SCRIPT_PATH = "/agent/v1/install.sh"
AGENT_PATH = "/agent/v1/muster-agent.pyz"
_PYTHON = "import sys, urllib.request as u; sys.stdout.write(u.urlopen(sys.argv[1], timeout=60).read().decode())"


def text() -> str:
    """The script, for this console and the agent that it gives out."""
    return _filled(settings.PUBLIC_URL, build.artifact().sha256)


@lru_cache(maxsize=4)
def _filled(url: str, sha256: str) -> str:
    whole = Path(__file__).with_name("install.sh").read_text()
    return whole.replace("@URL@", shlex.quote(url.rstrip("/"))).replace("@SHA256@", sha256)


def commands(token: str) -> list[tuple[str, str]]:
    """What to paste, by what the machine has: title and command.

    The token is an argument of a shell for as long as the script runs: others on that machine may see it, but it works
    once, and the script uses it at once.
    """
    script = settings.PUBLIC_URL.rstrip("/") + SCRIPT_PATH
    run = f"sh -s -- {token}"
    return [
        ("With curl", f"curl -fsS {shlex.quote(script)} | {run}"),
        ("With wget", f"wget -qO- {shlex.quote(script)} | {run}"),
        ("With Python alone", f"python3 -c {shlex.quote(_PYTHON)} {shlex.quote(script)} | {run}"),
    ]
