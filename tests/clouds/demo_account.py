"""An account at a simulated cloud, called by hand, with a clock that stands still."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
import requests

from console.demo.cloud import Generation
from console.demo.openstack import Cloud, Site, serve
from tests.clouds.demo_caller import Clock, session

SETTLE = timedelta(seconds=5)
BOTH = pytest.mark.parametrize("generation", ["essex", "modern"])


class Account:
    """Calls to one account by hand, with a clock that stands still."""

    def __init__(self, site: Site, clock: Clock, caller: requests.Session, url: str) -> None:
        self.site, self.cloud, self.clock, self.caller, self.url = site, site.cloud, clock, caller, url

    def call(self, method: str, path: str, body: Any = None, minor: int = 1) -> requests.Response:
        headers = {"OpenStack-API-Version": f"compute 2.{minor}"}
        return self.caller.request(method, self.url + path, json=body, headers=headers, timeout=10)

    def act(self, server: str, word: str, details: Any = None, minor: int = 1) -> requests.Response:
        return self.call("POST", f"/servers/{server}/action", {word: details}, minor)

    def shown(self, server: str) -> dict[str, Any]:
        return self.call("GET", f"/servers/{server}").json()["server"]

    def state(self, server: str) -> tuple[str, str | None]:
        shown = self.shown(server)
        return shown["status"], shown["OS-EXT-STS:task_state"]

    def settle(self) -> None:
        self.clock.now += SETTLE

    def order(self, **more: Any) -> dict[str, Any]:
        flavor, image = next(iter(self.cloud.flavors)), next(iter(self.cloud.images))
        return {"server": {"name": "new", "flavorRef": flavor, "imageRef": image} | more}

    def size(self, place: int) -> str:
        return list(self.cloud.flavors)[place]


@contextmanager
def account(generation: Generation = "modern", servers: int = 1) -> Iterator[Account]:
    clock = Clock()
    cloud = Cloud.sized(servers, generation=generation)
    cloud.clock = cloud.tokens.clock = clock
    cloud.settle, cloud.rate_limited = SETTLE, False
    with serve(cloud) as site:
        caller, url = session(site)
        with caller:
            yield Account(site, clock, caller, url)


def only(cloud: Cloud) -> str:
    (found,) = cloud.instances
    return found


def message(reply: requests.Response) -> str:
    (fault,) = reply.json().values()
    assert fault["code"] == reply.status_code
    return str(fault["message"])
