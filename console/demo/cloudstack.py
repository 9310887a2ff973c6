"""A simulated CloudStack on loopback: one port, one address, over one mutable `Cloud`.

with serve(Cloud.sized(60, version="4.20.0.0")) as site:
    site.url          # …/client/api
    site.cloud        # change it while it is served
    site.faults.inject("truncated", after=1)

Held to the recorded replies of 2.2 to 4.3 and to the source of 4.x; no real cloud could be asked.
"""

from __future__ import annotations

from collections import deque
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from console.demo.cloudstack_api import Api
from console.demo.cloudstack_cloud import API_KEY, SECRET_KEY, Cloud, Counting, Missing
from console.demo.cloudstack_mishaps import CloudStackListener, CloudStackMishaps
from console.demo.cloudstack_things import ApiError, Machine, Net, Nic, Offering, Snapshot, Template, Zone
from console.demo.mishaps import Kind, Mishap
from console.demo.site import OnePort, served

__all__ = [
    "API_KEY",
    "SECRET_KEY",
    "ApiError",
    "Cloud",
    "Counting",
    "Kind",
    "Machine",
    "Mishap",
    "Missing",
    "Net",
    "Nic",
    "Offering",
    "Site",
    "Snapshot",
    "Template",
    "Zone",
    "serve",
]


@dataclass(eq=False)
class Site(OnePort):
    """A served cloud. `url` is its API: http://127.0.0.1:PORT/client/api."""

    cloud: Cloud
    port: int = 0
    faults: CloudStackMishaps = field(default_factory=CloudStackMishaps)
    """A mishap befalls listVirtualMachines unless its `path` says otherwise: "command=deploy", "page=2" …"""
    requests: deque[tuple[str, str]] = field(default_factory=lambda: deque(maxlen=20_000))
    """(method, path with all parameters, those of a POST too) of every request, oldest first."""

    def __post_init__(self) -> None:
        self._listener = CloudStackListener(self.port, Api(self.cloud), self.faults, self.requests)
        self.url = f"{self._listener.url}/client/api"


def serve(cloud: Cloud, port: int = 0) -> AbstractContextManager[Site]:
    """Serves `cloud` on loopback while the block runs; port 0 takes a free one. OSError when a port is taken."""
    return served(Site(cloud, port))
