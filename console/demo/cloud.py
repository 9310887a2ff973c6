"""The state of a simulated OpenStack account, under one lock. Plain values: the wire is in keystone.py and nova.py."""

from __future__ import annotations

import random
import threading
import uuid
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, Literal

from console.demo import transitions
from console.demo.instance import MOVES, STATES, Deed, Instance, Nic
from console.demo.offers import Flavor, Image, Network
from console.demo.tokens import Tokens, User

if TYPE_CHECKING:
    from console.demo.pulse import Pulse

Generation = Literal["diablo", "essex", "modern"]
# How long tokens live (CLOUDS.md 2.4 and 2.6).
HOURS = {"diablo": 48, "essex": 24, "modern": 1}

USERNAME = "demo"
PASSWORD = "demo-cloud-password"  # noqa: S105 - opens only a simulated cloud on loopback
PROJECT = "demo"
MAX_BURIED = 5_000
APPLICATION_CREDENTIAL_ID = "5f0b7c9e2d8a4c61b3f4e8a9d1c2b7e6"
APPLICATION_CREDENTIAL_SECRET = "demo-application-secret"  # noqa: S105 - as above


class Missing(LookupError):
    """No such thing in this cloud."""


class Conflict(Exception):
    """The server's state does not allow it. The words are Nova's."""


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(eq=False)
class Cloud:
    """A whole account. Everything here may be changed while it is served; hold `lock` over several steps.

    `clock` gives aware times; actions take `settle` (an action is over at once when it is zero).
    `watchers` are called after each change of a server with (what, server): what is "added", "removed",
    "changed", or the name of an action such as "os-stop". They may run under the lock: be quick in them.
    """

    generation: Generation = "modern"
    seed: int = 1
    clock: Callable[[], datetime] = _now
    settle: timedelta = timedelta(0)
    username: str = USERNAME
    password: str = PASSWORD
    project: str = PROJECT
    region: str = "RegionOne"
    rate_limited: bool = True
    """Diablo and Essex: the limits that /limits advertises are enforced (403, 413)."""
    max_limit: int = 1000
    flavors: dict[str, Flavor] = field(default_factory=dict)
    images: dict[str, Image] = field(default_factory=dict)
    networks: dict[str, Network] = field(default_factory=dict)
    users: dict[str, User] = field(default_factory=dict)
    projects: dict[str, str] = field(default_factory=dict)
    """Project name -> id."""
    keypairs: dict[str, str] = field(default_factory=dict)
    """Key name -> public key."""
    instances: dict[str, Instance] = field(default_factory=dict)
    buried: dict[str, Instance] = field(default_factory=dict)
    """Deleted servers: `changes-since` lists them, and modern markers still find them."""
    watchers: list[Callable[[str, Instance], None]] = field(default_factory=list)
    console_of: Callable[[Instance], str | None] | None = None
    """Gives the console text of servers that have a real one; None for the rest."""
    down: frozenset[str] = frozenset()
    """Servers of a cell that is down: listings leave them out, and by id they answer 500."""

    def __post_init__(self) -> None:
        self.lock = threading.RLock()
        self.random = random.Random(self.seed)  # noqa: S311 - names and ids of a simulation
        self.tokens = Tokens(self.clock, timedelta(hours=HOURS[self.generation]))
        self._order: dict[str, tuple[list[tuple[float, str]], list[Instance]]] = {}
        self._acting: dict[str, Instance] = {}
        self._saving: dict[str, datetime] = {}
        self._numbers = count(1 + max((one.number for one in self.instances.values()), default=0))
        if not self.projects:
            # Diablo's own sign-in has names for ids (diablo.txt: "tenant_id": "demoproj", "user_id": "demo").
            self.projects[self.project] = self.project if self.generation == "diablo" else self._hex_id()
        if not self.users:
            self.users[self.username] = User(
                id=self.username if self.generation == "diablo" else self._hex_id(),
                name=self.username,
                password=self.password,
                projects=[self.project],
                application_credentials={APPLICATION_CREDENTIAL_ID: (APPLICATION_CREDENTIAL_SECRET, self.project)},
            )

    @classmethod
    def lively(cls, servers: int = 60, generation: Generation = "modern", seed: int = 1) -> Cloud:
        """A believable account: named fleets in mixed states, sizes, images, networks and ages."""
        from console.demo.population import people

        cloud = cls(generation=generation, seed=seed)
        people(cloud, servers)
        return cloud

    @classmethod
    def sized(cls, servers: int, generation: Generation = "modern", seed: int = 1) -> Cloud:
        """Any number of servers, made quickly (10,000 in well under a second)."""
        from console.demo.population import fill

        cloud = cls(generation=generation, seed=seed)
        fill(cloud, servers)
        return cloud

    def live(self, every: float = 20.0) -> Pulse:
        """Small changes by themselves, one every so many seconds, until the pulse's `stop` (or its block ends)."""
        from console.demo.pulse import Pulse

        pulse = Pulse(self)
        pulse.start(every)
        return pulse

    @property
    def off(self) -> str:
        """The word for a stopped server: STOPPED to Essex, SHUTOFF later."""
        return "SHUTOFF" if self.generation == "modern" else "STOPPED"

    @property
    def credentials(self) -> dict[str, str]:
        """What PROMISES.md calls openstack credentials, for this account."""
        return {"username": self.username, "password": self.users[self.username].password, "project": self.project}

    @property
    def application_credentials(self) -> dict[str, str]:
        """The other form of openstack credentials; modern clouds only."""
        return {
            "application_credential_id": APPLICATION_CREDENTIAL_ID,
            "application_credential_secret": APPLICATION_CREDENTIAL_SECRET,
        }

    def new_id(self) -> str:
        """A random UUID from the seeded source, so that one seed gives one account."""
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    def _hex_id(self) -> str:
        return self.new_id().replace("-", "")

    def revoke_tokens(self) -> None:
        """Every token given out so far stops working; the next call of its holder answers 401."""
        self.tokens.revoke()

    def add(
        self,
        name: str,
        *,
        status: str = "ACTIVE",
        flavor: str | None = None,
        image: str | None = None,
        addresses: Mapping[str, Sequence[Nic]] | None = None,
        metadata: Mapping[str, str] | None = None,
        key_name: str | None = None,
        created: datetime | None = None,
        project: str | None = None,
        id: str | None = None,
        console: str = "",
        fault: str = "",
    ) -> Instance:
        """A new server, listed from now on. Sizes and images are ids; the first of each unless named."""
        if status not in STATES:
            raise ValueError(f"No such server status: {status}")
        with self.lock:
            number = next(self._numbers)
            born = created or self.clock()
            instance = Instance(
                id=id or self.new_id(),
                name=name,
                number=number,
                status=status,
                flavor=flavor or next(iter(self.flavors), "1"),
                image=image or next(iter(self.images), ""),
                project_id=self.projects[project or self.project],
                user_id=self.users[self.username].id if self.username in self.users else "",
                created=born,
                updated=born,
                addresses={label: tuple(nics) for label, nics in (addresses or {}).items()},
                metadata=dict(metadata or {}),
                key_name=key_name,
                host_id="" if status == "BUILD" else f"{number % 7:056x}",
                console=console,
                fault=fault,
            )
            self.instances[instance.id] = instance
            self._order.clear()
        self._tell("added", instance)
        return instance

    def remove(self, instance_id: str) -> None:
        """The server is gone: 404 by id, DELETED under changes-since."""
        with self.lock:
            instance = self.instances.pop(instance_id, None)
            if instance is None:
                raise Missing(instance_id)
            self._touch(instance, "DELETED")
            self.buried[instance_id] = instance
            if len(self.buried) > MAX_BURIED:
                del self.buried[next(iter(self.buried))]
            self._order.clear()
        self._tell("removed", instance)

    def set_status(self, instance_id: str, status: str, *, fault: str = "") -> None:
        """The server is in that state from now on, whatever it was doing."""
        if status not in STATES:
            raise ValueError(f"No such server status: {status}")
        with self.lock:
            instance = self.get(instance_id)
            instance.fault = fault
            self._touch(instance, status)
        self._tell("changed", instance)

    def update(
        self, instance_id: str, *, name: str | None = None, metadata: Mapping[str, str] | None = None
    ) -> Instance:
        """Renames the server, or replaces its metadata."""
        with self.lock:
            instance = self.get(instance_id)
            if name is not None:
                instance.name = name
            if metadata is not None:
                instance.metadata = dict(metadata)
            self._touch(instance, instance.status, keep_task=True)
        self._tell("changed", instance)
        return instance

    def get(self, instance_id: str, project_id: str | None = None) -> Instance:
        """The live server of that id (and project). Raises Missing."""
        with self.lock:
            self.advance()
            instance = self.instances.get(instance_id)
            if instance is None or (project_id is not None and instance.project_id != project_id):
                raise Missing(instance_id)
            return instance

    def act(
        self, instance_id: str, action: str, project_id: str | None = None, *, to: str = "", request_id: str = ""
    ) -> Instance:
        """Starts an action of `instance.MOVES` ("os-stop", "reboot:SOFT", …). Raises Missing, Conflict, KeyError.

        `to` is the size of a resize, or the image of a rebuild.
        """
        move = MOVES[action]
        word = action.partition(":")[0]
        with self.lock:
            instance = self.get(instance_id, project_id)
            if refusal := transitions.refusal(self.generation, instance, move, word):
                raise Conflict(refusal)
            transitions.leave(instance, word, to)
            instance.deeds.append(Deed(word.removeprefix("os-"), request_id, self.clock()))
            ends = transitions.goal(instance, word, self.off if move.ends == "off" else move.ends or instance.status)
            if move.task:
                self._touch(instance, move.meanwhile or instance.status)
                self.begin(instance, ends, move.task)
            else:
                self._touch(instance, ends)
                instance.deeds[-1].finished = self.clock()
        self._tell(word, instance)
        return instance

    def delete(self, instance_id: str, project_id: str | None = None, *, request_id: str = "") -> None:
        """The server is gone after `settle`; until then it is there, "deleting". Raises Missing, Conflict."""
        with self.lock:
            instance = self.get(instance_id, project_id)
            if instance.locked:
                raise Conflict(f"Instance {instance.id} is locked")
            if instance.task_state == "deleting":
                return
            instance.deeds.append(Deed("delete", request_id, self.clock()))
            self._touch(instance, instance.status)
            self.begin(instance, "DELETED", "deleting")

    def snapshot(
        self,
        instance_id: str,
        name: str,
        project_id: str | None = None,
        *,
        metadata: Mapping[str, str] | None = None,
        request_id: str = "",
    ) -> Image:
        """An image of the server: SAVING for `settle`, then ACTIVE. Raises Missing, Conflict."""
        with self.lock:
            instance = self.act(instance_id, "createImage", project_id, request_id=request_id)
            image = Image(
                id=str(self.random.getrandbits(31)) if self.generation == "diablo" else self.new_id(),
                name=name,
                status="SAVING" if self.settle else "ACTIVE",
                created=self.clock().strftime("%Y-%m-%dT%H:%M:%SZ"),
                server=instance.id,
                base=instance.image,
                owner=instance.project_id,
                metadata=dict(metadata or {}),
            )
            self.images[image.id] = image
            if self.settle:
                self._saving[image.id] = self.clock() + self.settle
        return image

    def begin(self, instance: Instance, ends: str, task: str) -> None:
        """The server is busy with `task` for `settle`, then has the status `ends`."""
        with self.lock:
            instance.task_state = task
            instance.ends = (self.clock() + self.settle, ends)
            instance.rendered = {}
            self._acting[instance.id] = instance
            if not self.settle:
                self.advance()

    def house(self, instance: Instance) -> None:
        """Gives a server that was being built its host and an address."""
        number = instance.number
        high, low = number >> 8 & 255, number & 255
        instance.host_id = f"{number % 7:056x}"
        labels = ("private",) if instance.networks is None else instance.networks
        instance.addresses = instance.addresses or {
            label: (Nic(f"10.{net}.{high}.{low}", mac=f"fa:16:3e:{net}:{high:02x}:{low:02x}"),)
            for net, label in enumerate(labels, start=40)
        }

    def advance(self) -> None:
        """Ends the actions whose time is up, by the clock. Every read does this first."""
        if not self._acting and not self._saving:
            return
        now, done = self.clock(), []
        with self.lock:
            for image_id in [one for one, ready in self._saving.items() if ready <= now]:
                del self._saving[image_id]
                if image_id in self.images:
                    self.images[image_id] = replace(self.images[image_id], status="ACTIVE")
            for instance in list(self._acting.values()):
                if instance.ends is None or instance.id not in self.instances:
                    del self._acting[instance.id]
                elif instance.ends[0] <= now:
                    if instance.deeds:
                        instance.deeds[-1].finished = instance.ends[0]
                    if instance.ends[1] == "DELETED":
                        self.remove(instance.id)
                        continue
                    if instance.status == "BUILD":
                        self.house(instance)
                    transitions.arrive(instance, instance.ends[1])
                    self._touch(instance, instance.ends[1])
                    done.append(instance)
        for instance in done:
            self._tell("changed", instance)

    def ordered(self, project_id: str) -> tuple[list[tuple[float, str]], list[Instance]]:
        """Nova's default order (newest first, then id), live servers only, with the keys to bisect by."""
        with self.lock:
            self.advance()
            if project_id not in self._order:
                mine = [one for one in self.instances.values() if one.project_id == project_id]
                mine.sort(key=place)
                self._order[project_id] = ([place(one) for one in mine], mine)
            return self._order[project_id]

    def after(self, project_id: str, marker: Instance | None, limit: int) -> list[Instance]:
        """At most `limit` servers after `marker` (which may be a deleted one) in the default order."""
        keys, mine = self.ordered(project_id)
        start = 0 if marker is None else bisect_right(keys, place(marker))
        return mine[start : start + limit]

    def _touch(self, instance: Instance, status: str, *, keep_task: bool = False) -> None:
        instance.status = status
        instance.updated = self.clock()
        instance.rendered = {}
        if not keep_task:
            instance.task_state = "scheduling" if status == "BUILD" and not instance.host_id else None
            instance.ends = None
            self._acting.pop(instance.id, None)

    def _tell(self, what: str, instance: Instance) -> None:
        for watcher in list(self.watchers):
            watcher(what, instance)


def place(instance: Instance) -> tuple[float, str]:
    """The sort key of Nova's default order."""
    return (-instance.created.timestamp(), instance.id)
