"""What the agent last said of itself, for `status` and for whoever installs it."""

import contextlib
import os
from typing import Any, Dict

from . import files, process
from .paths import Paths
from .refusal import Refusal

ENROLLING, REPORTING, UNREACHED, UNWELCOME = "enrolling", "reporting", "unreached", "unwelcome"
SUSPENDED, CLAIMING = "suspended", "claiming"
SAID = ("state", "agent_id", "last_heartbeat", "trouble", "code", "skew", "in_memory")


def note(paths: Paths, word: Dict[str, Any]) -> None:
    """Leave word: `{state, agent_id, last_heartbeat, trouble, code, skew, in_memory}`. On a full or read-only disk
    there is none, and the agent goes on."""
    with contextlib.suppress(OSError):
        files.write_json(paths.status, word, 0o644)


def report(paths: Paths) -> Dict[str, Any]:
    """`{ok, version, mode, running, pids, reporting, state, agent_id, last_heartbeat, trouble, code, skew, in_memory}`.

    `ok` says that it runs and its last check-in was taken; `trouble` is a sentence, or None; `code` is the console's
    refusal; `last_heartbeat` is of that check-in, in seconds since 1970; `skew` is by how many seconds the host's clock
    is ahead of the console's; `in_memory`: the disk would not take what the agent has to keep. Refusal when nothing is
    installed.
    """
    try:
        receipt = files.read_json(paths.receipt)
        if os.path.exists(paths.leaving):
            raise Refusal(
                "The agent is being removed here, or was until something cut that short.",
                "Finish it with: muster-agent uninstall. The next start of this server does it too.",
            )
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
        **{name: said.get(name) for name in SAID},
    }
