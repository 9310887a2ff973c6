"""A simulated CloudStack account: machines, what they are made from, and the jobs under way.

This is the state behind the wire; how it is said is in cloudstack_api.py and the modules of its commands.
"""

from __future__ import annotations

import random
import threading
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Literal

from console.demo.cloudstack_things import (
    STATES,
    ApiError,
    DiskSnapshot,
    Event,
    Finish,
    Job,
    Machine,
    Net,
    Nic,
    Offering,
    Snapshot,
    Template,
    Zone,
)

Counting = Literal["total", "page"]

API_KEY = "demo-api-key-5f0b7c9e2d8a4c61b3f4e8a9"
SECRET_KEY = "demo-cloudstack-secret"  # noqa: S105 - opens only a simulated cloud on loopback


class Missing(LookupError):
    """No such thing in this cloud."""


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(eq=False)
class Cloud:
    """A whole account. Everything here may be changed while it is served; hold `lock` over several steps.

    `clock` gives aware times; jobs take `settle` (one is over at once when it is zero).
    """

    version: str = "4.20.0.0"
    counting: Counting | None = None
    """What `count` says in lists: "total", or "page": only the rows of this page. None: as that version did it."""
    count_past_end: bool = False
    """A page past the end still says the total, as 4.2x serializes it; otherwise it is {}."""
    seed: int = 1
    clock: Callable[[], datetime] = _now
    wall: Callable[[], datetime] = _now
    """What `expires` of a signature is held against: callers know no other time, whatever `clock` says."""
    settle: timedelta = timedelta(0)
    api_key: str = API_KEY
    secret_key: str = SECRET_KEY
    account: str = "demo"
    domain: str = "ROOT"
    max_page: int = 500
    """default.page.size, which is also the largest that may be asked for."""
    rate: tuple[int, float] | None = None
    """api.throttling.max calls in api.throttling.interval seconds; None: not throttled."""
    enforce_post: bool = False
    """enforce.post.requests.and.timestamps: changes by POST only, signature version 3, expires within 15 minutes."""
    users_expunge: bool = True
    expunge_delay: timedelta = timedelta(hours=24)
    unknown_command: int | None = None
    """The error of a command that there is not: 432, or 401 as the source of later versions has it."""
    zones: dict[str, Zone] = field(default_factory=dict)
    offerings: dict[str, Offering] = field(default_factory=dict)
    templates: dict[str, Template] = field(default_factory=dict)
    networks: dict[str, Net] = field(default_factory=dict)
    projects: dict[str, str] = field(default_factory=dict)
    """Project id -> name."""
    keypairs: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Key name -> (id, fingerprint)."""
    machines: dict[str, Machine] = field(default_factory=dict)
    snapshots: dict[str, Snapshot] = field(default_factory=dict)
    disk_snapshots: dict[str, DiskSnapshot] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    events: deque[Event] = field(default_factory=lambda: deque(maxlen=20_000))
    """Oldest first."""
    failures: dict[str, ApiError] = field(default_factory=dict)
    """Command -> how its next job fails; used once."""

    def __post_init__(self) -> None:
        self.lock = threading.RLock()
        self.random = random.Random(self.seed)  # noqa: S311 - names and ids of a simulation
        numbers = [int(part) for part in self.version.split(".") if part.isdigit()]
        self.release = (numbers[0], numbers[1] if len(numbers) > 1 else 0)
        self.counting = self.counting or ("page" if self.release < (4, 1) else "total")
        self._numbers = count(1 + max((one.number for one in self.machines.values()), default=0))
        self._ids = count(2600)
        self._running: dict[str, Job] = {}
        self.domain_id, self.account_id, self.user_id = self.new_id(), self.new_id(), self.new_id()

    @classmethod
    def sized(cls, machines: int, version: str = "4.20.0.0", counting: Counting | None = None, seed: int = 1) -> Cloud:
        """Any number of machines in mixed states, made quickly (10,000 in about a second)."""
        from console.demo.cloudstack_population import fill

        cloud = cls(version=version, counting=counting, seed=seed)
        fill(cloud, machines)
        return cloud

    @property
    def credentials(self) -> dict[str, str]:
        """What PROMISES.md calls cloudstack credentials, for this account."""
        return {"api_key": self.api_key, "secret_key": self.secret_key}

    @property
    def shows_destroyed(self) -> bool:
        """Whether a user still sees Destroyed machines: until allow.user.view.destroyed.vm came with 4.6."""
        return self.release < (4, 6)

    def new_id(self) -> str:
        """A UUID from the seeded source; 2.x counts instead."""
        if self.release < (3, 0):
            return str(next(self._ids))
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def add(
        self,
        name: str,
        *,
        state: str = "Running",
        offering: str | None = None,
        template: str | None = None,
        zone: str | None = None,
        networks: tuple[str, ...] | None = None,
        project: str = "",
        keypair: str = "",
        displayname: str = "",
        userdata: str = "",
        tags: Mapping[str, str] | None = None,
        details: Mapping[str, str] | None = None,
        created: datetime | None = None,
        id: str | None = None,
    ) -> Machine:
        """A new machine, listed from now on. What is left out is the first that there is."""
        if state not in STATES:
            raise ValueError(f"No such machine state: {state}")
        with self.lock:
            born = created or self.clock()
            where = zone or next(iter(self.zones))
            number = next(self._numbers)
            if networks is None:
                networks = tuple(one.id for one in self.networks.values() if one.zone == where)[:1]
            machine = Machine(
                id=id or self.new_id(),
                name=name,
                displayname=displayname or name,
                number=number,
                state=state,
                created=born,
                updated=born,
                zone=where,
                template=template or next(iter(self.templates)),
                offering=offering or next(iter(self.offerings)),
                nics=tuple(self.nic(one, number, first=not index) for index, one in enumerate(networks)),
                project=project,
                keypair=keypair,
                userdata=userdata,
                tags=dict(tags or {}),
                details=dict(details or {}),
                destroyed=born if state == "Destroyed" else None,
            )
            machine.hypervisor = self.templates[machine.template].hypervisor
            self.machines[machine.id] = machine
            return machine

    def nic(self, network: str, number: int, *, first: bool = True, ip: str = "") -> Nic:
        """An interface on that network, its addresses from the machine's number."""
        prefix = self.networks[network].prefix
        high, low = number // 250, 2 + number % 250
        body, third = prefix.rsplit(".", 1)
        address = ip or f"{body}.{(int(third) + high) % 256}.{low}"
        mac = f"06:{0 if first else 1:02x}:{int(third) % 256:02x}:{number >> 16 & 255:02x}"
        return Nic(self.new_id(), network, address, f"{mac}:{number >> 8 & 255:02x}:{number & 255:02x}", first)

    def get(self, machine_id: str) -> Machine:
        """The machine of that id, Destroyed ones where a user sees them. Raises Missing."""
        with self.lock:
            self.advance()
            machine = self.machines.get(machine_id)
            if machine is None or (machine.state in ("Destroyed", "Expunging") and not self.shows_destroyed):
                raise Missing(machine_id)
            return machine

    def present(self) -> list[Machine]:
        """Every machine that a user sees, oldest first."""
        with self.lock:
            self.advance()
            hidden = () if self.shows_destroyed else ("Destroyed", "Expunging")
            return [one for one in self.machines.values() if one.state not in hidden]

    def touch(self, machine: Machine, state: str | None = None) -> None:
        """The machine changed; with a state, into that one."""
        with self.lock:
            if state is not None:
                if state not in STATES:
                    raise ValueError(f"No such machine state: {state}")
                machine.state = state
                machine.destroyed = self.clock() if state == "Destroyed" else None
            machine.updated = self.clock()
            machine.rendered = {}

    def remove(self, machine_id: str) -> None:
        """The machine is expunged: no call knows it any more. Raises Missing."""
        with self.lock:
            if self.machines.pop(machine_id, None) is None:
                raise Missing(machine_id)
            for kept in [one.id for one in self.snapshots.values() if one.machine == machine_id]:
                del self.snapshots[kept]

    def begin(
        self, command: str, finish: Finish, machine: Machine | None = None, *, meanwhile: str = "", event: str = ""
    ) -> Job:
        """Starts a job: the machine is `meanwhile` for `settle`, then `finish` gives the result or raises ApiError."""
        with self.lock:
            now = self.clock()
            job = Job(self.new_id(), command, machine.id if machine else "", now, now + self.settle, finish, event)
            if failure := self.failures.pop(command, None):
                before = machine.state if machine else ""
                job.finish = self._failing(failure, machine, before)
            self.jobs[job.id] = self._running[job.id] = job
            if machine is not None:
                machine.job = job.id
                job.started_event = self.tell(event, machine, "Scheduled") if event else ""
                self.touch(machine, meanwhile or None)
            if not self.settle:
                self.advance()
            return job

    def _failing(self, failure: ApiError, machine: Machine | None, before: str) -> Finish:
        def finish() -> dict[str, Any]:
            if machine is not None:
                self.touch(machine, "Error" if before == "Starting" else before)
            raise failure

        return finish

    def advance(self) -> None:
        """Ends the jobs whose time is up, and expunges what was destroyed long enough ago. Every read does this."""
        with self.lock:
            now = self.clock()
            for job in [one for one in self._running.values() if one.ends <= now]:
                del self._running[job.id]
                self._end(job, now)
            due = [one for one in self.machines.values() if one.destroyed and one.destroyed + self.expunge_delay <= now]
            for one in due:
                self.remove(one.id)

    def _end(self, job: Job, now: datetime) -> None:
        machine = self.machines.get(job.machine)
        mine = machine is not None and machine.job == job.id
        if machine is not None and mine and self.release < (4, 2):
            machine.job = ""  # later clouds say in the result that the job is under way: recorded in 2014
        job.completed = now
        level = "INFO"
        try:
            job.result, job.status = job.finish(), 1
        except ApiError as refused:
            job.result = {"errorcode": refused.code, "errortext": refused.words}
            job.status, job.code, level = 2, refused.code, "ERROR"
        if machine is not None and mine:
            machine.job = ""
            machine.rendered = {}
        if machine is not None and job.event:
            self.tell(job.event, machine, "Completed", level=level, parent=job.started_event)

    def tell(
        self, kind: str, machine: Machine, state: str = "Completed", *, level: str = "INFO", parent: str = ""
    ) -> str:
        """Adds an event about the machine; gives its id."""
        word = "Error while" if level == "ERROR" else "Successfully completed" if state == "Completed" else "scheduled"
        words = f"{word} {kind.lower().replace('.', ' ')}. Vm Id: {machine.id}"
        with self.lock:
            event = Event(
                self.new_id(), kind, level, state, words, self.clock(), machine.id, machine.displayname, parent
            )
            self.events.append(event)
        return event.id
