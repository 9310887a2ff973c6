"""What the OpenStack tests share: an account at a replayed cloud, and replies made by hand in recorded shapes."""

from __future__ import annotations

import json
from typing import Any

from accounts import clouds
from accounts.clouds import Driver, ServerFacts
from console.lib.outbound import Transport
from tests.clouds.replay import Replay, Reply

TENANT = "e89f2869d3834e60acd34f543a3c8afd"
ESSEX = f"/v1.1/{TENANT}/servers"
MODERN = "/v2.1/servers"
PASSWORD = {"username": "demo", "password": "s3cret-word", "project": "demo"}
APPLICATION = {"application_credential_id": "abc", "application_credential_secret": "s3cret-word"}
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
