"""What the OpenStack tests share: an account at a replayed cloud, and replies made by hand in recorded shapes."""

from __future__ import annotations

import json
from typing import Any, cast

from accounts import clouds
from accounts.clouds import Driver, ServerFacts
from accounts.clouds.acting import ActingDriver
from console.lib.outbound import Transport
from tests.clouds.replay import Replay, Reply

TENANT = "e89f2869d3834e60acd34f543a3c8afd"
ESSEX = f"/v1.1/{TENANT}/servers"
MODERN = "/v2.1/servers"
PASSWORD = {"username": "demo", "password": "s3cret-word", "project": "demo"}
APPLICATION = {"application_credential_id": "abc", "application_credential_secret": "s3cret-word"}
ONE = "2e517b10-2326-4409-b2e8-8c141887509f"  # the server of essex.txt
TASK_STATE = "OS-EXT-STS:task_state"
EMPTY = Reply(200, b'{"servers": []}')


def said(status: int, value: Any, **headers: str) -> Reply:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    named = {key.replace("_", "-"): text for key, text in headers.items()}
    return Reply(status, body, {"Content-Type": "application/json", **named})


def v3_token(*compute: tuple[str, str]) -> Reply:
    """A token as Keystone 30 gives it, with compute endpoints (region, URL)."""
    endpoints = [
        {"id": f"{number}{interface}", "interface": interface, "region_id": region, "region": region, "url": url}
        for number, (region, url) in enumerate(compute)
        for interface in ("admin", "internal", "public")
    ]
    token = {
        "methods": ["password"],
        "user": {"domain": {"id": "default", "name": "Default"}, "id": "u", "name": "demo"},
        "expires_at": "2030-11-22T18:12:42.000000Z",
        "issued_at": "2026-11-22T17:12:42.000000Z",
        "audit_ids": ["x"],
        "project": {"domain": {"id": "default", "name": "Default"}, "id": "p", "name": "demo"},
        "roles": [{"id": "r", "name": "member"}],
        "catalog": [
            {"type": "identity", "id": "i", "name": "keystone", "endpoints": []},
            {"type": "compute", "id": "c", "name": "nova", "endpoints": endpoints},
        ],
    }
    return said(201, {"token": token}, X_Subject_Token="token-1")


def opened(replay: Replay, path: str = "", **kwargs: Any) -> Driver:
    kwargs.setdefault("credentials", PASSWORD)
    transport = Transport(["127.0.0.1/32"], allow_http=True)
    return clouds.open("openstack", url=replay.url + path, transport=transport, **kwargs)


def listed(driver: Driver) -> list[ServerFacts]:
    return [facts for page in driver.servers() for facts in page]


def row(number: int, **more: Any) -> dict[str, Any]:
    return {"id": f"id-{number}", "name": f"n{number}", "status": "ACTIVE", "flavor": {"vcpus": 1}, **more}


def pages(replay: Replay, *counts: int, base: str = MODERN) -> None:
    number, marker = 0, ""
    for count in counts:
        block = [row(number + offset) for offset in range(count)]
        replay.say("GET", f"{base}/detail?limit=1000{marker}", said(200, {"servers": block}))
        number += count
        if block:
            marker = f"&marker={block[-1]['id']}"


def acting(replay: Replay, **kwargs: Any) -> ActingDriver:
    return cast(ActingDriver, opened(replay, **kwargs))


def server(status: str, task_state: str | None = None, **more: Any) -> Reply:
    return said(200, {"server": {"id": "s", "status": status, TASK_STATE: task_state, **more}})


def offers(replay: Replay, newest: str) -> None:
    """The version document of a Nova whose newest microversion that is."""
    version = {"id": "v2.1", "version": newest, "min_version": "2.1" if newest else ""}
    replay.say("GET", "/v2.1/", said(200, {"version": version}))


def with_services(replay: Replay, **urls: str) -> None:
    """The modern sign-in, with more services in its catalog."""
    token = json.loads(v3_token(("RegionOne", "http://127.0.0.1:38774/v2.1")).body)
    for kind, url in urls.items():
        endpoint = {"interface": "public", "region": "RegionOne", "url": f"http://127.0.0.1:1{url}"}
        token["token"]["catalog"].append({"type": kind, "endpoints": [endpoint]})
    replay.replies["POST", "/v3/auth/tokens", "", ""] = [said(201, token, X_Subject_Token="token-1")]
