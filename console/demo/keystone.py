"""The identity face of a simulated cloud: Keystone v2.0 for Essex, v3 for modern.

Replies as in captures essex.txt (2012.1.3) and modern.txt (Keystone 30);
what those do not hold follows CLOUDS.md 2.5 and 2.6.
"""

from __future__ import annotations

from datetime import datetime
from hashlib import md5
from typing import Any

from console.demo.cloud import Cloud
from console.demo.tokens import Token, User
from console.demo.wire import Reply, Request, as_html, as_json

NOT_FOUND_PAGE = (
    "<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n<p>The requested URL was not "
    "found on the server. If you entered the URL manually please check your spelling and try again.</p>\n"
)
NEEDS_SIGN_IN = "The request you have made requires authentication."


def fixed_id(*parts: str) -> str:
    """A 32-digit id that is the same in every run, for roles, services and endpoints."""
    return md5(":".join(parts).encode(), usedforsecurity=False).hexdigest()


class Identity:
    """Answers Keystone's calls for one cloud. `compute` gives the compute face's base URL."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.compute = ""

    def __call__(self, request: Request) -> Reply:
        path = request.path.rstrip("/")
        if self.cloud.generation == "essex":
            return self._v2(request, path)
        reply = self._v3(request, path)
        return reply.with_headers({"Vary": "X-Auth-Token"})

    # Version documents

    def _v2_document(self, base: str) -> dict[str, Any]:
        return {
            "id": "v2.0",
            "status": "beta",
            "updated": "2011-11-19T00:00:00Z",
            "links": [
                {"rel": "self", "href": f"{base}/v2.0/"},
                {"rel": "describedby", "type": "text/html", "href": "http://docs.openstack.org/"},
            ],
            "media-types": [
                {"base": "application/json", "type": "application/vnd.openstack.identity-v2.0+json"},
                {"base": "application/xml", "type": "application/vnd.openstack.identity-v2.0+xml"},
            ],
        }

    def _v3_document(self, base: str) -> dict[str, Any]:
        return {
            "id": "v3.14",
            "status": "stable",
            "updated": "2020-04-07T00:00:00Z",
            "links": [{"rel": "self", "href": f"{base}/v3/"}],
            "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
        }

    # Essex

    def _v2(self, request: Request, path: str) -> Reply:
        match request.method, path:
            case "GET", "":
                return as_json(300, {"versions": {"values": [self._v2_document(request.base)]}})
            case "GET", "/v2.0":
                return as_json(200, {"version": self._v2_document(request.base)})
            case "POST", "/v2.0/tokens":
                return self._v2_sign_in(request)
            case "GET", "/v2.0/tenants":
                token = self.cloud.tokens.find(request.headers.get("X-Auth-Token"))
                if token is None:
                    return self._v2_refused("Could not find token")
                return as_json(200, {"tenants": [self._tenant(n) for n in token.user.projects], "tenants_links": []})
        return as_html(404, "404 Not Found\n\nThe resource could not be found.\n\n   ")

    def _v2_refused(self, words: str, code: int = 401, title: str = "Not Authorized") -> Reply:
        return as_json(code, {"error": {"message": words, "code": code, "title": title}}, {"Vary": "X-Auth-Token"})

    def _v2_sign_in(self, request: Request) -> Reply:
        body = request.json()
        auth = body.get("auth") if isinstance(body, dict) else None
        if not isinstance(auth, dict):
            return self._v2_refused("Expecting to find auth in request body.", 400, "Bad Request")
        given = auth.get("passwordCredentials")
        user: User | None = None
        if isinstance(given, dict):
            user = self._user(name=given.get("username"), id=given.get("userId"))
            if user is None or user.password != given.get("password"):
                return self._v2_refused("Invalid user / password")
        elif isinstance(auth.get("token"), dict):
            held = self.cloud.tokens.find(str(auth["token"].get("id")))
            user = held.user if held else None
        if user is None:
            return self._v2_refused("Invalid user / password")
        wanted = auth.get("tenantName") or self._name_of(auth.get("tenantId"))
        if (auth.get("tenantName") or auth.get("tenantId")) and wanted not in user.projects:
            return self._v2_refused(f"User {user.id} is unauthorized for tenant {auth.get('tenantName') or wanted}")
        token = self.cloud.tokens.issue(user, wanted)
        return as_json(200, {"access": self._access(token)}, {"Vary": "X-Auth-Token"})

    def _access(self, token: Token) -> dict[str, Any]:
        user = token.user
        roles = [{"id": fixed_id("role", "member"), "name": "Member"}] if token.project else []
        shown: dict[str, Any] = {"expires": zulu(token.expires), "id": token.id}
        if token.project:
            shown["tenant"] = self._tenant(token.project)
        return {
            "token": shown,
            # An unscoped token of Essex has a dict here (CLOUDS.md 2.5).
            "serviceCatalog": self._v2_catalog(token.project) if token.project else {},
            "user": {"username": user.name, "roles_links": [], "id": user.id, "roles": roles, "name": user.name},
        }

    def _v2_catalog(self, project: str) -> list[dict[str, Any]]:
        tenant = self.cloud.projects[project]
        catalog = []
        for kind, name, url in (
            ("image", "Image Service", f"{self.compute}/image/v1"),
            ("compute", "Compute Service", f"{self.compute}/v1.1/{tenant}"),
            ("identity", "Identity Service", f"{self.identity}/v2.0"),
        ):
            endpoint = {"adminURL": url, "region": self.cloud.region, "publicURL": url, "internalURL": url}
            catalog.append({"endpoints": [endpoint], "endpoints_links": [], "type": kind, "name": name})
        return catalog

    def _tenant(self, name: str) -> dict[str, Any]:
        return {"description": name, "enabled": True, "id": self.cloud.projects[name], "name": name}

    # Modern

    identity = ""
    """The identity face's own base URL, as the catalog gives it."""

    def _v3(self, request: Request, path: str) -> Reply:
        held = self.cloud.tokens.find(request.headers.get("X-Auth-Token"))
        subject = self.cloud.tokens.find(request.headers.get("X-Subject-Token"))
        match request.method, path:
            case "GET", "":
                return as_json(300, {"versions": {"values": [self._v3_document(request.base)]}})
            case "GET", "/v3":
                return as_json(200, {"version": self._v3_document(request.base)})
            case "POST", "/v3/auth/tokens":
                return self._v3_sign_in(request)
            case (("GET" | "HEAD" | "DELETE"), "/v3/auth/tokens") if held is None:
                return self._v3_refused(request)
            case (("GET" | "HEAD"), "/v3/auth/tokens") if subject is not None:
                return as_json(200, {"token": self._token(subject)}, {"X-Subject-Token": subject.id})
            case "DELETE", "/v3/auth/tokens" if subject is not None:
                self.cloud.tokens.revoke(subject.id)
                return Reply(204)
            case (("GET" | "HEAD" | "DELETE"), "/v3/auth/tokens"):
                return self._v3_error(404, "Failed to validate token", "Not Found")
            case "GET", "/v3/auth/projects" | "/v3/auth/catalog" if held is None:
                return self._v3_refused(request)
            case "GET", "/v3/auth/projects" if held is not None:
                listed = [self._project(name) | {"enabled": True, "links": {}} for name in held.user.projects]
                links = {"next": None, "self": f"{request.base}/v3/auth/projects", "previous": None}
                return as_json(200, {"projects": listed, "links": links})
            case "GET", "/v3/auth/catalog" if held is not None:
                links = {"next": None, "self": f"{request.base}/v3/auth/catalog", "previous": None}
                return as_json(200, {"catalog": self._v3_catalog() if held.project else [], "links": links})
        return Reply(404, NOT_FOUND_PAGE.encode(), {"Content-Type": "text/html; charset=utf-8"})

    def _v3_error(self, code: int, words: str, title: str) -> Reply:
        return as_json(code, {"error": {"code": code, "message": words, "title": title}})

    def _v3_refused(self, request: Request) -> Reply:
        words = {"Www-Authenticate": f'Keystone uri="{request.base}/v3"'}
        return self._v3_error(401, NEEDS_SIGN_IN, "Unauthorized").with_headers(words)

    def _v3_sign_in(self, request: Request) -> Reply:
        try:
            auth = request.json()["auth"]
            methods = auth["identity"]["methods"]
            given = {method: auth["identity"][method] for method in methods}
            scope = auth.get("scope")
            found = self._v3_user(given)
        except (KeyError, TypeError, AttributeError):
            words = "Invalid input for field 'identity': it does not hold what its methods need."
            return self._v3_error(400, words, "Bad Request")
        if found is None:
            named = given.get("application_credential")
            if isinstance(named, dict) and not any(
                named["id"] in user.application_credentials for user in self._users()
            ):
                return self._v3_error(404, f"Could not find Application Credential: {named['id']}.", "Not Found")
            return self._v3_refused(request)
        user, project, credential = found
        if isinstance(scope, dict) and "project" in scope:
            if credential:
                return self._v3_error(401, "Application credentials cannot request a scope.", "Unauthorized")
            asked = scope["project"]
            project = self._name_of(asked.get("id")) if "id" in asked else asked.get("name")
            if project not in user.projects or not self._in_domain(user, asked.get("domain")):
                return self._v3_refused(request)
        token = self.cloud.tokens.issue(user, project, next(iter(given)), credential)
        return as_json(201, {"token": self._token(token)}, {"X-Subject-Token": token.id})

    def _v3_user(self, given: dict[str, Any]) -> tuple[User, str | None, str] | None:
        """(user, project, application credential id) for what was given; None when it is wrong."""
        if "password" in given:
            asked = given["password"]["user"]
            user = self._user(name=asked.get("name"), id=asked.get("id"))
            fits = user is not None and ("id" in asked or self._in_domain(user, asked["domain"]))
            if user is None or not fits or user.password != asked["password"]:
                return None
            return user, None, ""
        if "token" in given:
            held = self.cloud.tokens.find(given["token"]["id"])
            return (held.user, held.project, held.credential) if held else None
        asked = given["application_credential"]
        for user in self._users():
            secret, project = user.application_credentials.get(asked["id"], ("", ""))
            if user.enabled and secret and secret == asked["secret"]:
                return user, project, asked["id"]
        return None

    def _in_domain(self, user: User, domain: dict[str, str] | None) -> bool:
        names = set((domain or {}).values())
        return bool(names) and names <= {user.domain, user.domain.capitalize()}

    def _user(self, *, name: object, id: object) -> User | None:
        for user in self._users():
            if user.enabled and ((name is not None and user.name == name) or (id is not None and user.id == id)):
                return user
        return None

    def _users(self) -> list[User]:
        return list(self.cloud.users.values())

    def _name_of(self, project_id: object) -> str | None:
        return next((name for name, held in self.cloud.projects.items() if held == project_id), None)

    def _project(self, name: str) -> dict[str, Any]:
        domain = {"id": "default", "name": "Default"}
        return {"domain": domain, "id": self.cloud.projects[name], "name": name}

    def _token(self, token: Token) -> dict[str, Any]:
        user = token.user
        domain = {"id": user.domain, "name": user.domain.capitalize()}
        shown: dict[str, Any] = {
            "methods": [token.method],
            "user": {"domain": domain, "id": user.id, "name": user.name, "password_expires_at": None},
            "audit_ids": [token.id[:22]],
            "expires_at": micro(token.expires),
            "issued_at": micro(token.issued),
        }
        if token.project:
            roles = [{"id": fixed_id("role", name), "name": name} for name in ("member", "reader")]
            shown |= {"project": self._project(token.project), "is_domain": False, "roles": roles}
            shown["catalog"] = self._v3_catalog()
        if token.credential:
            shown["application_credential"] = {"id": token.credential, "name": "muster", "restricted": True}
        return shown

    def _v3_catalog(self) -> list[dict[str, Any]]:
        catalog = []
        for kind, name, url in (
            ("compute", "nova", f"{self.compute}/v2.1"),
            ("image", "glance", f"{self.compute}/image"),
            ("network", "neutron", f"{self.compute}/networking"),
            ("identity", "keystone", self.identity),
        ):
            endpoints = [
                {
                    "id": fixed_id(kind, face),
                    "interface": face,
                    "region_id": self.cloud.region,
                    "url": url,
                    "region": self.cloud.region,
                }
                for face in ("public", "internal", "admin")
            ]
            catalog.append({"endpoints": endpoints, "id": fixed_id(kind), "type": kind, "name": name})
        return catalog


def zulu(moment: datetime) -> str:
    """2026-11-22T16:38:34Z."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def micro(moment: datetime) -> str:
    """2026-11-22T16:38:34.000000Z, as Keystone v3 writes times."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
