"""A simulated OpenStack on loopback: Keystone and Nova on a port each, over one mutable `Cloud`.

with serve(Cloud.lively(servers=60)) as site:
    site.url          # Keystone's root
    site.cloud        # change it while it is served
    site.faults.inject("unavailable", times=2, after=1)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from console.demo.cloud import (
    APPLICATION_CREDENTIAL_ID,
    APPLICATION_CREDENTIAL_SECRET,
    PASSWORD,
    PROJECT,
    USERNAME,
    Cloud,
)
from console.demo.compute import Compute
from console.demo.diablo import Diablo
from console.demo.instance import Instance, Nic
from console.demo.keystone import Identity
from console.demo.keystone_diablo import DiabloIdentity
from console.demo.mishaps import Kind, Mishap, Mishaps
from console.demo.offers import Flavor, Image, Network
from console.demo.site import served
from console.demo.wire import Listener, Request

__all__ = [
    "APPLICATION_CREDENTIAL_ID",
    "APPLICATION_CREDENTIAL_SECRET",
    "PASSWORD",
    "PROJECT",
    "USERNAME",
    "Cloud",
    "Flavor",
    "Image",
    "Instance",
    "Kind",
    "Mishap",
    "Network",
    "Nic",
    "Site",
    "serve",
]


@dataclass(eq=False)
class Site:
    """A served cloud. `url` is Keystone's root, `compute_url` Nova's; no slash at the end of either."""

    cloud: Cloud
    port: int = 0
    compute_port: int = 0
    faults: Mishaps = field(default_factory=Mishaps)
    requests: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=20_000))
    """(method, path and query) of every request, oldest first."""

    def __post_init__(self) -> None:
        identity: Identity | DiabloIdentity
        compute: Compute | Diablo
        if self.cloud.generation == "diablo":
            identity, compute = DiabloIdentity(self.cloud), Diablo(self.cloud)
        else:
            identity, compute = Identity(self.cloud), Compute(self.cloud)
        self._identity = Listener(self.port, identity, self.faults, self.requests)
        try:
            telling = compute.tell if isinstance(compute, Diablo) else None
            self._compute = Listener(self.compute_port, compute, self.faults, self.requests, telling)
        except OSError:
            self._identity.server_close()
            raise
        self.url = identity.identity = compute.keystone = self._identity.url
        self.compute_url = identity.compute = self._compute.url
        if self.cloud.generation == "modern":
            identity.identity = f"{self.url}/v3"

    @property
    def listening(self) -> tuple[int, int]:
        """The ports of Keystone and Nova."""
        return self._identity.server_address[1], self._compute.server_address[1]

    @property
    def auth_url(self) -> str:
        """The versioned identity URL: what an `OS_AUTH_URL` holds."""
        return f"{self.url}/v3" if self.cloud.generation == "modern" else f"{self.url}/v2.0"

    def befall(self, mood: Callable[[Request], Mishap | None]) -> None:
        """What happens to a request at Keystone by what it says; see `Listener.mood`."""
        self._identity.mood = mood

    def start(self) -> None:
        """Serves both ports until `stop`."""
        self._identity.start()
        self._compute.start()

    def stop(self) -> None:
        """Closes both ports and every connection."""
        self._compute.stop()
        self._identity.stop()


def serve(cloud: Cloud, port: int = 0, compute_port: int = 0) -> AbstractContextManager[Site]:
    """Serves `cloud` on loopback while the block runs; port 0 takes a free one. OSError when a port is taken."""
    return served(Site(cloud, port, compute_port))
