"""What a simulated CloudStack holds: machines, what they are made from, jobs and events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

STATES: Final = frozenset(
    {
        "Starting",
        "Running",
        "Stopping",
        "Stopped",
        "Destroyed",
        "Expunging",
        "Migrating",
        "Error",
        "Unknown",
        "Shutdown",
    }
)
GONE: Final = frozenset({"Destroyed", "Expunging"})
"""What `state=Present` leaves out."""


class ApiError(Exception):
    """A call, or a job, that CloudStack refuses.

    `code` is of ApiErrorCode and the HTTP status. `cs` is of CSExceptionErrorCode: 9999 is ServerApiException,
    4350 InvalidParameterValueException, 4365 PermissionDeniedException; None leaves it out.
    """

    def __init__(self, code: int, words: str, cs: int | None = 9999) -> None:
        super().__init__(words)
        self.code = code
        self.words = words
        self.cs = cs

    def document(self) -> dict[str, Any]:
        """The error as it stands in a reply."""
        said: dict[str, Any] = {"uuidList": [], "errorcode": self.code}
        if self.cs is not None:
            said["cserrorcode"] = self.cs
        return said | {"errortext": self.words}


def invalid(words: str) -> ApiError:
    """431 of a value that the command itself refuses."""
    return ApiError(431, words, 4350)


@dataclass(frozen=True, slots=True)
class Zone:
    id: str
    name: str
    network_type: str = "Advanced"


@dataclass(frozen=True, slots=True)
class Offering:
    """A service offering. Memory in MB, speed in MHz; without cpus and memory the order must say them (customized)."""

    id: str
    name: str
    cpus: int | None = None
    memory: int | None = None
    speed: int = 2000

    @property
    def customized(self) -> bool:
        """Whether the order says how much."""
        return self.cpus is None


@dataclass(frozen=True, slots=True)
class Template:
    """A boot template, ready in each zone named; `size` in bytes."""

    id: str
    name: str
    size: int = 10 * 2**30
    zones: tuple[str, ...] = ()
    hypervisor: str = "KVM"
    password: bool = False
    ready: bool = True
    featured: bool = True
    mine: bool = False


@dataclass(frozen=True, slots=True)
class Net:
    """A guest network: `prefix` is the first three bytes of its IPv4 /24."""

    id: str
    name: str
    zone: str
    prefix: str
    kind: str = "Isolated"
    project: str = ""


@dataclass(frozen=True, slots=True)
class Nic:
    """An interface. `secondary` are more IPv4 addresses on it; an empty `ip` is one that has none yet."""

    id: str
    network: str
    ip: str
    mac: str
    default: bool = True
    ip6: str = ""
    secondary: tuple[str, ...] = ()


@dataclass(eq=False)
class Machine:
    """A virtual machine. Change it through `Cloud`, or call `Cloud.touch` afterwards: replies are kept ready."""

    id: str
    name: str
    displayname: str
    number: int
    state: str
    created: datetime
    zone: str
    template: str
    offering: str
    nics: tuple[Nic, ...] = ()
    project: str = ""
    keypair: str = ""
    group: str = ""
    public_ip: str = ""
    hypervisor: str = "KVM"
    haenable: bool = False
    scalable: bool = False
    tags: dict[str, str] = field(default_factory=dict)
    details: dict[str, str] = field(default_factory=dict)
    userdata: str = ""
    """Base64, as it was sent."""
    updated: datetime | None = None
    destroyed: datetime | None = None
    job: str = ""
    """The job under way."""
    rendered: dict[str, str] = field(default_factory=dict)


@dataclass(eq=False)
class Snapshot:
    """A snapshot of a whole machine (4.2 and later)."""

    id: str
    name: str
    displayname: str
    machine: str
    created: datetime
    state: str = "Allocated"
    kind: str = "Disk"
    current: bool = True
    parent: str = ""


@dataclass(eq=False)
class DiskSnapshot:
    """A snapshot of a root volume."""

    id: str
    name: str
    volume: str
    created: datetime
    state: str = "BackingUp"


@dataclass(frozen=True, slots=True)
class Event:
    id: str
    type: str
    level: str
    state: str
    words: str
    created: datetime
    machine: str
    machine_name: str
    parent: str = ""


Finish = Callable[[], dict[str, Any]]
"""Ends the work and gives the job's result. Raises ApiError when it failed."""


@dataclass(eq=False)
class Job:
    """Asynchronous work. `status` is 0 under way, 1 done, 2 failed."""

    id: str
    command: str
    machine: str
    created: datetime
    ends: datetime
    finish: Finish
    event: str = ""
    status: int = 0
    code: int = 0
    result: dict[str, Any] | None = None
    completed: datetime | None = None
    started_event: str = ""
