"""Simulated CloudStack accounts of releases old and new, as the contract suite drives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from accounts.clouds import State
from accounts.clouds.acting import ActingDriver
from console.demo.cloudstack import ApiError, Cloud
from console.demo.cloudstack import Site as Served
from console.demo.cloudstack_population import stock
from console.demo.mishaps import Mishap, Mishaps
from tests.clouds.contract.sites import PAGE, SETTLE, Held, Site

WORDS = {
    State.RUNNING: "Running",
    State.STOPPED: "Stopped",
    State.CHANGING: "Migrating",
    State.FAILED: "Error",
    State.UNKNOWN: "Unknown",
}
STATES = {word: state for state, word in WORDS.items()}


class CloudStackSite(Site):
    platform = "cloudstack"
    largest = 500
    renews = False  # every call is signed: there is no sign-in that could run out

    def __init__(self, generation: str, version: str) -> None:
        super().__init__(generation)
        self.cloud = Cloud(version=version, clock=self.clock, settle=SETTLE)
        self.cloud.max_page = PAGE
        stock(self.cloud)
        self._served = Served(self.cloud)
        self._served.start()

    @property
    def url(self) -> str:
        return self._served.url

    @property
    def credentials(self) -> Mapping[str, str]:
        return self.cloud.credentials

    @property
    def requests(self) -> Sequence[tuple[str, str]]:
        return self._served.requests

    @property
    def faults(self) -> Mishaps:
        return self._served.faults

    @property
    def steady(self) -> frozenset[State]:
        return frozenset({State.RUNNING, State.STOPPED, State.UNKNOWN})

    @property
    def listing(self) -> str:
        return "command=listVirtualMachines"

    @property
    def sign_in(self) -> str:
        return "command=listCapabilities"

    def driver(self, deadline: float = 20.0, **changes: Any) -> ActingDriver:
        opened = super().driver(deadline, **changes)
        # Tags are jobs that the driver waits for: its wait is the far side's time.
        opened._sleep = lambda _: self.pass_by()  # type: ignore[attr-defined]
        return opened

    def add(self, name: str, state: State = State.RUNNING) -> str:
        made = self.cloud.add(name, state=WORDS[state])
        made.scalable = True  # as zones are set up where a running server may be resized
        return made.id

    def put(self, external_id: str, state: State) -> None:
        self.cloud.touch(self.cloud.machines[external_id], WORDS[state])

    @property
    def paging(self) -> str:
        return "pagesize="

    @property
    def deeds(self) -> str:
        return "command="

    @property
    def deed(self) -> str:
        return "command=rebootVirtualMachine"

    def lose_third_page(self) -> Mishap:
        return self.inject("empty", path="page=3")

    @property
    def page(self) -> int:
        return self.cloud.max_page

    @page.setter
    def page(self, size: int) -> None:
        self.cloud.max_page = size

    def spoil(self, external_id: str, words: str) -> None:
        def finish() -> dict[str, Any]:
            raise ApiError(530, words)

        self.cloud.jobs[self.cloud.machines[external_id].job].finish = finish

    def clear(self) -> None:
        for one in list(self.cloud.machines):
            self.cloud.remove(one)

    def held(self) -> dict[str, Held]:
        return {
            one.id: Held(one.displayname, frozenset(nic.ip for nic in one.nics), STATES.get(one.state, State.CHANGING))
            for one in self.cloud.machines.values()
            if one.state not in ("Destroyed", "Expunging")
        }

    def stop(self) -> None:
        self._served.stop()
