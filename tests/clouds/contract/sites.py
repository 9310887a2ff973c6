"""One simulated account of any platform and version, behind one face: what the contract suite drives.

The far side is real HTTP on loopback (console/demo/). Its time stands still until `pass_by`; nothing here sleeps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, cast

from accounts import clouds
from accounts.clouds import State
from accounts.clouds.acting import ActingDriver
from accounts.clouds.base import ServerFacts
from accounts.clouds.operations import Capability, Operation, Phase, Progress, Task
from console.demo.mishaps import Mishap, Mishaps
from console.lib.outbound import Transport

PAGE = 10  # the far side's own largest page: every driver asks for more
SETTLE = timedelta(seconds=30)
LOOKS = 20  # at a task, each after the far side's time went on; a wish of several steps needs some


class Clock:
    """The far side's time; it moves when it is told to."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC).replace(microsecond=0)

    def __call__(self) -> datetime:
        return self.now


@dataclass(frozen=True, slots=True)
class Held:
    """A server as the far side has it."""

    name: str
    addresses: frozenset[str]
    state: State


class Site(ABC):
    """A served account. Subclasses say how its platform's simulator is opened and changed."""

    platform: ClassVar[str]
    largest: ClassVar[int]
    """The page that the driver asks for."""
    renews: ClassVar[bool] = True
    """Whether a sign-in can run out in the middle of a listing, and is then made again."""

    transport: Transport
    """The one of the driver that was opened last."""

    def __init__(self, generation: str) -> None:
        self.generation = generation
        self.clock = Clock()

    # --- what each platform says for itself

    @property
    @abstractmethod
    def url(self) -> str: ...

    @property
    @abstractmethod
    def credentials(self) -> Mapping[str, str]: ...

    @property
    @abstractmethod
    def requests(self) -> Sequence[tuple[str, str]]:
        """(method, path) of all that the far side received."""

    @property
    @abstractmethod
    def faults(self) -> Mishaps: ...

    @property
    def steady(self) -> frozenset[State]:
        """The states that a server stays in, of those that the platform has."""
        return frozenset({State.RUNNING, State.STOPPED, State.SUSPENDED})

    @property
    def listing(self) -> str:
        """What stands in the path of each call that lists servers, and in none else."""
        return "/servers/detail"

    @property
    def paging(self) -> str:
        """As `listing`, but never in the path of a call about one server."""
        return self.listing

    @property
    def deeds(self) -> str:
        """What stands in the path of each call about servers and tasks, and not in a sign-in's."""
        return "/servers"

    @property
    @abstractmethod
    def deed(self) -> str:
        """What stands in the path of a reboot, beside POST, and in that of no sign-in."""

    @abstractmethod
    def spoil(self, external_id: str, words: str) -> None:
        """What the far side is doing to this server ends badly, for that reason."""

    @property
    def sign_in(self) -> str:
        """What stands in the path of the call that signs in."""
        return "/tokens"

    @property
    @abstractmethod
    def page(self) -> int:
        """The far side's own largest page."""

    @page.setter
    @abstractmethod
    def page(self, size: int) -> None: ...

    @abstractmethod
    def add(self, name: str, state: State = State.RUNNING) -> str:
        """A new server in that state; its id as the driver tells it."""

    @abstractmethod
    def put(self, external_id: str, state: State) -> None:
        """The server is in that state from now on, by the far side's own doing."""

    def say_on_console(self, external_id: str, text: str) -> None:
        """What the server's serial console shows. Only where there is a console to be read."""
        raise AssertionError(f"{self.platform} shows no text of a console")

    def guest_properties(self, external_id: str) -> dict[str, str]:
        """What the server's guest can read by its hypervisor's tools. Only where there are any."""
        raise AssertionError(f"{self.platform} has no guest properties")

    @abstractmethod
    def clear(self) -> None:
        """No servers any more."""

    @abstractmethod
    def held(self) -> dict[str, Held]:
        """Every server that the account has, by the driver's id."""

    @abstractmethod
    def stop(self) -> None:
        """Ends the serving."""

    # --- what is the same for all

    @property
    def table(self) -> Mapping[Operation, Capability]:
        """What the docs and the pages say of this version."""
        return clouds.tables(self.platform)[self.generation]

    def can(self, operation: Operation) -> bool:
        return self.table[operation].allowed

    def stock(self, servers: int) -> None:
        """Exactly so many servers."""
        self.clear()
        for number in range(servers):
            self.add(f"web-{number}")

    def driver(self, deadline: float = 20.0, **changes: Any) -> ActingDriver:
        """As another process would open it: knowing nothing but the account."""
        self.transport = Transport(["127.0.0.1/32"], allow_http=True, deadline=deadline)
        given = {"url": self.url, "credentials": self.credentials, "transport": self.transport} | changes
        return cast(ActingDriver, clouds.open(self.platform, **given))

    def inject(self, kind: str, **plan: Any) -> Mishap:
        """A mishap of the listing unless `path` says otherwise."""
        return self.faults.inject(kind, **({"path": self.listing} | plan))

    def lose_third_page(self) -> Mishap:
        """The third page of a listing is empty, once."""
        return self.inject("empty", after=2)

    def pass_by(self, span: timedelta = SETTLE) -> None:
        """The far side's time goes on."""
        self.clock.now += span

    def ended(self, task: Task) -> Progress:
        """How a task ends, each look by a process that has nothing but its `ref`."""
        for _ in range(LOOKS):
            progress = self.driver().task(Task(task.ref, task.server_id))
            if progress.phase is not Phase.RUNNING:
                return progress
            self.pass_by()
        raise AssertionError(f"still running after {LOOKS} looks: {progress}")

    def done(self, task: Task) -> Progress:
        progress = self.ended(task)
        assert progress.phase is Phase.DONE, progress.words
        return progress

    def facts(self, external_id: str) -> ServerFacts:
        """One server as a fresh driver sees it. It must be there."""
        found = self.driver().server(external_id)
        assert found is not None
        return found

    def listed(self, driver: ActingDriver | None = None) -> list[ServerFacts]:
        return [facts for page in (driver or self.driver()).servers() for facts in page]
