"""The sandbox's clouds, running: three small ones, the same for every sandbox, with the logins of providers.simulated.

What customers did there (stopped, deleted, created) is undone after a while, so that the next integrator finds what the
guide says.
"""

from __future__ import annotations

import base64
import binascii
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from console.demo import (
    cloudstack,
    cloudstack_keep,
    cloudstack_population,
    keep,
    openstack,
    population,
    vcloud,
    vcloud_keep,
)
from console.demo.cloudstack_api import parameters
from console.demo.instance import Nic
from console.demo.mishaps import Kind, Mishap
from console.demo.tokens import User
from console.demo.wire import Request
from providers.simulated import PASSES, SLOW, WORD

SETTLE: Final = timedelta(seconds=3)
TIDY_AFTER: Final = timedelta(minutes=30)  # since something was changed first
LOOKS: Final = 60.0  # seconds between two looks
BORN: Final = datetime(2025, 1, 7, 9, 30, tzinfo=UTC)
# Name and whether it runs.
SERVERS: Final = tuple((name, name[0] in "wd") for name in ("web-1", "web-2", "web-3", "db-1", "batch-1", "old-1"))
_HAPPENS: Final = {
    "forbidden": Kind.FORBIDDEN,
    "unreachable": Kind.HANG_UP,
    "rubbish": Kind.RUBBISH,
    SLOW: Kind.DRIP,
}
_PAUSE: Final = 0.02  # seconds between two drips of 16 bytes: some five for a sign-in

AnySite = openstack.Site | cloudstack.Site | vcloud.Site


def an_openstack() -> openstack.Cloud:
    """A modern one."""
    cloud = openstack.Cloud(seed=91, username=PASSES, password=WORD, project=WORD, settle=SETTLE)
    cloud.users[SLOW] = User(cloud.new_id(), SLOW, WORD, [WORD])
    population.stock(cloud)
    network = next(iter(cloud.networks.values())).name
    for number, (name, runs) in enumerate(SERVERS, start=11):
        nics = [Nic(f"10.91.0.{number}", mac=f"02:16:3e:5b:00:{number:02x}")]
        if name.startswith("web"):
            nics.append(Nic(f"198.51.100.{number}", kind="floating", mac=nics[0].mac))
        status = "ACTIVE" if runs else cloud.off
        cloud.add(name, status=status, addresses={network: nics}, created=BORN + timedelta(hours=number))
    return cloud


def a_cloudstack() -> cloudstack.Cloud:
    """4.20."""
    cloud = cloudstack.Cloud(version="4.20.0.0", seed=92, api_key=PASSES, secret_key=WORD, settle=SETTLE)
    cloudstack_population.stock(cloud)
    for number, (name, runs) in enumerate(SERVERS):
        cloud.add(name, state="Running" if runs else "Stopped", created=BORN + timedelta(hours=number))
    return cloud


def a_vcloud() -> vcloud.Cloud:
    """Cloud Director with API 38.1."""
    cloud = vcloud.Cloud(generation="38.1", seed=93, username=PASSES, password=WORD, org=WORD, settle=SETTLE)
    vapp = cloud.add_vapp("shop")
    vapp.created = BORN
    for name, runs in SERVERS:
        vm = cloud.add(name, vapp=vapp, status="POWERED_ON" if runs else "POWERED_OFF", created=BORN)
        vm.deployed = runs
    return cloud


def _at_keystone(request: Request) -> str:
    try:
        return str(request.json()["auth"]["identity"]["password"]["user"]["name"])
    except (KeyError, TypeError):
        return ""


def _at_cloudstack(request: Request) -> str:
    return next((value for name, value in parameters(request) if name.lower() == "apikey"), "")


def _at_vcloud(request: Request) -> str:
    scheme, _, coded = request.headers.get("Authorization", "").partition(" ")
    try:
        told = base64.b64decode(coded, validate=True).decode() if scheme.lower() == "basic" else ""
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return told.partition("@")[0]


@dataclass(frozen=True)
class Kept:
    """How one of them is made and served, and what of it a change shows in."""

    slug: str
    make: Callable[[], Any]
    serve: Callable[..., AnySite]
    dump: Callable[[Any], dict[str, Any]]
    who: Callable[[Request], str]
    ports: int


KINDS: Final = (
    Kept("openstack", an_openstack, openstack.Site, keep.dump, _at_keystone, 2),
    Kept("cloudstack", a_cloudstack, cloudstack.Site, cloudstack_keep.dump, _at_cloudstack, 1),
    Kept("vcloud", a_vcloud, vcloud.Site, vcloud_keep.dump, _at_vcloud, 1),
)


class CannotServe(Exception):
    """The words say why, and what to do."""


class Sandbox:
    """All of them, served until `stop`. Where they are stands in `file` (0600), also for the next start.

    `port`: the first of four that they take; 0: those of the last time, or free ones.
    """

    def __init__(self, file: Path, port: int = 0, tidy_after: timedelta = TIDY_AFTER) -> None:
        self._file, self._port, self._tidy_after = file, port, tidy_after
        self._ending = threading.Event()
        self._keeper = threading.Thread(target=self._tend, name="sandbox-keeper", daemon=True)
        self._changed: dict[str, datetime] = {}
        self._made: dict[str, str] = {}
        self.sites: dict[str, AnySite] = {}

    def start(self) -> dict[str, Any]:
        """Serves them, and returns what the file says. Raises CannotServe."""
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            before = keep.read_json(self._file)
        except ValueError:
            before = {}  # half a file of a full disk: free ports will do
        found: dict[str, Any] = {}
        first = self._port
        for kind in KINDS:
            wanted = list(range(first, first + kind.ports)) if self._port else _ports(before, kind)
            site = self._open(kind, wanted)
            ports = list(site.listening) if isinstance(site, openstack.Site) else [site.listening]
            url = site.auth_url if isinstance(site, openstack.Site) else site.url
            found[kind.slug] = {"url": url, "ports": ports}
            first += kind.ports
        keep.write_private(self._file, json.dumps(found, indent=2))
        self._keeper.start()
        return found

    def tidy(self, now: datetime) -> list[str]:
        """Make anew what was changed `tidy_after` ago or earlier; which. Calls under way are cut off."""
        over = []
        for kind in KINDS:
            if _state(kind, self.sites[kind.slug].cloud) == self._made[kind.slug]:
                self._changed.pop(kind.slug, None)
            elif now - self._changed.setdefault(kind.slug, now) >= self._tidy_after:
                over.append(kind.slug)
                site = self.sites[kind.slug]
                ports = list(site.listening) if isinstance(site, openstack.Site) else [site.listening]
                site.stop()
                self._serve(kind, ports)
                del self._changed[kind.slug]
        return over

    def stop(self) -> None:
        """Closes every port."""
        self._ending.set()
        self._keeper.join(5)
        for site in self.sites.values():
            site.stop()

    def _tend(self) -> None:
        while not self._ending.wait(LOOKS):
            self.tidy(datetime.now(UTC))

    def _open(self, kind: Kept, ports: list[int]) -> AnySite:
        try:
            return self._serve(kind, ports)
        except OSError as fault:
            if self._port:
                self.stop_what_runs()
                raise CannotServe(
                    f"The sandbox's clouds cannot listen on 127.0.0.1, port {ports[0]}: {fault.strerror}. "
                    "End what uses it, or set another SANDBOX_PORT."
                ) from fault
            return self._serve(kind, [])  # somebody else is where they were last time

    def stop_what_runs(self) -> None:
        """After half a start."""
        for site in self.sites.values():
            site.stop()

    def _serve(self, kind: Kept, ports: list[int]) -> AnySite:
        cloud = kind.make()
        site = kind.serve(cloud, *ports)
        site.befall(lambda request: _mood(kind.who(request)))
        self._made[kind.slug] = _state(kind, cloud)
        self.sites[kind.slug] = site
        site.start()
        return site


def _mood(name: str) -> Mishap | None:
    kind = _HAPPENS.get(name)
    return Mishap(kind, "", None, None, 0, None, "", 0, _PAUSE) if kind else None


def _state(kind: Kept, cloud: Any) -> str:
    return json.dumps(kind.dump(cloud) | {"random": ""}, sort_keys=True)


def _ports(before: dict[str, Any], kind: Kept) -> list[int]:
    try:
        ports = [int(port) for port in before[kind.slug]["ports"]]
    except (KeyError, TypeError, ValueError):
        return []
    return ports if len(ports) == kind.ports else []
