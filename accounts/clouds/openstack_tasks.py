"""How far OpenStack is with something it took on. It has no task objects: the server's own status and task_state tell,
the image's status for a snapshot, and os-instance-actions where an ending could mean two things."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from accounts.clouds.operations import Phase, Progress
from console.lib.faults import Unexpected

_OFF: Final = ("SHUTOFF", "STOPPED")  # STOPPED became SHUTOFF after Essex

GOALS: Final[dict[str, tuple[str, ...]]] = {
    "create": ("ACTIVE",),
    "start": ("ACTIVE",),
    "stop": _OFF,
    "reboot": ("ACTIVE",),
    "reset": ("ACTIVE",),
    "suspend": ("SUSPENDED",),
    "resume": ("ACTIVE",),
    "resize": ("VERIFY_RESIZE",),
    "confirm_resize": ("ACTIVE", *_OFF),
    "revert_resize": ("ACTIVE", *_OFF),
    "revert_snapshot": ("ACTIVE", *_OFF),
}
"""Operation → the statuses in which it is done."""

RECORDED: Final[dict[str, str]] = {
    "start": "start",
    "stop": "stop",
    "reboot": "reboot",
    "reset": "reboot",
    "suspend": "suspend",
    "resume": "resume",
    "confirm_resize": "confirmResize",
    "revert_resize": "revertResize",
}
"""Operation → what os-instance-actions calls it. A resize and a snapshot are not among them: of those, more than the
record tells is needed to see how they end."""

_BUSY: Final = frozenset(
    {"BUILD", "REBUILD", "REBOOT", "HARD_REBOOT", "MIGRATING", "RESIZE", "REVERT_RESIZE", "PASSWORD", "UNKNOWN"}
)
# Nova sets no task_state for these two, so an unchanged status may be one that is about to change.
_SILENT: Final = frozenset({"confirm_resize", "delete"})
_TASK_STATE: Final = "OS-EXT-STS:task_state"


@dataclass(frozen=True, slots=True)
class Ref:
    """What must be known to read on in another process. `request`: Nova's id of the call that began it."""

    do: str
    id: str = ""
    region: str = ""
    request: str = ""
    image: str = ""
    size: str = ""

    def text(self) -> str:
        return orjson.dumps({key: value for key, value in asdict(self).items() if value}).decode()

    @staticmethod
    def read(text: str) -> Ref:
        """Unexpected when our driver did not write it."""
        try:
            found = Ref(**orjson.loads(text))
            if all(isinstance(value, str) for value in asdict(found).values()):
                return found
        except (orjson.JSONDecodeError, TypeError):
            pass
        raise Unexpected("This task was not begun by the OpenStack driver.")


def gone(ref: Ref) -> Progress:
    """The cloud says that there is no such server."""
    if ref.do == "delete":
        return Progress(Phase.DONE, server_id=ref.id)
    return Progress(Phase.FAILED, "The server does not exist any more.", server_id=ref.id)


def of_server(ref: Ref, row: dict[str, Any]) -> Progress:
    """What the server's row says of it."""
    status = str(row.get("status") or "").partition("(")[0].strip().upper()
    busy = row.get(_TASK_STATE)
    percent = row.get("progress")
    running = Progress(
        Phase.RUNNING,
        percent=percent if isinstance(percent, int) and 0 < percent < 100 else None,
        server_id=ref.id,
    )
    if status in ("DELETED", "SOFT_DELETED"):
        return gone(ref)
    if busy:
        return running
    if status == "ERROR":
        # Before Essex nothing tells a server that is being deleted from one that stays broken.
        if ref.do == "delete" and _TASK_STATE not in row:
            return running
        fault = row.get("fault")
        words = str(fault.get("message") or "") if isinstance(fault, dict) else ""
        return Progress(Phase.FAILED, words or "The server went into an error state.", server_id=ref.id)
    if status in GOALS.get(ref.do, ()) or (ref.do == "resize" and _has_size(row, ref.size)):
        return Progress(Phase.DONE, server_id=ref.id)
    if status in _BUSY or ref.do in _SILENT or _TASK_STATE not in row:
        return running
    return Progress(
        Phase.FAILED, f"The cloud stopped working on it, and the server is {status or 'in no state'}.", server_id=ref.id
    )


def of_image(ref: Ref, row: dict[str, Any] | None) -> Progress:
    """What the row of a snapshot's image says; None: the cloud has it no more."""
    status = str((row or {}).get("status") or "").lower()
    if status == "active":
        return Progress(Phase.DONE, server_id=ref.id)
    if row is None or status in ("deleted", "killed", "error", "pending_delete", "failed"):
        return Progress(Phase.FAILED, "The cloud gave the snapshot up.", server_id=ref.id)
    percent = row.get("progress")
    return Progress(Phase.RUNNING, percent=percent if isinstance(percent, int) else None, server_id=ref.id)


def failed_inside(ref: Ref, body: dict[str, Any]) -> Progress | None:
    """Whether os-instance-actions/{request} says that it failed."""
    action = body.get("instanceAction")
    if not isinstance(action, dict) or action.get("message") != "Error":
        return None
    return Progress(Phase.FAILED, "The cloud began it and could not finish it.", server_id=ref.id)


def newest(body: dict[str, Any], operation: str, since: datetime) -> str:
    """The id of the newest request for this in os-instance-actions; "" when there is none since then."""
    held = body.get("instanceActions")
    found: list[tuple[datetime, str]] = []
    for one in held if isinstance(held, list) else ():
        try:
            at = datetime.fromisoformat(str(one["start_time"]))
        except (KeyError, TypeError, ValueError):
            continue
        at = at if at.tzinfo else at.replace(tzinfo=UTC)  # Nova writes UTC without saying so
        if one.get("action") == RECORDED[operation] and at >= since and one.get("request_id"):
            found.append((at, str(one["request_id"])))
    return max(found, default=(since, ""))[1]


def _has_size(row: dict[str, Any], size: str) -> bool:
    # Clouds may confirm a resize by themselves; then the new size is there and VERIFY_RESIZE was never seen.
    held = row.get("flavor")
    settled = row.get("status") in ("ACTIVE", *_OFF)
    return settled and bool(size) and isinstance(held, dict) and str(held.get("id", "")) == size
