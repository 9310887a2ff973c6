"""A simulated vCloud cell on loopback, over one mutable `Cloud`: vCloud 1.0, 1.5, 5.1 and VCD 29 and later.

with serve(Cloud.sized(60, generation="1.5")) as site:
    site.url          # http://127.0.0.1:PORT/api
    site.cloud        # change it while it is served
    site.faults.inject("unavailable", times=2, after=1)
"""

from __future__ import annotations

from collections import deque
from contextlib import AbstractContextManager
from dataclasses import dataclass

from console.demo.mishaps import Kind, Mishap, Mishaps
from console.demo.site import OnePort, served
from console.demo.vcloud_app import Cell
from console.demo.vcloud_cloud import API_TOKEN, ORG, PASSWORD, USERNAME, Cloud
from console.demo.vcloud_mishaps import Telling, VCloudMishaps
from console.demo.vcloud_things import Network, Nic, Task, Template, VApp, Vm
from console.demo.wire import Listener

__all__ = [
    "API_TOKEN",
    "ORG",
    "PASSWORD",
    "USERNAME",
    "Cloud",
    "Kind",
    "Mishap",
    "Network",
    "Nic",
    "Site",
    "Task",
    "Template",
    "VApp",
    "Vm",
    "serve",
]


@dataclass(eq=False)
class Site(OnePort):
    """A served cell. `url` is …/api, where /versions is; no slash at the end."""

    cloud: Cloud
    port: int = 0

    def __post_init__(self) -> None:
        self.faults: Mishaps = VCloudMishaps(self.cloud)
        self.requests: deque[tuple[str, str]] = deque(maxlen=20_000)
        """(method, path and query) of every request, oldest first."""
        cell = Cell(self.cloud)
        self._listener = Listener(self.port, cell, self.faults, self.requests, Telling(self.cloud, cell))
        self.root = self._listener.url
        """Scheme, host and port: what pyvcloud's Client wants."""
        self.url = f"{self.root}/api"


def serve(cloud: Cloud, port: int = 0) -> AbstractContextManager[Site]:
    """Serves `cloud` on loopback while the block runs; port 0 takes a free one. OSError when it is taken."""
    return served(Site(cloud, port))
