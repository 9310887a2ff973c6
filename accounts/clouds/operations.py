"""What can be asked of a server, who can do it, and the frozen values that go in and come out.

Capabilities are data: each driver has a table for each generation of its platform that it speaks to (`Capabilities`).
The reason in it is the sentence that the page, the API and the docs show.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from accounts.clouds.base import State
from console.lib.faults import Refused


class Operation(StrEnum):
    """Everything a driver may be asked to do. The value is the word in rows, the API and the docs."""

    LIST = "list"
    CHANGES = "changes"  # what changed since a moment
    SIZES = "sizes"
    IMAGES = "images"
    NETWORKS = "networks"
    KEY_PAIRS = "key_pairs"
    CREATE = "create"
    FREE_SIZE = "free_size"  # CPUs and memory of one's own, without a size: for a new server, and for a resize
    ORDER_USER_DATA = "order_user_data"  # with a new server
    START = "start"
    STOP = "stop"
    REBOOT = "reboot"  # soft: the system is asked
    RESET = "reset"  # hard: the power is cut
    SUSPEND = "suspend"
    RESUME = "resume"
    RESIZE = "resize"
    CONFIRM_RESIZE = "confirm_resize"
    REVERT_RESIZE = "revert_resize"
    RENAME = "rename"
    SNAPSHOT = "snapshot"
    SNAPSHOTS = "snapshots"
    REVERT_SNAPSHOT = "revert_snapshot"
    DELETE_SNAPSHOT = "delete_snapshot"
    DELETE = "delete"
    CONSOLE_URL = "console_url"
    CONSOLE_TEXT = "console_text"
    METADATA = "metadata"
    SET_METADATA = "set_metadata"
    USER_DATA = "user_data"
    SET_USER_DATA = "set_user_data"
    SET_GUEST_PROPERTY = "set_guest_property"  # what only the guest reads, through the hypervisor's own tools


@dataclass(frozen=True, slots=True)
class Capability:
    """yes (`allowed`), no with its `reason`, or only in some states (`states`, and `reason`: "Stop it first.").

    `unproven`: no real cloud of this kind has confirmed it; the docs say so.
    """

    allowed: bool
    reason: str = ""
    states: frozenset[State] = frozenset()
    unproven: bool = False

    def refusal(self, state: State | None = None) -> str:
        """Why it cannot be done to a server in this state; "" when it can. Without a state: whether it can at all."""
        if not self.allowed:
            return self.reason
        return self.reason if state is not None and self.states and state not in self.states else ""


YES: Final = Capability(True)
UNPROVEN: Final = Capability(True, unproven=True)


def no(reason: str) -> Capability:
    """Impossible there, for this reason (a whole sentence)."""
    return Capability(False, reason)


def only(reason: str, *states: State, unproven: bool = False) -> Capability:
    """Possible in these states; the reason says how to get there: "Stop it first."."""
    return Capability(True, reason, frozenset(states), unproven)


Capabilities = Mapping[Operation, Capability]


def require(capabilities: Capabilities, operation: Operation) -> None:
    """Refused with its reason, before any call is made, when the platform cannot do it at all."""
    if words := capabilities[operation].refusal():
        raise Refused(words)


class Untold(Exception):
    """The cloud cannot tell what changed this time. Read the whole list instead."""


# --- values


@dataclass(frozen=True, slots=True)
class Size:
    """A size on offer; without an id, CPUs and memory of one's own (`Operation.FREE_SIZE`). One that tells neither
    leaves them open: an order of it says `cpus` and `memory_mb`."""

    id: str
    name: str
    cpus: int | None = None
    memory_mb: int | None = None
    disk_gb: int | None = None


@dataclass(frozen=True, slots=True)
class Image:
    """Something to create a server from. `zone` where the platform has a row for each zone."""

    id: str
    name: str
    min_disk_gb: int | None = None
    min_memory_mb: int | None = None
    zone: str = ""


@dataclass(frozen=True, slots=True)
class Network:
    id: str
    name: str
    zone: str = ""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """`fingerprint` in the cloud's own notation."""

    name: str
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """A server to create. `networks` are ids; empty: the cloud's default. `user_data` is at most 16 KiB of bytes."""

    name: str
    image: str
    size: str = ""
    cpus: int | None = None
    memory_mb: int | None = None
    networks: tuple[str, ...] = ()
    key_name: str = ""
    user_data: bytes = b""
    metadata: Mapping[str, str] = field(default_factory=dict)
    zone: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """Work that the cloud took on. `ref` is opaque, holds no secret and is kept in a row: `Driver.task` reads on with
    it in any process, so that the work is found again and not repeated. `password` is a first password, told once."""

    ref: str
    server_id: str = ""
    password: str = field(default="", repr=False)


class Phase(StrEnum):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Progress:
    """How a task stands. `words`: the cloud's own when it failed. `percent` where it says."""

    phase: Phase
    words: str = ""
    percent: int | None = None
    server_id: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Snapshot:
    id: str
    name: str
    created_at: datetime | None = None
    current: bool = False


@dataclass(frozen=True, slots=True)
class Console:
    """A console to open in a browser, for a short while. `kind`: novnc, spice-html5, screen, mks …"""

    url: str
    kind: str


@dataclass(frozen=True, slots=True)
class Rate:
    """A limit of the cloud's own: `calls` in `seconds`, for this HTTP verb ("" for all)."""

    calls: int
    seconds: float
    verb: str = ""
