"""Simulated vCloud cells from 1.0 to one newer than any known, as the contract suite drives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from accounts.clouds import State
from accounts.clouds.acting import ActingDriver
from console.demo.mishaps import Mishaps
from console.demo.vcloud import Cloud, VApp
from console.demo.vcloud import Site as Served
from tests.clouds.contract.sites import PAGE, SETTLE, Held, Site

WORDS = {
    State.RUNNING: "POWERED_ON",
    State.STOPPED: "POWERED_OFF",
    State.SUSPENDED: "SUSPENDED",
    State.FAILED: "FAILED_CREATION",
    State.UNKNOWN: "UNKNOWN",
}
STATES = {word: state for state, word in WORDS.items()} | {"PARTIALLY_SUSPENDED": State.SUSPENDED}
PER_VAPP = 4  # so that vApps straddle pages


class VCloudSite(Site):
    """`way`: "password" or "api-token"."""

    platform = "vcloud"
    largest = 128

    def __init__(self, generation: str, version: str, way: str = "password") -> None:
        super().__init__(generation)
        self.way = way
        self.cloud = Cloud(generation=version, clock=self.clock, settle=SETTLE)
        self.cloud.max_page = PAGE
        self._served = Served(self.cloud)
        self._served.start()
        self._home: VApp | None = None

    @property
    def url(self) -> str:
        return self._served.url

    @property
    def credentials(self) -> Mapping[str, str]:
        return self.cloud.token_credentials if self.way == "api-token" else self.cloud.credentials

    @property
    def requests(self) -> Sequence[tuple[str, str]]:
        return self._served.requests

    @property
    def faults(self) -> Mishaps:
        return self._served.faults

    @property
    def listing(self) -> str:
        return "/api/v1.0/vApp/vapp-" if self.cloud.generation == "1.0" else "type=vm&"

    @property
    def sign_in(self) -> str:
        if self.way == "api-token":
            return "/oauth/"
        return "/login" if self.cloud.generation == "1.0" else "/sessions"

    def driver(self, deadline: float = 20.0, **changes: Any) -> ActingDriver:
        opened = super().driver(deadline, **changes)
        # Metadata and scripts are tasks that the driver waits for: its wait is the far side's time.
        opened._tasks._sleep = lambda _: self.pass_by()  # type: ignore[attr-defined]
        return opened

    def add(self, name: str, state: State = State.RUNNING) -> str:
        made = self.cloud.add(name, status=WORDS[state])
        return f"vm-{made.id}"

    def put(self, external_id: str, state: State) -> None:
        self.cloud.set_status(external_id.removeprefix("vm-"), WORDS[state])

    def stock(self, servers: int) -> None:
        self.clear()
        home: VApp | None = None
        for number in range(servers):
            if number % PER_VAPP == 0:
                home = self.cloud.add_vapp(f"app-{number}")
            self.cloud.add(f"web-{number}", vapp=home)

    def guest_properties(self, external_id: str) -> dict[str, str]:
        return dict(self.cloud.vms[external_id.removeprefix("vm-")].extra)

    @property
    def deeds(self) -> str:
        return "/vApp/"

    @property
    def deed(self) -> str:
        return "/action/reboot"

    @property
    def page(self) -> int:
        return self.cloud.max_page

    @page.setter
    def page(self, size: int) -> None:
        self.cloud.max_page = size

    def spoil(self, external_id: str, words: str) -> None:
        task = self.cloud.vms[external_id.removeprefix("vm-")].task
        assert task is not None
        task.minor, task.words = "INTERNAL_SERVER_ERROR", words

    def clear(self) -> None:
        for one in list(self.cloud.vms):
            self.cloud.remove(one)

    def held(self) -> dict[str, Held]:
        return {
            f"vm-{one.id}": Held(one.name, frozenset(nic.ip for nic in one.nics), STATES.get(one.word, State.CHANGING))
            for one in self.cloud.vms.values()
        }

    def stop(self) -> None:
        self._served.stop()
