"""One simulated server: its facts, and what may be done to it in which state.

Status and vm_state words are Nova's own (CLOUDS.md 2.5 and 2.6; seen in both captures).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Nic:
    """One address. `kind` is "fixed" or "floating", as in OS-EXT-IPS:type."""

    addr: str
    version: int = 4
    kind: str = "fixed"
    mac: str = "fa:16:3e:00:00:01"


# Status word -> (vm_state, power_state).
STATES: dict[str, tuple[str, int]] = {
    "ACTIVE": ("active", 1),
    "BUILD": ("building", 0),
    "REBOOT": ("active", 1),
    "HARD_REBOOT": ("active", 1),
    "REBUILD": ("active", 1),
    "RESIZE": ("active", 1),
    "MIGRATING": ("active", 1),
    "PASSWORD": ("active", 1),
    "VERIFY_RESIZE": ("resized", 1),
    "STOPPED": ("stopped", 4),
    "SHUTOFF": ("stopped", 4),
    "SUSPENDED": ("suspended", 4),
    "PAUSED": ("paused", 3),
    "RESCUE": ("rescued", 1),
    "SHELVED": ("shelved", 4),
    "SHELVED_OFFLOADED": ("shelved_offloaded", 4),
    "SOFT_DELETED": ("soft-delete", 4),
    "ERROR": ("error", 0),
    "DELETED": ("deleted", 0),
    "UNKNOWN": ("active", 0),
}

# The statuses in which Nova says how far along it is.
WITH_PROGRESS = frozenset({"ACTIVE", "BUILD", "REBUILD", "RESIZE", "VERIFY_RESIZE", "MIGRATING"})
# The statuses that carry a `fault`.
WITH_FAULT = frozenset({"ERROR", "DELETED"})


@dataclass(frozen=True, slots=True)
class Move:
    """An action: allowed from these vm_states, shown by `task` (and `meanwhile`) until it ends in `ends`.

    `ends` "" means the status stays; "off" is the generation's own word for a stopped server.
    """

    allowed: frozenset[str]
    task: str | None
    ends: str
    meanwhile: str = ""


def _from(*states: str) -> frozenset[str]:
    return frozenset(states)


MOVES: dict[str, Move] = {
    "os-start": Move(_from("stopped"), "powering-on", "ACTIVE"),
    "os-stop": Move(_from("active", "error", "rescued"), "powering-off", "off"),
    "reboot:SOFT": Move(_from("active"), "rebooting", "ACTIVE", "REBOOT"),
    "reboot:HARD": Move(
        _from("active", "stopped", "paused", "suspended", "error"), "rebooting_hard", "ACTIVE", "HARD_REBOOT"
    ),
    "suspend": Move(_from("active"), "suspending", "SUSPENDED"),
    "resume": Move(_from("suspended"), "resuming", "ACTIVE"),
    "unshelve": Move(_from("shelved", "shelved_offloaded"), "unshelving", "ACTIVE"),
    "pause": Move(_from("active"), "pausing", "PAUSED"),
    "unpause": Move(_from("paused"), "unpausing", "ACTIVE"),
    "resize": Move(_from("active", "stopped"), "resize_prep", "VERIFY_RESIZE", "RESIZE"),
    "confirmResize": Move(_from("resized"), None, "ACTIVE"),
    "revertResize": Move(_from("resized"), "resize_reverting", "ACTIVE"),
    "rebuild": Move(_from("active", "stopped", "error"), "rebuilding", "ACTIVE", "REBUILD"),
    "rescue": Move(_from("active", "stopped", "error"), "rescuing", "RESCUE"),
    "unrescue": Move(_from("rescued"), "unrescuing", "ACTIVE"),
    "createImage": Move(_from("active", "stopped", "paused", "suspended"), "image_snapshot", ""),
    "changePassword": Move(_from("active"), None, ""),
    "lock": Move(frozenset(state for state, _ in STATES.values()), None, ""),
    "unlock": Move(frozenset(state for state, _ in STATES.values()), None, ""),
}


@dataclass(slots=True)
class Deed:
    """Something that was asked of a server, as os-instance-actions tells it."""

    action: str
    request_id: str
    started: datetime
    finished: datetime | None = None


@dataclass(slots=True)
class Instance:
    """A server as the simulated cloud knows it. Change it only through `Cloud`, which holds the lock."""

    id: str
    name: str
    number: int
    status: str
    flavor: str
    image: str
    project_id: str
    user_id: str
    created: datetime
    updated: datetime
    addresses: dict[str, tuple[Nic, ...]] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    key_name: str | None = None
    host_id: str = ""
    locked: bool = False
    task_state: str | None = None
    fault: str = ""
    console: str = ""
    networks: tuple[str, ...] | None = None
    """Labels of the networks that it was ordered on; None: the cloud's default."""
    user_data: str = ""
    """As it was sent, in base64."""
    resize: tuple[str, str, str] | None = None
    """A resize that is not confirmed: the size and the status before it, and the new size."""
    deeds: list[Deed] = field(default_factory=list, repr=False, compare=False)
    ends: tuple[datetime, str] | None = None
    """When the running action is over, and the status it leaves."""
    rendered: dict[tuple[str, ...], bytes] = field(default_factory=dict, repr=False, compare=False)
    """Listing fragments by style: what makes a page of 1,000 cost a join."""

    @property
    def vm_state(self) -> str:
        """Nova's vm_state for the status."""
        return STATES.get(self.status, ("active", 0))[0]

    @property
    def power_state(self) -> int:
        """Nova's power_state number for the status."""
        return STATES.get(self.status, ("active", 0))[1]
