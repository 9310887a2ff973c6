"""Simulated clouds with accounts at them and the metadata services that their instances see."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from django.utils import timezone

from accounts.models import CloudAccount
from console.demo import cloudstack, openstack, vcloud, vmtoolsd
from console.demo.launching import Launched, launch
from console.demo.metadata import Residents, serve
from console.lib.denials import Denied
from console.lib.jobs.rows import JobState
from providers.models import Customer
from servers import sync
from servers.agents.models import Agent, Challenge
from servers.agents.program import protocol
from servers.models import Server
from tests.claimants import Machine, match, work
from tests.farclouds import account_at


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Place:
    """A cloud, an account at it, and the services that its instances see."""

    site: Any
    cloud: Any
    account: CloudAccount
    residents: Residents
    service: str
    clock: Clock
    folder: Path

    def launch(self, name: str, address: str, user_data: bytes = b"") -> Launched:
        return launch(self.cloud, self.residents, name, address, user_data=user_data)

    def server(self, launched: Launched) -> Server:
        return Server.objects.get(account=self.account, external_id=launched.external_id)

    def machine(self, launched: Launched) -> Machine:
        return Machine(
            self.account.endpoint.provider_id, launched.told, (launched.mac,), (launched.address,),
            more={"platform": launched.platform, "dmi_uuid": launched.told},
        )  # fmt: skip

    def get(self, launched: Launched, path: str) -> bytes:
        """As the instance asks its metadata service."""
        host, _, port = self.service.partition(":")
        line = HTTPConnection(host, int(port), timeout=5, source_address=(launched.address, 0))
        line.request("GET", path)
        reply = line.getresponse()
        found = reply.read()
        line.close()
        return found if reply.status == 200 else b""

    def nonce(self, launched: Launched) -> str | None:
        """What the instance reads, as its agent would."""
        self.clock.now += 15
        if launched.platform == "openstack":
            return (
                json.loads(self.get(launched, "/openstack/latest/meta_data.json")).get("meta", {}).get("muster-claim")
            )
        if launched.platform == "cloudstack":
            lines = self.get(launched, "/latest/user-data").decode().splitlines()
            mark = protocol.CHALLENGE_LINE
            return next((line.removeprefix(mark) for line in lines if line.startswith(mark)), None)
        tools = vmtoolsd.put(self.folder / launched.address, self.service, launched.address)
        done = subprocess.run(  # noqa: S603 - our own stand-in
            [tools, "--cmd", f"info-get {protocol.CHALLENGE_PROPERTY}"], capture_output=True, text=True, check=False
        )
        return done.stdout.strip() or None

    @property
    def provider(self) -> Any:
        return self.account.endpoint.provider

    def prove(self, machine: Machine, launched: Launched) -> Agent | None:
        """The whole walk: it claims, reads its nonce and answers."""
        machine.claim()
        match(self.provider)
        machine.ask(self.nonce(launched))
        work()
        return machine.row.agent

    def born(self, name: str, address: str) -> tuple[Launched, Machine]:
        """A new instance that the console has listed, and the machine in it."""
        launched = self.launch(name, address)
        sync.now(self.account)
        return launched, self.machine(launched)


def _openstack() -> Any:
    return openstack.Cloud.sized(3), openstack.serve


def _cloudstack() -> Any:
    return cloudstack.Cloud.sized(3), cloudstack.serve


def _vcloud() -> Any:
    return vcloud.Cloud.sized(3, generation="38.1"), vcloud.serve


MAKERS: dict[str, Callable[[], Any]] = {"openstack": _openstack, "cloudstack": _cloudstack, "vcloud": _vcloud}


@contextmanager
def place_at(platform: str, customer: Customer, folder: Path) -> Iterator[Place]:
    """A cloud of that platform with an account of this customer."""
    cloud, serving = MAKERS[platform]()
    with ExitStack() as stack:
        site = stack.enter_context(serving(cloud))
        clock = Clock()
        residents = Residents(clock)
        service = stack.enter_context(serve(residents))
        account = account_at(
            site, customer=customer, endpoint__platform=platform, endpoint__slug=f"{platform}-{folder.name[-20:]}"
        )
        yield Place(site, cloud, account, residents, service, clock, folder)


def age(challenge: Challenge, seconds: int) -> None:
    """As if it had been placed so long ago."""
    then = timezone.now() - timedelta(seconds=seconds)
    Challenge.objects.filter(pk=challenge.pk).update(placed_at=then, due_at=then)


def synced(place: Place) -> bool:
    """Read its cloud. False while a worker of the console does: it may have begun before the newest instance."""
    try:
        return sync.now(place.account).state == JobState.DONE
    except Denied:
        return False
