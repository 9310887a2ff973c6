"""The compute face of a simulated Diablo (Nova 2011.3): its own X-Auth sign-in, and v1.0 and v1.1, as in diablo.txt.

What was not recorded follows CLOUDS.md 2.4.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from console.demo import diablo_calls as calls
from console.demo.calls import Call, Refusal
from console.demo.cloud import Cloud, Conflict, Missing
from console.demo.diablo_shapes import DiabloStyle
from console.demo.keystone_diablo import found_user, management
from console.demo.limits import Limits
from console.demo.mishaps import Kind, Mishap
from console.demo.tokens import Token
from console.demo.wire import Reply, Request, as_html, as_json

UNAUTHORIZED = (
    "This server could not verify that you are authorized to access the document you requested. Either you supplied "
    "the wrong credentials (e.g., bad password), or your browser does not understand how to supply the credentials "
    "required."
)
BROKEN = "The server has either erred or is incapable of performing the requested operation."
FAULTS = {400: "badRequest", 401: "unauthorized", 403: "forbidden", 404: "itemNotFound", 409: "inProgress"}
SENTENCES = {404: "The resource could not be found.", 501: BROKEN}
TITLES = {404: "404 Not Found", 501: "501 Not Implemented"}


def fault(code: int, words: str) -> Reply:
    """A fault document of Diablo's."""
    name = FAULTS.get(code, "cloudServersFault")
    return as_json(code, {name: {"message": words, "code": code}}, {"Content-Type": "application/json; charset=UTF-8"})


def page(code: int) -> Reply:
    """What its web framework says when no controller answers."""
    return as_html(
        code,
        f"<html>\n <head>\n  <title>{TITLES[code]}</title>\n </head>\n <body>\n  <h1>{TITLES[code]}</h1>\n"
        f"  {SENTENCES[code]}<br /><br />\n\n\n\n </body>\n</html>",
    )


class Diablo:
    """Answers Nova's calls for one cloud. Accepts Keystone's tokens and its own."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.limits = Limits(cloud)
        self.keystone = ""

    def __call__(self, request: Request) -> Reply:
        _, version, *rest = (*request.path.rstrip("/").split("/"), "")
        rest = rest[:-1]
        if version == "":
            return as_json(200, {"versions": [self._version(request.base, one) for one in ("v1.1", "v1.0")]})
        if version not in calls.ROUTES:
            return page(404)
        given = request.headers.get("X-Auth-Token")
        if given is None:
            return self._sign_in(request, version, rest)
        token = self.cloud.tokens.find(given)
        project_id = self._project_id(request, version, rest, token)
        if token is None or project_id is None:
            return fault(401, UNAUTHORIZED)
        over = self.limits.exceeded(token.user.id, request.method, _full(request))
        if over is not None:
            return self.over_limit(over[0])
        path = "/" + "/".join(rest if version == "v1.0" else rest[1:])
        if path == "/" and version == "v1.0":
            return as_json(200, {"version": self._described(request.base, version)})
        style = DiabloStyle(self.cloud, request, version, project_id)
        return self._answer(Call(self.cloud, request, token, style, project_id, self.limits), version, path)

    def tell(self, mishap: Mishap, _: Request) -> Reply | None:
        """Its own way of saying that a call was one too many."""
        if mishap.kind is not Kind.OVER_LIMIT:
            return None
        return self.over_limit("Only 10 GET request(s) can be made to * every minute.")

    def over_limit(self, words: str) -> Reply:
        """403, JSON that says it is HTML, and no Retry-After (diablo.txt, v1.0 sub resume)."""
        document = {"message": "This request was rate-limited.", "code": 403, "details": words}
        return as_html(403, calls.dumps({"overLimitFault": document}))

    def _version(self, base: str, version: str) -> dict[str, Any]:
        return {
            "status": "CURRENT" if version == "v1.1" else "DEPRECATED",
            "updated": "2011-01-21T11:33:21Z",
            "id": version,
            "links": [{"href": f"{base}/{version}/", "rel": "self"}],
        }

    def _described(self, base: str, version: str) -> dict[str, Any]:
        shown = self._version(base, version)
        docs = f"http://docs.rackspacecloud.com/servers/api/{version}"
        kind = f"application/vnd.openstack.compute-{version}"
        shown["media-types"] = [
            {"base": "application/xml", "type": f"{kind}+xml"},
            {"base": "application/json", "type": f"{kind}+json"},
        ]
        shown["links"] += [
            {"href": f"{docs}/cs-devguide-20110125.pdf", "type": "application/pdf", "rel": "describedby"},
            {"href": f"{docs}/application.wadl", "type": "application/vnd.sun.wadl+xml", "rel": "describedby"},
        ]
        return shown

    def _sign_in(self, request: Request, version: str, rest: list[str]) -> Reply:
        if rest:
            words = "Authentication requests must be made against a version root (e.g. /v1.0 or /v1.1)."
            return fault(401, words)
        for name in ("X-Auth-User", "X-Auth-Key"):
            if request.headers.get(name) is None:
                return fault(401, f"Could not find '{name}' in request.")
        user = found_user(self.cloud, request.headers.get("X-Auth-User"), request.headers.get("X-Auth-Key"))
        project = request.headers.get("X-Auth-Project-Id")
        if user is None:
            # With a wrong key and no project its sign-in breaks instead of refusing (CLOUDS.md 2.4).
            return fault(401, UNAUTHORIZED) if project is not None else fault(500, BROKEN)
        named = user.projects[0] if project is None else self._name_of(project)
        token = self.cloud.tokens.issue(user, named if named in user.projects else None)
        headers = management(self.cloud, token, request.base, version)
        if token.project is None and version == "v1.1":
            headers["X-Server-Management-Url"] += f"/{project}"  # it looks at the project with the next call only
        return Reply(204, b"", headers)

    def _name_of(self, asked: str) -> str | None:
        return next((name for name, held in self.cloud.projects.items() if asked in (name, held)), None)

    def _project_id(self, request: Request, version: str, rest: list[str], token: Token | None) -> str | None:
        """v1.1 has the project in its path; v1.0 in a header, or it is the user's first."""
        if token is None:
            return None
        if version == "v1.1":
            asked = rest[0] if rest else ""
        else:
            asked = request.headers.get("X-Auth-Project-Id") or token.project or next(iter(token.user.projects), "")
        name = self._name_of(asked)
        return self.cloud.projects[name] if name is not None and name in token.user.projects else None

    def _answer(self, call: Call, version: str, path: str) -> Reply:
        for method, pattern, handler in calls.ROUTES[version]:
            found = pattern.match(path)
            if not found or method != call.request.method:
                continue
            try:
                return handler(replace(call, parts=calls.resolved(call, path, found.groups())))
            except Missing:
                return fault(404, SENTENCES[404])
            except Conflict as conflict:
                return fault(409 if "rebuild" in str(conflict) else 400, str(conflict))
            except Refusal as refusal:
                return page(501) if refusal.code == 501 else fault(refusal.code, refusal.words)
        return page(404)


def _full(request: Request) -> str:
    """Its limits match the whole URL, so that "^/servers" never applies (diablo.txt: 50 remain after two creates)."""
    query = "?" + "&".join(f"{key}={value}" for key, value in request.query) if request.query else ""
    return f"{request.base}{request.path}{query}"
