"""What the agent last said of itself, for `status` and for whoever installs it."""

import contextlib
import os
from typing import Any, Dict, Optional

from . import files, process
from .paths import Paths
from .refusal import Refusal

ENROLLING, REPORTING, UNREACHED, UNWELCOME = "enrolling", "reporting", "unreached", "unwelcome"


def note(paths: Paths, state: str, agent_id: Optional[str], last_heartbeat: Optional[int], trouble: str) -> None:
    """Leave word. On a full or read-only disk there is none, and the agent goes on."""
    word = {"state": state, "agent_id": agent_id, "last_heartbeat": last_heartbeat, "trouble": trouble or None}
    with contextlib.suppress(OSError):
        files.write_json(paths.status, word, 0o644)


def report(paths: Paths) -> Dict[str, Any]:
    """`{ok, version, mode, running, pids, reporting, state, agent_id, last_heartbeat, trouble}`.

    `ok` says that it runs and its last heartbeat was taken; `trouble` is a sentence, or None; `last_heartbeat` is in
    seconds since 1970. Refusal when nothing is installed.
    """
    try:
        receipt = files.read_json(paths.receipt)
        if receipt is None or not os.path.exists(paths.program):
            raise Refusal("The agent is not installed here.", "Install it first.")
        said = files.read_json(paths.status) or {}
        pids = process.holders(paths)
        version = os.path.basename(os.readlink(paths.current))
    except OSError as error:
        raise files.refusal(error) from error
    reporting = pids is not None and said.get("state") == REPORTING
    return {
        "ok": reporting,
        "version": version,
        "mode": receipt.get("mode"),
        "running": pids is not None,
        "pids": pids or [],
        "reporting": reporting,
        "state": said.get("state"),
        "agent_id": said.get("agent_id"),
        "last_heartbeat": said.get("last_heartbeat"),
        "trouble": said.get("trouble"),
    }
