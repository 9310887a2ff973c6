"""Simulated OpenStack accounts of every generation and way in, as the contract suite drives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from accounts.clouds import State
from console.demo.instance import Nic
from console.demo.mishaps import Mishaps
from console.demo.openstack import Cloud
from console.demo.openstack import Site as Served
from console.demo.population import stock
from tests.clouds.contract.sites import PAGE, SETTLE, Held, Site

WORDS = {
    State.RUNNING: "ACTIVE",
    State.SUSPENDED: "SUSPENDED",
    State.CHANGING: "VERIFY_RESIZE",
    State.FAILED: "ERROR",
    State.UNKNOWN: "UNKNOWN",
}
STATES = {word: state for state, word in WORDS.items()} | {"SHUTOFF": State.STOPPED, "STOPPED": State.STOPPED}


class OpenStackSite(Site):
    """`way`: "password", "application-credential", or "legacy-1.0" and "legacy-1.1" (Nova's own sign-in of Diablo)."""

    platform = "openstack"
    largest = 1000

    def __init__(self, generation: str, way: str = "password") -> None:
        super().__init__(generation)
        self.way = way
        kind = generation.removesuffix("-1.0")
        self.cloud = Cloud(generation=kind, clock=self.clock, settle=SETTLE, rate_limited=False)  # type: ignore[arg-type]
        self.cloud.max_limit = PAGE
        stock(self.cloud)
        self._served = Served(self.cloud)
        self._served.start()
        self._count = 0

    @property
    def url(self) -> str:
        legacy = self.way.startswith("legacy")
        return f"{self._served.compute_url}/v{self.way.removeprefix('legacy-')}" if legacy else self._served.url

    @property
    def credentials(self) -> Mapping[str, str]:
        if self.way == "application-credential":
            return self.cloud.application_credentials
        return self.cloud.credentials

    @property
    def requests(self) -> Sequence[tuple[str, str]]:
        return self._served.requests

    @property
    def faults(self) -> Mishaps:
        return self._served.faults

    @property
    def sign_in(self) -> str:
        return f"/v{self.way.removeprefix('legacy-')}" if self.way.startswith("legacy") else "/tokens"

    def add(self, name: str, state: State = State.RUNNING) -> str:
        self._count += 1
        address = Nic(f"10.9.{self._count >> 8 & 255}.{self._count & 255}")
        made = self.cloud.add(name, status="ACTIVE", addresses={"private": (address,)}, created=self.clock.now)
        if state is State.CHANGING:  # the one state of these that an operation starts from: a resize to be confirmed
            other = next(one for one in self.cloud.flavors if one != made.flavor)
            self.cloud.act(made.id, "resize", to=other)
            self.pass_by()
            self.cloud.advance()
        elif state is not State.RUNNING:
            self._set(made.id, state)
        return self._told(made.id)

    def put(self, external_id: str, state: State) -> None:
        self._set(self._found(external_id), state)

    def _set(self, instance_id: str, state: State) -> None:
        self.cloud.set_status(instance_id, self.cloud.off if state is State.STOPPED else WORDS[state])

    def say_on_console(self, external_id: str, text: str) -> None:
        self.cloud.instances[self._found(external_id)].console = text

    @property
    def deed(self) -> str:
        return "/action"

    @property
    def page(self) -> int:
        return self.cloud.max_limit

    @page.setter
    def page(self, size: int) -> None:
        self.cloud.max_limit = size

    def spoil(self, external_id: str, words: str) -> None:
        self.cloud.set_status(self._found(external_id), "ERROR", fault=words)

    def clear(self) -> None:
        for one in list(self.cloud.instances):
            self.cloud.remove(one)

    def held(self) -> dict[str, Held]:
        return {
            self._told(one.id): Held(
                one.name,
                frozenset(nic.addr for nics in one.addresses.values() for nic in nics),
                STATES.get(one.status, State.CHANGING),
            )
            for one in self.cloud.instances.values()
        }

    def stop(self) -> None:
        self._served.stop()

    def _told(self, instance_id: str) -> str:
        # Diablo's ids are integers; it has UUIDs beside them that no call takes.
        return str(self.cloud.instances[instance_id].number) if self.cloud.generation == "diablo" else instance_id

    def _found(self, external_id: str) -> str:
        return next(one for one in self.cloud.instances if self._told(one) == external_id)
