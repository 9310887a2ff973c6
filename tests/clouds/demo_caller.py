"""Calls to a simulated cloud by hand, without any client of ours."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import requests

from console.demo.openstack import Cloud, Site


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def v3(cloud: Cloud, **changes: Any) -> dict[str, Any]:
    """A password sign-in body, scoped unless project=None."""
    project = changes.get("project", cloud.project)
    user = {"name": cloud.username, "domain": {"id": "default"}, "password": changes.get("password", cloud.password)}
    body: dict[str, Any] = {"identity": {"methods": ["password"], "password": {"user": user}}}
    if project:
        body["scope"] = {"project": {"name": project, "domain": {"name": "Default"}}}
    return {"auth": body}


def sign_in(site: Site, body: dict[str, Any] | None = None) -> requests.Response:
    if site.cloud.generation == "essex":
        credentials = {"username": site.cloud.username, "password": site.cloud.password}
        body = body or {"auth": {"passwordCredentials": credentials, "tenantName": site.cloud.project}}
        return requests.post(f"{site.url}/v2.0/tokens", json=body, timeout=10)
    return requests.post(f"{site.url}/v3/auth/tokens", json=body or v3(site.cloud), timeout=10)


def session(site: Site) -> tuple[requests.Session, str]:
    """A signed-in session, and the compute URL of the catalog."""
    reply = sign_in(site)
    caller = requests.Session()
    if site.cloud.generation == "essex":
        access = reply.json()["access"]
        caller.headers["X-Auth-Token"] = access["token"]["id"]
        catalog = {one["type"]: one["endpoints"][0]["publicURL"] for one in access["serviceCatalog"]}
    else:
        caller.headers["X-Auth-Token"] = reply.headers["X-Subject-Token"]
        catalog = {one["type"]: one["endpoints"][0]["url"] for one in reply.json()["token"]["catalog"]}
    return caller, catalog["compute"]


def walk(caller: requests.Session, url: str, limit: int) -> list[dict[str, Any]]:
    """Every server, by pages, to an empty one."""
    found: list[dict[str, Any]] = []
    while True:
        params = {"limit": str(limit)} | ({"marker": found[-1]["id"]} if found else {})
        page = caller.get(f"{url}/servers/detail", params=params, timeout=10).json()["servers"]
        if not page:
            return found
        assert not {one["id"] for one in page} & {one["id"] for one in found}
        found += page
