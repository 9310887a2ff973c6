"""What lives in a simulated vCloud organisation: vApps, their machines, templates, networks, tasks and events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

FAILED, UNRESOLVED, RESOLVED, SUSPENDED, ON, UNKNOWN, OFF, INCONSISTENT, MIXED = -1, 0, 1, 3, 4, 6, 8, 9, 10

WORDS: dict[int, str] = {
    FAILED: "FAILED_CREATION",
    UNRESOLVED: "UNRESOLVED",
    RESOLVED: "RESOLVED",
    2: "DEPLOYED",
    SUSPENDED: "SUSPENDED",
    ON: "POWERED_ON",
    5: "WAITING_FOR_INPUT",
    UNKNOWN: "UNKNOWN",
    7: "UNRECOGNIZED",
    OFF: "POWERED_OFF",
    INCONSISTENT: "INCONSISTENT_STATE",
    MIXED: "MIXED",
}
"""The `status` number of a document -> the word that query records have for it."""
CODES = {word: code for code, word in WORDS.items()}


class Trouble(Exception):
    """An Error document: HTTP status, minorErrorCode, message."""

    def __init__(self, status: int, minor: str, words: str) -> None:
        super().__init__(words)
        self.status, self.minor, self.words = status, minor, words


def forbidden(kind: str, id_: str) -> Trouble:
    """What a cell says of a thing that it does not have (error403.xml): 403, never 404."""
    return Trouble(
        403, "ACCESS_TO_RESOURCE_IS_FORBIDDEN", f'No access to entity "com.vmware.vcloud.entity.{kind}:{id_}".'
    )


def busy(name: str) -> Trouble:
    """BUSY_ENTITY, with 400."""
    return Trouble(400, "BUSY_ENTITY", f"The entity {name} is busy completing an operation.")


def invalid(words: str) -> Trouble:
    """The state of the thing does not allow it."""
    return Trouble(400, "INVALID_STATE", words)


def bad(words: str) -> Trouble:
    """The request makes no sense."""
    return Trouble(400, "BAD_REQUEST", words)


@dataclass(slots=True)
class Nic:
    """One network card. `mode`: POOL, DHCP, MANUAL or NONE."""

    network: str
    ip: str = ""
    mac: str = ""
    mode: str = "POOL"
    external_ip: str = ""
    connected: bool = True


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The one snapshot that a machine may have: when, how big, and what to go back to."""

    created: datetime
    powered_on: bool
    size: int
    cpus: int
    memory_mb: int


@dataclass(frozen=True, slots=True)
class Network:
    """An organisation network. `third` is the third byte of its 10.60.x.0/24."""

    id: str
    name: str
    third: int
    fence: str = "bridged"

    @property
    def gateway(self) -> str:
        """The first address of the range."""
        return f"10.60.{self.third}.1"


@dataclass(frozen=True, slots=True)
class Seedling:
    """A machine inside a template."""

    id: str
    name: str
    cpus: int = 1
    memory_mb: int = 1024
    disk_mb: int = 8192
    guest_os: str = "Ubuntu Linux (64-bit)"
    os_type: str = "ubuntu64Guest"


@dataclass(frozen=True, slots=True)
class Template:
    """A vApp template, listed in the catalog under `item_id`."""

    id: str
    item_id: str
    name: str
    created: datetime
    machines: tuple[Seedling, ...]
    status: int = OFF


@dataclass(eq=False, slots=True)
class Task:
    """A task of the cell. `status`: queued, running, success, error, canceled."""

    id: str
    name: str
    operation: str
    kind: str
    owner_id: str
    owner_name: str
    started: datetime
    runs: datetime
    ends: datetime
    finish: Callable[[], None]
    status: str = "queued"
    ended: datetime | None = None
    minor: str = ""
    words: str = ""
    """Why it failed, or will fail."""

    @property
    def over(self) -> bool:
        """Nothing more will happen."""
        return self.status not in ("queued", "running")


@dataclass(frozen=True, slots=True)
class Event:
    """A line of the organisation's log. `kind`: vm or vapp."""

    id: str
    type: str
    at: datetime
    kind: str
    entity_id: str
    entity_name: str
    good: bool = True


@dataclass(eq=False, slots=True)
class Vm:
    """A machine. `status` is the number of its documents; powered off and still `deployed` is a state of its own."""

    id: str
    name: str
    vapp: VApp
    created: datetime
    status: int = ON
    deployed: bool = True
    cpus: int = 1
    memory_mb: int = 1024
    disk_mb: int = 8192
    nics: list[Nic] = field(default_factory=list)
    guest_os: str = "Ubuntu Linux (64-bit)"
    os_type: str = "ubuntu64Guest"
    tools: bool = True
    """VMware Tools run in it: without them it can be neither shut down nor rebooted softly."""
    metadata: dict[str, str] = field(default_factory=dict)
    computer_name: str = ""
    script: str = ""
    password: str = ""
    products: list[tuple[str, str]] = field(default_factory=list)
    """Properties of its product section: what the guest reads from its OVF environment."""
    extra: dict[str, str] = field(default_factory=dict)
    """ExtraConfig of its hardware section (5.6 and later)."""
    policy: str = ""
    """The id of its sizing policy (33 and later); "" for the default one."""
    snapshot: Snapshot | None = None
    task: Task | None = None
    rendered: dict[str, str] = field(default_factory=dict)

    @property
    def word(self) -> str:
        """The status of its query record."""
        if self.deployed and self.status in (OFF, SUSPENDED):
            return f"PARTIALLY_{WORDS[self.status]}"
        return WORDS[self.status]


@dataclass(eq=False, slots=True)
class VApp:
    """A group of machines."""

    id: str
    name: str
    created: datetime
    description: str = ""
    vms: list[Vm] = field(default_factory=list)
    networks: list[str] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)
    resolved: bool = True
    failed: bool = False
    task: Task | None = None

    @property
    def status(self) -> int:
        """What its machines have in common; MIXED when that is nothing."""
        if self.failed:
            return FAILED
        if not self.resolved:
            return UNRESOLVED
        found = {vm.status for vm in self.vms}
        return found.pop() if len(found) == 1 else MIXED if found else RESOLVED

    @property
    def deployed(self) -> bool:
        """Whether any of its machines holds resources."""
        return any(vm.deployed for vm in self.vms)

    @property
    def working(self) -> Task | None:
        """The task that it, or one of its machines, waits for."""
        found = [self.task, *(vm.task for vm in self.vms)]
        return next((task for task in found if task is not None and not task.over), None)
