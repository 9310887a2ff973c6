"""The ways into a simulated cell, one for each time: path login, /api/sessions, cloudapi sessions, OAuth API tokens."""

from __future__ import annotations

import base64
import binascii
import json
import re
from urllib.parse import parse_qsl

from console.demo.vcloud_cloud import Cloud, number
from console.demo.vcloud_shapes import org_list, session
from console.demo.vcloud_things import Trouble
from console.demo.vcloud_xml import Dialect
from console.demo.wire import Reply, Request, as_json

VERSION = re.compile(r";\s*version\s*=\s*([0-9.]+)")
NOBODY = Trouble(401, "UNAUTHORIZED", "This operation is denied. Sign in again.")


def spoken(cloud: Cloud, request: Request) -> str | None:
    """The version in the Accept header, when the cell offers it. 1.0 has its version in the path."""
    if cloud.generation == "1.0":
        return "1.0"
    match = VERSION.search(request.headers.get("Accept", ""))
    return match.group(1) if match and match.group(1) in cloud.versions else None


def not_acceptable(cloud: Cloud) -> Trouble:
    """406: the Accept header names no version, or one that is not offered."""
    words = f"The request has an invalid accept header. Supported versions: {', '.join(cloud.versions)}."
    return Trouble(406, "NOT_ACCEPTABLE", words)


def right(cloud: Cloud, request: Request) -> bool:
    """Whether the Basic credentials are user@org and its password."""
    scheme, _, coded = request.headers.get("Authorization", "").partition(" ")
    try:
        given = base64.b64decode(coded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return False
    return scheme.lower() == "basic" and given == f"{cloud.username}@{cloud.org}:{cloud.password}"


def token_of(cloud: Cloud, request: Request) -> str:
    """The token of a request, by header, cookie, or (modern) as a bearer."""
    found = request.headers.get("x-vcloud-authorization", "")
    scheme, _, bearer = request.headers.get("Authorization", "").partition(" ")
    if not found and scheme.lower() == "bearer" and cloud.modern:
        found = bearer
    for cookie in request.headers.get("Cookie", "").split(";"):
        name, _, value = cookie.strip().partition("=")
        if not found and name == "vcloud-token":
            found = value
    return found


def path_login(d: Dialect, cloud: Cloud, request: Request) -> Reply:
    """1.0: POST /api/v1.0/login; the organisations, and the token in a header or only in a cookie."""
    if not right(cloud, request):
        return Reply(401, b"", {"WWW-Authenticate": 'Basic realm="VMware vCloud Director"'})
    return d.reply(org_list(d, cloud), "orgList", 200, _given(cloud, cloud.sign_in()))


def _given(cloud: Cloud, token: str) -> dict[str, str]:
    cookie = {"Set-Cookie": f"vcloud-token={token}; Path=/"}
    return cookie if cloud.cookie_only else {"x-vcloud-authorization": token, **cookie}


def open_session(d: Dialect, cloud: Cloud, request: Request) -> Reply:
    """1.5 to 37: POST /api/sessions; gone from 38.0 on."""
    if number(d.version) >= (38, 0):
        raise Trouble(
            404, "NOT_FOUND", "POST /api/sessions was removed in API version 38.0: use /cloudapi/1.0.0/sessions."
        )
    if not right(cloud, request):
        return Reply(401, b"", {"WWW-Authenticate": 'Basic realm="VMware vCloud Director"'})
    token = cloud.sign_in()
    return d.reply(session(d, cloud), "session", 200, {**_given(cloud, token), **_bearer(cloud, token)})


def _bearer(cloud: Cloud, token: str) -> dict[str, str]:
    if not cloud.modern:
        return {}
    return {"X-VMWARE-VCLOUD-ACCESS-TOKEN": token, "X-VMWARE-VCLOUD-TOKEN-TYPE": "Bearer"}


def cloudapi_session(d: Dialect, cloud: Cloud, request: Request) -> Reply:
    """33 and later: POST /cloudapi/1.0.0/sessions; the token is a bearer. Errors are JSON."""
    if not right(cloud, request) or request.path.endswith("/provider"):
        return as_json(401, {"minorErrorCode": "UNAUTHORIZED", "message": NOBODY.words, "stackTrace": None})
    value = {
        "id": f"urn:vcloud:session:{cloud.user_id}",
        "site": {"name": "demo", "id": f"urn:vcloud:site:{cloud.vdc_id}"},
        "user": {"name": cloud.username, "id": f"urn:vcloud:user:{cloud.user_id}"},
        "org": {"name": cloud.org, "id": f"urn:vcloud:org:{cloud.org_id}"},
        "operatingOrg": {"name": cloud.org, "id": f"urn:vcloud:org:{cloud.org_id}"},
        "location": "us-1",
        "roles": ["Organization Administrator"],
        "sessionIdleTimeoutMinutes": 30,
    }
    headers = {"Content-Type": f"application/json;version={d.version}"}
    return Reply(200, json.dumps(value).encode(), {**_bearer(cloud, cloud.sign_in()), **headers})


def api_token(cloud: Cloud, request: Request, org: str) -> Reply:
    """POST /oauth/tenant/{org}/token: an API token for an access token."""
    form = dict(parse_qsl(request.body.decode(errors="replace")))
    if form.get("grant_type") != "refresh_token":
        return as_json(
            400, {"error": "unsupported_grant_type", "error_description": "grant_type must be refresh_token"}
        )
    if org.lower() != cloud.org.lower() or form.get("refresh_token") != cloud.api_token:
        return as_json(400, {"error": "invalid_grant", "error_description": "Failed to validate grant"})
    value = {"access_token": cloud.sign_in(), "token_type": "Bearer", "expires_in": 3600, "refresh_token": None}
    return as_json(200, value)
