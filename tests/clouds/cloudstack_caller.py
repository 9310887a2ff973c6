"""Calls to a simulated CloudStack: by its own library, and by hand without any client."""

from __future__ import annotations

import json
from typing import Any

import requests
from cs import CloudStack

from console.demo.cloudstack import Site
from console.demo.cloudstack_signature import signature


def client(site: Site, **more: Any) -> CloudStack:
    """The `cs` library, signed in and impatient."""
    return CloudStack(site.url, site.cloud.api_key, site.cloud.secret_key, poll_interval=0.005, **more)


def signed(site: Site, command: str, **params: str) -> dict[str, str]:
    """The parameters of a call with the server's own signature."""
    given = {"command": command, "response": "json", "apikey": site.cloud.api_key} | params
    return given | {"signature": signature(list(given.items()), site.cloud.secret_key)}


def say(site: Site, command: str, *, method: str = "GET", **params: str) -> requests.Response:
    """One signed call."""
    given = signed(site, command, **params)
    kind = {"data": given} if method == "POST" else {"params": given}
    with requests.Session() as session:
        return session.request(method, site.url, timeout=10, **kind)  # type: ignore[arg-type]


def ask(site: Site, command: str, *, method: str = "GET", **params: str) -> Any:
    """What stands under the one key of a good reply."""
    reply = say(site, command, method=method, **params)
    assert reply.status_code == 200, reply.text
    (value,) = json.loads(reply.text).values()
    return value


def refused(site: Site, command: str, *, method: str = "GET", **params: str) -> tuple[int, int | None, str]:
    """The error of a call: code (also the HTTP status), cserrorcode, words."""
    reply = say(site, command, method=method, **params)
    (error,) = json.loads(reply.text).values()
    assert reply.status_code == error["errorcode"]
    assert error["uuidList"] == []
    return error["errorcode"], error.get("cserrorcode"), error["errortext"]


def order(site: Site, **more: str) -> dict[str, str]:
    """The least that deployVirtualMachine wants."""
    cloud = site.cloud
    with cloud.lock:
        zone, offering, template = next(iter(cloud.zones)), next(iter(cloud.offerings)), next(iter(cloud.templates))
    return {"zoneid": zone, "serviceofferingid": offering, "templateid": template} | more
