"""Examples that the API's pages show."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiExample

PERSON = {"email": "ada@example.com", "first_name": "Ada", "last_name": "Byron", "organization": "Engines Ltd"}
CUSTOMER = {
    "external_id": "c-1001",
    **PERSON,
    "locale": "",
    "status": "active",
    "created_at": "2025-01-07T09:30:00Z",
    "closed_at": None,
    "mail": {
        "state": "sent",
        "reason": "The mail server took it.",
        "queued_at": "2025-01-07T09:30:00Z",
        "ended_at": "2025-01-07T09:30:02Z",
    },
}

ASKED = OpenApiExample("A customer", PERSON, request_only=True)
ASKED_BY_POST = OpenApiExample("A customer", {"external_id": "c-1001", **PERSON}, request_only=True)
TOLD = OpenApiExample("A customer", CUSTOMER, response_only=True, status_codes=["200", "201", "202"])
HANDING_OFF = OpenApiExample("To the servers that run", {"return_to": "/servers/?q=state:running"}, request_only=True)
HANDED_OFF = OpenApiExample(
    "A link",
    {"url": "https://console.example/handoff/3q2-7wAB…/", "expires_at": "2025-01-07T09:31:00Z"},
    response_only=True,
    status_codes=["201"],
)
ENDPOINT = OpenApiExample(
    "An OpenStack",
    {
        "slug": "nova",
        "name": "Compute, Oslo",
        "platform": "openstack",
        "url": "https://cloud.example.com:5000/v3",
        "version": "",
        "version_found": "3.14",
        "region": "",
        "enabled": True,
    },
    response_only=True,
)
