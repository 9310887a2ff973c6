"""Examples that the API's pages show of servers."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.utils import OpenApiExample

SERVER_ID: Final = "0d3ff0bb-3a1f-4f1b-9a55-0f0f6a2f2f10"
CLOUDS_ID: Final = "6f5c1b9e-2d34-4f0a-9b7e-1c2d3e4f5a66"  # the cloud's own id of the same server
_SERVER: Final[dict[str, Any]] = {
    "id": SERVER_ID,
    "external_id": CLOUDS_ID,
    "name": "web-1",
    "state": "running",
    "raw_state": "ACTIVE",
    "addresses": [
        {"ip": "10.0.0.4", "version": 4, "kind": "fixed", "network": "private", "mac": "fa:16:3e:5b:00:04"},
        {"ip": "203.0.113.4", "version": 4, "kind": "floating", "network": "private", "mac": "fa:16:3e:5b:00:04"},
    ],
    "size": "m1.small",
    "cpus": 1,
    "memory_mb": 2048,
    "disk_gb": 20,
    "image": "debian-12",
    "region": "RegionOne",
    "cloud_created_at": "2025-01-07T09:30:00Z",
    "first_seen_at": "2025-01-07T09:31:02Z",
    "changed_at": "2025-01-07T09:31:02Z",
    "missing_since": None,
    "agent_state": "managed",
    "agent": {
        "version": "1.0.0",
        "enrolled_at": "2025-01-07T09:40:00Z",
        "last_seen_at": "2025-01-07T09:45:30Z",
        "load1": 0.12,
        "cpu_percent": 3.5,
        "memory_used": 412000000,
        "memory_total": 2086000000,
        "disk_used": 3100000000,
        "disk_total": 21000000000,
        "packages": 412,
        "reboot_needed": False,
    },
}


def server(account_id: str) -> OpenApiExample:
    """One that an agent reports from, in this account."""
    return OpenApiExample(
        "With an agent", _SERVER | {"account_id": account_id}, response_only=True, status_codes=["200"]
    )


JOINING = OpenApiExample("A server that is being launched", {}, request_only=True)
JOINED = OpenApiExample(
    "A token",
    {"token": "mjt_3q2-7wAB…", "expires_at": "2025-01-07T10:30:00Z", "url": "https://console.example"},
    response_only=True,
    status_codes=["201"],
)
PACKAGES = OpenApiExample(
    "Each form",
    {
        "version": "1.0.0",
        "channel": "5f3c2a10-7d3e-4c55-8a0e-2f6b9c1d4e88",
        "results": [
            {
                "kind": "deb",
                "name": "muster-agent_1.0.0_all.deb",
                "description": "For images of Debian, Ubuntu and their kin.",
                "media_type": "application/vnd.debian.binary-package",
                "size": 98304,
                "sha256": "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
                "url": "https://console.example/api/provider/v1/agent-packages/deb",
            }
        ],
    },
    response_only=True,
    status_codes=["200"],
)
