"""A person on the machine takes the agent off: the console is told, if it can be, and nothing stays behind."""

from typing import Any, Dict, Optional, Tuple

from . import files, identity, inits, process, protocol
from .client import Console, Unreached
from .clock import Clock
from .paths import Paths
from .refusal import Refusal
from .session import Session
from .uninstall import receipt, uninstall

PATIENCE = 20.0  # seconds for the console


def leave(paths: Paths) -> Dict[str, Any]:
    """`{ok, told, why, removed, left}`; `why` says what kept the console from being told. Works without a network.

    Refusal when a file will not go, or nothing is installed.
    """
    try:
        known = receipt(paths)
        if known is None:
            raise Refusal("The agent is not installed here.", "There is nothing to do.")
        inits.stop(paths, str(known.get("mode")))
        process.halt(paths)  # its session ends with ours
        told, why = tell(paths)
    except OSError as error:
        raise files.refusal(error) from error
    return dict(uninstall(paths), told=told, why=why)


def tell(paths: Paths) -> Tuple[bool, Optional[str]]:
    """Whether the console took the word that this agent ends, and if not, why."""
    settings = files.read_json(paths.config) or {}
    url, ca, proxy = (settings.get(key) for key in ("url", "ca", "proxy"))
    known = identity.kept(paths, url) if isinstance(url, str) else None
    if not isinstance(url, str) or known is None or known.agent_id is None:
        return False, "this machine was no agent of it"
    console = Console(url, ca, proxy, total=PATIENCE)
    try:
        session = Session(paths, console, known, Clock())
        answer = session.open()
        if session.is_open:
            answer = session.post(protocol.LEAVE_PATH, {"version": protocol.VERSION})
    except Unreached as error:
        return False, error.cause.rstrip(".")
    finally:
        console.close()
    if answer.status == 200 or answer.code in (protocol.UNKNOWN_AGENT, protocol.REMOVED):
        return True, None
    return False, "it answered {}".format(answer.status)
