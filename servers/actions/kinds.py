"""What can be done to a server, in words, and what each deed needs to know. Plain values: no rows, no Django."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from accounts.clouds import State
from accounts.clouds.acting import ActingDriver
from accounts.clouds.operations import Operation, Order, Size, Task

Call = Callable[[ActingDriver, str, dict[str, Any]], Task]
PATIENCE: Final = timedelta(hours=2)  # after which an action counts as failed, whatever its cloud is still doing
MARK: Final = "muster-action"  # the metadata key by which a new server is known again; its value is the action's id


@dataclass(frozen=True)
class Kind:
    """`goal`: the state that shows that it was done. `repeatable`: asked for twice, it leaves what once leaves.

    `needs` are the parameters that must be given; `single`: they make sense for one server only. `call` is given the
    server's id at its cloud; for a server that is still to be made, the mark that it shall carry ("" for none).
    """

    operation: Operation
    label: str  # of a button: "Stop"
    doing: str  # while it goes on: "Stopping"
    past: str  # of a time line: "Stopped"
    icon: str
    sentence: str  # of the confirm page: what will happen
    call: Call
    goal: State | None = None
    repeatable: bool = False
    needs: tuple[str, ...] = ()
    single: bool = False
    danger: bool = False

    @property
    def name(self) -> str:
        return self.operation.value

    @property
    def outcome(self) -> str:
        """How a row of it ends when nothing more is to be said: "Took a snapshot."."""
        return f"{self.past.removesuffix(' of')}."


def _size(params: dict[str, Any]) -> Size:
    given = {key: params.get(key) for key in ("cpus", "memory_mb", "disk_gb")}
    wanted = str(params.get("size") or "")
    return Size(wanted, str(params.get("size_name") or wanted), **given)


def _order(params: dict[str, Any], mark: str) -> Order:
    return Order(
        name=str(params["name"]),
        image=str(params["image"]),
        size=str(params.get("size") or ""),
        cpus=params.get("cpus"),
        memory_mb=params.get("memory_mb"),
        networks=tuple(params.get("networks") or ()),
        key_name=str(params.get("key_name") or ""),
        user_data=str(params.get("user_data") or "").encode(),
        metadata={MARK: mark} if mark else {},
        zone=str(params.get("zone") or ""),
    )


_ON_SERVERS: Final = (
    Kind(Operation.START, "Start", "Starting", "Started", "player-play", "The power is switched on.",
         lambda d, i, p: d.start(i), State.RUNNING, repeatable=True),
    Kind(Operation.STOP, "Stop", "Stopping", "Stopped", "player-stop",
         "A shut-down; disks and addresses stay. Most hosts go on charging.",
         lambda d, i, p: d.stop(i), State.STOPPED, repeatable=True),
    Kind(Operation.REBOOT, "Reboot", "Rebooting", "Rebooted", "refresh",
         "The system is asked to start anew; what runs on it is ended in order.",
         lambda d, i, p: d.reboot(i)),
    Kind(Operation.RESET, "Reset", "Resetting", "Reset", "power",
         "The power is cut and comes back, as with a reset button: what was not written to disk is lost.",
         lambda d, i, p: d.reset(i)),
    Kind(Operation.SUSPEND, "Suspend", "Suspending", "Suspended", "player-pause",
         "Everything is frozen as it is, memory included, and answers nothing until it is resumed.",
         lambda d, i, p: d.suspend(i), State.SUSPENDED, repeatable=True),
    Kind(Operation.RESUME, "Resume", "Resuming", "Resumed", "player-skip-forward",
         "Everything goes on where it was suspended.",
         lambda d, i, p: d.resume(i), State.RUNNING, repeatable=True),
    Kind(Operation.RESIZE, "Resize", "Resizing", "Resized", "cpu",
         "Another size. Most clouds restart a server for that, and some ask for a confirmation afterwards.",
         lambda d, i, p: d.resize(i, _size(p))),
    Kind(Operation.CONFIRM_RESIZE, "Confirm resize", "Confirming the resize of", "Confirmed the resize of", "check",
         "The new size stays; there is no way back to the old one then.",
         lambda d, i, p: d.confirm_resize(i), State.RUNNING),
    Kind(Operation.REVERT_RESIZE, "Revert resize", "Reverting the resize of", "Reverted the resize of", "arrow-left",
         "Back to the old size.",
         lambda d, i, p: d.revert_resize(i), State.RUNNING),
    Kind(Operation.RENAME, "Rename", "Renaming", "Renamed", "edit",
         "The name at the cloud changes; what the system on the server calls itself stays.",
         lambda d, i, p: d.rename(i, str(p["name"])), repeatable=True, needs=("name",), single=True),
    Kind(Operation.SNAPSHOT, "Snapshot", "Taking a snapshot of", "Took a snapshot of", "camera",
         "The disks are kept as they are now, under this name. Most hosts charge for the space.",
         lambda d, i, p: d.snapshot(i, str(p["name"])), needs=("name",)),
    Kind(Operation.REVERT_SNAPSHOT, "Revert to a snapshot", "Reverting", "Reverted", "history",
         "Its disks go back to what they were then; what was written since is lost.",
         lambda d, i, p: d.revert_snapshot(i, str(p["snapshot_id"])), needs=("snapshot_id",), single=True, danger=True),
    Kind(Operation.DELETE_SNAPSHOT, "Delete a snapshot", "Deleting a snapshot of", "Deleted a snapshot of", "trash",
         "The snapshot is deleted for good; the server stays as it is.",
         lambda d, i, p: d.delete_snapshot(i, str(p["snapshot_id"])), repeatable=True, needs=("snapshot_id",),
         single=True, danger=True),
    Kind(Operation.DELETE, "Delete", "Deleting", "Deleted", "trash",
         "Deleted at the cloud, with the disks, for good. Nobody can bring it back.",
         lambda d, i, p: d.delete(i), repeatable=True, danger=True),
)  # fmt: skip

KINDS: Final[dict[str, Kind]] = {kind.name: kind for kind in _ON_SERVERS}
"""What can be done to a server that is there: what pages and the API offer for it."""

CREATE: Final = Kind(
    Operation.CREATE, "Create", "Creating", "Created", "plus",
    "A new server at the cloud. Most hosts charge for it from the start.",
    lambda d, mark, p: d.create(_order(p, mark)), State.RUNNING, needs=("name", "image"),
)  # fmt: skip

EVERY: Final[dict[str, Kind]] = {CREATE.name: CREATE, **KINDS}
"""Whatever a row of work may be of."""
