"""A provider's program, what it sends, and the one shape of errors."""

from __future__ import annotations

import json

from django.test import Client

from console.lib import audit
from providers import keys

V1 = "/api/provider/v1"
ADA = {"email": "ada@example.com", "first_name": "Ada", "last_name": "Byron", "organization": "Engines"}
OPENSTACK = {"username": "ada", "password": "correct horse", "project": "engines"}
PUSH = {"endpoint": "nova", "name": "Main", "version": 1, "credentials": OPENSTACK}


class Api:
    """A provider's program."""

    def __init__(self, provider, **options):
        self.provider = provider
        self.key, self.text = keys.issue(provider, actor=audit.SYSTEM, **options)
        self.client = Client(raise_request_exception=False)

    def __call__(self, method, path, body=None, **headers):
        data = body if isinstance(body, str | bytes) else "" if body is None else json.dumps(body)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        headers["Authorization"] = f"Bearer {self.text}"
        kind = headers.pop("Content-Type", "application/json")
        address = path if path.startswith(("/", "http")) else f"{V1}/{path}"
        return self.client.generic(method, address, data, kind, headers=headers)


def shaped(reply, status, code=None):
    """The reply's error, when it has the one shape."""
    assert reply.status_code == status, reply.content
    assert reply["Content-Type"].startswith("application/json")
    assert set(reply.json()) == {"error"}
    error = reply.json()["error"]
    assert set(error) - {"fields"} == {"code", "message", "request_id"}
    assert error["request_id"] == reply["X-Request-ID"]
    assert error["message"][0].isupper() and error["message"].endswith((".", "}"))
    if code:
        assert error["code"] == code
    return error
