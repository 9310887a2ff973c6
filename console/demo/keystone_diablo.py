"""The identity face of a simulated Diablo: Keystone 2011.3, its v2.0 tokens and its legacy sign-in.

No exchange with it was recorded: the shapes follow CLOUDS.md 1 and 2.4 (expires without a zone, no endpoints_links,
codes as strings, a root that is one version of status ALPHA) and Essex for the rest.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from console.demo.cloud import Cloud
from console.demo.keystone import fixed_id
from console.demo.tokens import Token, User
from console.demo.wire import Reply, Request, as_json


def unzoned(moment: datetime) -> str:
    """2030-02-05T00:00:00: UTC, unsaid."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S")


def found_user(cloud: Cloud, name: object, secret: object) -> User | None:
    """The enabled user of that name whose password, or access key, this is."""
    for user in list(cloud.users.values()):
        if user.enabled and user.name == name and user.password == secret:
            return user
    return None


class DiabloIdentity:
    """Answers Keystone's calls for one cloud. `compute` gives the compute face's base URL."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.compute = ""
        self.identity = ""

    def __call__(self, request: Request) -> Reply:
        path = request.path.rstrip("/")
        match request.method, path:
            case "GET", "" | "/v2.0":
                return as_json(200, {"version": self._version(request.base)})
            case "GET", "/v1.0" | "/v1.1":
                return self._legacy(request, path.strip("/"))
            case "POST", "/v2.0/tokens":
                return self._sign_in(request)
            case "GET", "/v2.0/tenants":
                token = self.cloud.tokens.find(request.headers.get("X-Auth-Token"))
                if token is None:
                    return self._refused("No valid token provided. Please authenticate.")
                tenants = [self._tenant(name) | {"description": name, "enabled": True} for name in token.user.projects]
                return as_json(200, {"tenants": tenants, "tenants_links": []})
        return self._fault(404, "itemNotFound", "The resource could not be found.")

    def _version(self, base: str) -> dict[str, Any]:
        return {
            "id": "v2.0",
            "status": "ALPHA",
            "updated": "2011-04-23T00:00:00Z",
            "links": [{"rel": "self", "href": f"{base}/v2.0"}],
            "media-types": [
                {"base": "application/json", "type": "application/vnd.openstack.identity-v2.0+json"},
            ],
        }

    def _fault(self, code: int, name: str, words: str) -> Reply:
        return as_json(code, {name: {"message": words, "code": str(code)}})

    def _refused(self, words: str) -> Reply:
        return self._fault(401, "unauthorized", words)

    def _tenant(self, name: str) -> dict[str, Any]:
        return {"id": self.cloud.projects[name], "name": name}

    def _legacy(self, request: Request, version: str) -> Reply:
        user = found_user(self.cloud, request.headers.get("X-Auth-User"), request.headers.get("X-Auth-Key"))
        project = request.headers.get("X-Tenant") or request.headers.get("X-Auth-Project-Id")
        if user is None or (project and project not in user.projects):
            return self._refused("Unauthorized")
        token = self.cloud.tokens.issue(user, project or user.projects[0])
        return Reply(204, b"", management(self.cloud, token, self.compute, version))

    def _sign_in(self, request: Request) -> Reply:
        body = request.json()
        auth = body.get("auth") if isinstance(body, dict) else None
        given = auth.get("passwordCredentials") if isinstance(auth, dict) else None
        if not isinstance(auth, dict) or not isinstance(given, dict):
            return self._fault(400, "badRequest", "Expecting auth")
        user = found_user(self.cloud, given.get("username"), given.get("password"))
        if user is None:
            return self._refused("Unauthorized")
        asked = auth.get("tenantName") or auth.get("tenantId")
        named = next((name for name, held in self.cloud.projects.items() if asked in (name, held)), None)
        if asked and named not in user.projects:
            return self._refused("Unauthorized on this tenant")
        return as_json(200, {"access": self._access(self.cloud.tokens.issue(user, named))})

    def _access(self, token: Token) -> dict[str, Any]:
        user = token.user
        shown: dict[str, Any] = {"expires": unzoned(token.expires), "id": token.id}
        role = {"id": fixed_id("role", "Member"), "name": "Member"}
        access: dict[str, Any] = {"token": shown, "user": {"id": user.id, "name": user.name, "roles": []}}
        if token.project:
            shown["tenant"] = self._tenant(token.project)
            access["user"]["roles"] = [role | {"tenantId": self.cloud.projects[token.project]}]
            access["serviceCatalog"] = self._catalog(token.project)
        return access

    def _catalog(self, project: str) -> list[dict[str, Any]]:
        catalog = []
        for kind, name, url in (
            ("compute", "nova", f"{self.compute}/v1.1/{self.cloud.projects[project]}"),
            ("identity", "keystone", f"{self.identity}/v2.0"),
        ):
            endpoint = {"adminURL": url, "region": self.cloud.region, "publicURL": url, "internalURL": url}
            catalog.append({"endpoints": [endpoint], "type": kind, "name": name})
        return catalog


def management(cloud: Cloud, token: Token, base: str, version: str) -> dict[str, str]:
    """The headers of a legacy sign-in. In v1.1 the project's name is in the URL as it is, blanks and all."""
    project = f"/{cloud.projects[token.project]}" if version == "v1.1" and token.project else ""
    return {
        "X-Auth-Token": token.id,
        "X-Server-Management-Url": f"{base}/{version}{project}",
        "X-Storage-Url": "",
        "X-CDN-Management-Url": "",
        "Content-Type": "text/plain; charset=UTF-8",
    }
