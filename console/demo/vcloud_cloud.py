"""The state of a simulated vCloud cell, under one lock. The wire is vcloud_app.py, the actions are vcloud_deeds.py."""

from __future__ import annotations

import random
import threading
import uuid
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice

from console.demo.vcloud_things import CODES, OFF, Event, Network, Nic, Seedling, Snapshot, Task, Template, VApp, Vm

ORG = "demo"
USERNAME = "demo"
PASSWORD = "demo-cloud-password"  # noqa: S105 - opens only a simulated cell on loopback
API_TOKEN = "demo-api-token"  # noqa: S105 - as above
IDLE = timedelta(minutes=30)
LADDER = ("1.5", "5.1", "5.5", "5.6", "9.0", "20.0", "27.0", *(f"{major}.0" for major in range(29, 47)))
"""API versions that cells have offered, oldest first."""
MEMORY = (1024, 2048, 4096, 8192)


def number(version: str) -> tuple[int, ...]:
    """A version to compare by: "38.1" -> (38, 1)."""
    return tuple(int(part) for part in version.split("."))


def offered(generation: str) -> list[str]:
    """The API versions of a cell of that generation, oldest first. Modern cells drop what is five or more behind."""
    if generation == "1.0":
        return ["1.0"]
    newest = number(generation)
    oldest = (newest[0] - 4, 0) if newest >= (29, 0) else (1, 5)
    return [one for one in LADDER if oldest <= number(one) < newest] + [generation]


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(eq=False)
class Cloud:
    """One organisation in one cell. Everything here may be changed while it is served; hold `lock` over several steps.

    `clock` gives aware times; a task takes `settle` (with zero it is over at the next request, never in its own reply).
    `generation` is the newest API version of the cell: "1.0", "1.5", "5.1", "38.1", or any other from 1.5 on.
    """

    generation: str = "38.1"
    seed: int = 1
    clock: Callable[[], datetime] = _now
    settle: timedelta = timedelta(0)
    username: str = USERNAME
    password: str = PASSWORD
    org: str = ORG
    api_token: str = API_TOKEN
    max_page: int = 128
    cookie_only: bool = False
    """1.0: the token comes only as Set-Cookie, as some installations do."""
    idle_status: int = 401
    """What a session that was idle for too long is answered with; some old cells say 403."""
    vapps: dict[str, VApp] = field(default_factory=dict)
    vms: dict[str, Vm] = field(default_factory=dict)
    templates: dict[str, Template] = field(default_factory=dict)
    networks: dict[str, Network] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    doomed: deque[tuple[str, str, str]] = field(default_factory=deque)
    """Tasks that will fail: (operation name or "", minorErrorCode, message), used one by one."""
    cards: int = 0
    """How many network cards were given an address."""

    def __post_init__(self) -> None:
        self.lock = threading.RLock()
        self.random = random.Random(self.seed)  # noqa: S311 - names and ids of a simulation
        self.stamp = 0
        """Grows with every change: what is cached of older ones is stale."""
        self.sessions: dict[str, datetime] = {}
        self.opened = self.clock()
        self._taken: set[str] = {*self.networks, *self.templates}
        self._going: list[Task] = []
        self.org_id, self.vdc_id, self.catalog_id, self.user_id = (self.new_id() for _ in range(4))
        self.storage_id = self.new_id()
        self.policies: dict[str, tuple[str, int | None, int | None]] = {
            f"urn:vcloud:vdcComputePolicy:00000000-0000-4000-8000-{place:012}": policy
            for place, policy in enumerate((("System Default", None, None), ("Small", 2, 4096), ("Large", 4, 8192)))
        }
        """VM sizing policies by id: name, CPUs and memory in MB; the default leaves both open."""
        if not self.networks:
            for third, name in enumerate((f"{self.org}-internet", f"{self.org}-data"), start=1):
                id_ = self.new_id()
                self.networks[id_] = Network(id_, name, third, "bridged" if third == 1 else "isolated")
        if not self.templates:
            for name, cpus, memory in (("debian-12", 1, 1024), ("ubuntu-24.04", 2, 2048)):
                self.add_template(name, cpus=cpus, memory_mb=memory)

    @classmethod
    def sized(cls, servers: int, generation: str = "38.1", seed: int = 1, per_vapp: int = 5) -> Cloud:
        """Any number of machines, `per_vapp` in each vApp, most of them on; made quickly."""
        cloud = cls(generation=generation, seed=seed)
        vapp: VApp | None = None
        for place in range(servers):
            if place % per_vapp == 0:
                vapp = cloud.add_vapp(f"app-{place // per_vapp + 1:04}")
            vm = cloud.add(
                f"srv-{place + 1:05}", vapp=vapp, cpus=1 + place % 4, memory_mb=MEMORY[place % 4], disk_mb=20_480
            )
            if place % 7 == 6:
                vm.status, vm.deployed = OFF, place % 14 == 6
        return cloud

    @property
    def modern(self) -> bool:
        """From version 29 on, whatever it is called."""
        return number(self.generation) >= (29, 0)

    @property
    def versions(self) -> list[str]:
        """What /api/versions offers."""
        return offered(self.generation)

    @property
    def credentials(self) -> dict[str, str]:
        """What PROMISES.md calls vcloud credentials, for this account."""
        return {"username": self.username, "org": self.org, "password": self.password}

    @property
    def token_credentials(self) -> dict[str, str]:
        """The other form of vcloud credentials; modern cells only."""
        return {"api_token": self.api_token, "org": self.org}

    def new_id(self) -> str:
        """A UUID, or the number that 1.0 cells give, from the seeded source; each only once."""
        while True:
            bits = self.random.getrandbits(128)
            id_ = str(bits >> 98 | 1 << 29) if self.generation == "1.0" else str(uuid.UUID(int=bits, version=4))
            if id_ not in self._taken:
                self._taken.add(id_)
                return id_

    def add_template(self, name: str, cpus: int = 1, memory_mb: int = 1024, machines: int = 1) -> Template:
        """A new template in the catalog."""
        with self.lock:
            inside = tuple(
                Seedling(self.new_id(), name if machines == 1 else f"{name}-{place + 1}", cpus, memory_mb)
                for place in range(machines)
            )
            template = Template(self.new_id(), self.new_id(), name, self.clock(), inside)
            self.templates[template.id] = template
            self.stamp += 1
        return template

    def add_vapp(self, name: str, networks: Sequence[str] | None = None) -> VApp:
        """A new, empty vApp; on the first organisation network unless networks are named."""
        with self.lock:
            names = [one.name for one in self.networks.values()][:1] if networks is None else list(networks)
            vapp = VApp(self.new_id(), name, self.clock(), networks=names)
            self.vapps[vapp.id] = vapp
            self.stamp += 1
        return vapp

    def add(
        self,
        name: str,
        *,
        vapp: VApp | None = None,
        status: str = "POWERED_ON",
        cpus: int = 1,
        memory_mb: int = 1024,
        disk_mb: int = 8192,
        nics: Sequence[Nic] | None = None,
        created: datetime | None = None,
    ) -> Vm:
        """A new machine, in a vApp of its own unless one is given; with one card on the vApp's first network."""
        code = CODES[status]
        with self.lock:
            home = vapp or self.add_vapp(name)
            vm = Vm(self.new_id(), name, home, created or self.clock(), code, code not in (OFF, 0, -1))
            vm.cpus, vm.memory_mb, vm.disk_mb, vm.computer_name = cpus, memory_mb, disk_mb, name
            vm.nics = list(nics) if nics is not None else [self.card(one) for one in home.networks[:1]]
            home.vms.append(vm)
            self.vms[vm.id] = vm
            self.stamp += 1
        return vm

    def card(self, network: str) -> Nic:
        """A card with the next address of that network's pool."""
        self.cards += 1
        count = self.cards
        third = next((one.third for one in self.networks.values() if one.name == network), 99)
        high, low = third + count // 250, 2 + count % 250
        mac = f"00:50:56:{count >> 16 & 255:02x}:{count >> 8 & 255:02x}:{count & 255:02x}"
        return Nic(network, f"10.{60 + high // 250}.{high % 250}.{low}", mac)

    def remove(self, vm_id: str) -> None:
        """The machine is gone, and with the last one its vApp."""
        with self.lock:
            vm = self.vms.pop(vm_id)
            vm.vapp.vms.remove(vm)
            if not vm.vapp.vms:
                self.vapps.pop(vm.vapp.id, None)
            self.stamp += 1

    def set_status(self, vm_id: str, status: str, *, deployed: bool | None = None) -> None:
        """The machine has that status ("POWERED_OFF") from now on; what is off is not deployed unless told."""
        with self.lock:
            vm = self.vms[vm_id]
            vm.status = CODES[status]
            vm.deployed = vm.status not in (OFF, 0, -1) if deployed is None else deployed
            self.touch(vm)

    def touch(self, vm: Vm) -> None:
        """Its documents are written anew."""
        vm.rendered = {}
        self.stamp += 1

    def snap(self, vm: Vm) -> None:
        """The machine's one snapshot is of now."""
        size = (vm.disk_mb + vm.memory_mb) * 2**20
        vm.snapshot = Snapshot(self.clock(), vm.status == 4, size, vm.cpus, vm.memory_mb)

    # --- tasks

    def begin(self, name: str, operation: str, owner: VApp | Vm, finish: Callable[[], None]) -> Task:
        """Takes work on: `owner` is busy until the task is over, then `finish` has happened (or nothing, on error)."""
        with self.lock:
            now = self.clock()
            kind = "vm" if isinstance(owner, Vm) else "vApp"
            operation = f"{operation} {owner.name}({owner.id})"
            task = Task(
                self.new_id(), name, operation, kind, owner.id, owner.name, now, now + self.settle / 10,
                now + self.settle, finish,
            )  # fmt: skip
            if self.doomed and self.doomed[0][0] in ("", name):
                _, task.minor, task.words = self.doomed.popleft()
            owner.task = self.tasks[task.id] = task
            self._going.append(task)
            self.log(f"com/vmware/vcloud/event/{kind.lower()}/{name}_request", owner)
            if isinstance(owner, Vm):
                self.touch(owner)
            self.stamp += 1
        return task

    def log(self, type_: str, owner: VApp | Vm, *, good: bool = True) -> None:
        """Writes an event."""
        kind = "vm" if isinstance(owner, Vm) else "vapp"
        self.events.append(Event(self.new_id(), type_, self.clock(), kind, owner.id, owner.name, good))

    def advance(self) -> None:
        """Moves tasks on, by the clock. Every request does this first."""
        if not self._going:
            return
        with self.lock:
            now = self.clock()
            for task in list(self._going):
                if task.over:
                    self._going.remove(task)
                elif task.ends <= now:
                    self._going.remove(task)
                    self._end(task, now)
                elif task.runs <= now and task.status == "queued":
                    task.status = "running"
                    self.stamp += 1

    def _end(self, task: Task, now: datetime) -> None:
        task.status, task.ended = ("error" if task.minor else "success"), now
        owner = self.owner(task)
        if not task.minor:
            task.finish()
        if owner is not None:
            self.log(f"com/vmware/vcloud/event/{task.kind.lower()}/{task.name}", owner, good=not task.minor)
            for vm in owner.vms if isinstance(owner, VApp) else (owner,):
                self.touch(vm)
            if isinstance(owner, VApp) and not owner.resolved:
                owner.failed = True
        self.stamp += 1

    def owner(self, task: Task) -> VApp | Vm | None:
        """The thing that a task works on, while it exists."""
        return self.vms.get(task.owner_id) if task.kind == "vm" else self.vapps.get(task.owner_id)

    def recent(self, limit: int = 100) -> list[Task]:
        """The newest tasks first."""
        return list(islice(reversed(self.tasks.values()), limit))

    # --- sessions

    def sign_in(self) -> str:
        """A new session's token."""
        token = f"{self.random.getrandbits(192):048x}"
        with self.lock:
            self.sessions[token] = self.clock()
        return token

    def known(self, token: str) -> bool:
        """Whether the session is alive; using it keeps it so for half an hour more."""
        with self.lock:
            now, used = self.clock(), self.sessions.get(token)
            if used is None or now - used >= IDLE:
                self.sessions.pop(token, None)
                return False
            self.sessions[token] = now
            return True

    def revoke_tokens(self) -> None:
        """Every session ends; the next call of its holder is answered 401."""
        with self.lock:
            self.sessions.clear()
