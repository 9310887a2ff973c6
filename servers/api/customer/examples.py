"""Examples that the API's pages show."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample

from servers.api.examples import SERVER_ID, server

ACCOUNT_ID = "7d7c2b0e-5a43-4a2e-8a0e-0d2f0c1b9f55"
ACTION_ID = "5f1f7b1e-92c5-4b0e-a1f4-5a3b9f6a7f21"
INSTALL_ID = "1b6e8f39-7f3c-4a39-8a58-0f4b1c0f7d54"
_ACTION: dict[str, Any] = {
    "id": ACTION_ID,
    "server_id": SERVER_ID,
    "name": "web-1",
    "kind": "stop",
    "params": {},
    "state": "waiting",
    "phase": "powering-off",
    "percent": None,
    "outcome": "",
    "has_password": False,
    "queued_at": "2025-01-07T09:30:00Z",
    "started_at": "2025-01-07T09:30:01Z",
    "ended_at": None,
}
_ORDER: dict[str, Any] = {
    "name": "shop", "image": "70a599e0-31e7-49b7-b260-868f441e862b", "size": "2", "key_name": "laptop",
}  # fmt: skip
_ORDERED = _ACTION | {
    "server_id": None,
    "name": "shop",
    "kind": "create",
    "params": _ORDER,
    "state": "queued",
    "phase": "",
}
_OFFERS: dict[str, Any] = {
    "sizes": [{"id": "2", "name": "m1.small", "cpus": 1, "memory_mb": 2048, "disk_gb": 20}],
    "images": [{"id": _ORDER["image"], "name": "debian-12", "min_disk_gb": 2, "min_memory_mb": None, "zone": ""}],
    "networks": [],
    "key_pairs": [{"name": "laptop", "fingerprint": "c7:00:1e:6f:30:3a:4b:5c:6d:7e:8f:90:a1:b2:c3:d4"}],
    "missing": {"networks": "OpenStack Essex shows its networks to administrators only. It picks one itself."},
}
_INSTALL = {"servers": [SERVER_ID], "user": "ubuntu", "password": "…"}
_STARTED = {
    "id": INSTALL_ID, "ssh_user": "ubuntu", "method": "password", "port": 22,
    "jump_host": "", "jump_fingerprint": "", "held": False, "created_at": "2025-01-07T09:30:00Z", "ended_at": None,
    "installs": [{"server_id": SERVER_ID, "state": "queued", "stage": "connect", "stages": [], "cause": "", "fix": "",
                  "outcome": "", "fingerprint": "", "ended_at": None}],
}  # fmt: skip

STOP = OpenApiExample("Stop it", {"kind": "stop"}, request_only=True)
RESIZE = OpenApiExample("Another size", {"kind": "resize", "size": "4"}, request_only=True)
SNAPSHOT = OpenApiExample("A snapshot", {"kind": "snapshot", "name": "before-upgrade"}, request_only=True)
ACTION = OpenApiExample("Under way", _ACTION, response_only=True, status_codes=["200", "202"])
ORDER = OpenApiExample("A small one", {"account_id": ACCOUNT_ID, **_ORDER}, request_only=True)
ORDERED = OpenApiExample("Just ordered", _ORDERED, response_only=True, status_codes=["202"])
OFFERS = OpenApiExample("Of an old cloud", _OFFERS, response_only=True, status_codes=["200"])
PASSWORD = OpenApiExample("Told this once", {"password": "Zq7-example-only"}, response_only=True, status_codes=["200"])
INSTALL = OpenApiExample("With a password", _INSTALL, request_only=True)
INSTALLING = OpenApiExample("Just started", _STARTED, response_only=True, status_codes=["200", "202"])
CANCELED = OpenApiExample(
    "Canceled",
    _STARTED | {
        "ended_at": "2025-01-07T09:31:00Z",
        "installs": [
            {"server_id": SERVER_ID, "state": "canceled", "stage": "connect", "stages": [], "cause": "", "fix": "",
             "outcome": "Canceled by ada@example.com.", "fingerprint": "", "ended_at": "2025-01-07T09:31:00Z"}
        ],
    },
    response_only=True, status_codes=["200"],
)  # fmt: skip
RETRY = OpenApiExample("With a password", {"password": "…"}, request_only=True)
HOST_KEYS = OpenApiExample(
    "One", {"fingerprints": ["SHA256:8Yh1nXQmJcN0r0mVvQm3cGzYk2yDq2k3m1o8bqkZr5E"]}, request_only=True
)
SERVER = server(ACCOUNT_ID)
POSSIBLE = OpenApiExample(
    "Of a running server",
    {"kind": "stop", "label": "Stop", "possible": True, "reason": "", "needs": [], "danger": False},
    response_only=True,
)
TAKEN = OpenApiExample(
    "One of them",
    {
        "id": "b6c1d2e3-4f50-4a61-8b72-9c83d4e5f607",
        "name": "before-upgrade",
        "created_at": "2025-01-07T09:30:00Z",
        "current": False,
    },
    response_only=True,
)
ACCOUNT = OpenApiExample(
    "A verified one",
    {
        "id": ACCOUNT_ID,
        "name": "Main",
        "platform": "openstack",
        "status": "ok",
        "status_reason": "",
        "version_found": "3.14",
        "last_sync_at": "2025-01-07T09:31:02Z",
        "server_count": 12,
        "unread_count": 0,
    },
    response_only=True,
)
