"""The compute face of a simulated cloud: versions, sign-in check, microversions, and the way to each call.

Essex (/v1.1 and /v2 with the tenant) as in essex.txt, modern (/v2.1, /v2) as in modern.txt.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import replace
from typing import Any

from console.demo import extras, glance, keypairs, neutron, nova
from console.demo.calls import NOT_HERE, Call, Handler, Refusal
from console.demo.cloud import Cloud, Conflict, Missing
from console.demo.keystone import NEEDS_SIGN_IN
from console.demo.limits import Limits
from console.demo.shapes import Style
from console.demo.wire import Reply, Request, as_html, as_json

NEWEST_MINOR = 104

ESSEX_401 = """<html>
 <head>
  <title>401 Unauthorized</title>
 </head>
 <body>
  <h1>401 Unauthorized</h1>
  This server could not verify that you are authorized to access the document you requested. Either you supplied the \
wrong credentials (e.g., bad password), or your browser does not understand how to supply the credentials required.\
<br /><br />
Authentication required


 </body>
</html>"""


class Compute:
    """Answers Nova's calls for one cloud. `keystone` is named in 401 replies."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.limits = Limits(cloud)
        self.keystone = ""
        later = () if cloud.generation == "essex" else nova.LATER
        self.routes = (*nova.ROUTES, *later, *extras.ROUTES, *keypairs.ROUTES)

    def __call__(self, request: Request) -> Reply:
        path = request.path.rstrip("/")
        if path == "":
            return as_json(200, {"versions": self._versions(request.base)})
        _, version, *rest = path.split("/")
        if version == "image":
            return glance.answer(self.cloud, request, tuple(rest))
        if version == "networking" and self.cloud.generation == "modern":
            return neutron.answer(self.cloud, request, tuple(rest))
        if self.cloud.generation == "essex":
            return self._essex(request, version, rest)
        return self._modern(request, version, rest)

    def _versions(self, base: str) -> list[dict[str, Any]]:
        if self.cloud.generation == "essex":
            links = [{"href": f"{base}/v2/", "rel": "self"}]
            return [{"status": "CURRENT", "updated": "2011-01-21T11:33:21Z", "id": "v2.0", "links": links}]
        return [self._version(base, "v2"), self._version(base, "v2.1")]

    def _version(self, base: str, version: str) -> dict[str, Any]:
        new = version == "v2.1"
        return {
            "id": "v2.1" if new else "v2.0",
            "status": "CURRENT" if new else "DEPRECATED",
            "version": f"2.{NEWEST_MINOR}" if new else "",
            "min_version": "2.1" if new else "",
            "updated": "2013-07-23T11:33:21Z" if new else "2025-07-04T12:00:00Z",
            "links": [{"rel": "self", "href": f"{base}/{version}/"}],
        }

    def _essex_version(self, base: str, version: str) -> dict[str, Any]:
        docs = "http://docs.openstack.org/api/openstack-compute/1.1"
        return {
            "id": "v2.0",
            "status": "CURRENT",
            "updated": "2011-01-21T11:33:21Z",
            "media-types": [
                {"base": f"application/{kind}", "type": f"application/vnd.openstack.compute+{kind};version=2"}
                for kind in ("xml", "json")
            ],
            "links": [
                {"href": f"{base}/{version}/", "rel": "self"},
                {"href": f"{docs}/os-compute-devguide-1.1.pdf", "type": "application/pdf", "rel": "describedby"},
                {
                    "href": f"{docs}/wadl/os-compute-1.1.wadl",
                    "type": "application/vnd.sun.wadl+xml",
                    "rel": "describedby",
                },
            ],
        }

    def _essex(self, request: Request, version: str, rest: list[str]) -> Reply:
        token = self.cloud.tokens.find(request.headers.get("X-Auth-Token"))
        request_id = {"X-Compute-Request-Id": f"req-{uuid.uuid4()}"}
        if version not in ("v1.1", "v2"):
            return as_html(404, NOT_HERE, {"Content-Type": "text/plain; charset=UTF-8"})
        if token is None:
            return as_html(401, ESSEX_401, {"Www-Authenticate": f"Keystone uri='{self.keystone}/'"})
        if not rest:
            return as_json(200, {"version": self._essex_version(request.base, version)}, request_id)
        project_id, target = rest[0], "/" + "/".join(rest[1:])
        if token.project is None or self.cloud.projects[token.project] != project_id:
            return Refusal(400, "Malformed request url").reply().with_headers(request_id)
        # Nova matches its limits against path and query, the tenant in front: so "^/servers" never applies.
        query = "?" + "&".join(f"{key}={value}" for key, value in request.query) if request.query else ""
        slow = self.limits.check(token.user.id, request.method, f"/{project_id}{target}{query}")
        if slow is not None:
            return slow
        style = Style(self.cloud, request, version, project_id, 1)
        reply = self._answer(Call(self.cloud, request, token, style, project_id, self.limits), target)
        # Its actions and its unknown paths answer in text, and without the id (essex.txt, stop and tenantnets).
        return reply.with_headers(request_id) if "json" in reply.headers["Content-Type"] else reply

    def _modern(self, request: Request, version: str, rest: list[str]) -> Reply:
        ids = f"req-{uuid.uuid4()}"
        headers = {"X-Compute-Request-Id": ids, "X-Openstack-Request-Id": ids}
        if version not in ("v2", "v2.1"):
            return as_html(404, NOT_HERE, {"Content-Type": "text/plain; charset=UTF-8"})
        asked, minor = _asked(request) if version == "v2.1" else ("", 1)
        if asked:
            headers |= {
                "Openstack-Api-Version": f"compute {asked}",
                "X-Openstack-Nova-Api-Version": asked,
                "Vary": "OpenStack-API-Version, X-OpenStack-Nova-API-Version",
            }
        if not rest:
            return as_json(200, {"version": self._described(request.base, version)}, headers)
        token = self.cloud.tokens.find(request.headers.get("X-Auth-Token"))
        if token is None or token.project is None:
            headers = {key: headers[key] for key in ("X-Compute-Request-Id", "X-Openstack-Request-Id")}
            headers["Www-Authenticate"] = f'Keystone uri="{self.keystone}/"'
            error = {"code": 401, "title": "Unauthorized", "message": NEEDS_SIGN_IN}
            return as_json(401, {"error": error}, headers)
        if minor is None:
            words = f"API Version String '{asked}' is of invalid format. Must be of format MajorNum.MinorNum."
            return Refusal(400, words).reply().with_headers(headers)
        if not 1 <= minor <= NEWEST_MINOR:
            words = f"Version {asked} is not supported by the API. Minimum is 2.1 and maximum is 2.{NEWEST_MINOR}."
            return Refusal(406, words).reply().with_headers(headers)
        project_id = self.cloud.projects[token.project]
        if rest[0] in self.cloud.projects.values():
            if rest[0] != project_id:
                return Refusal(400, "Malformed request url").reply().with_headers(headers)
            rest = rest[1:]
        style = Style(self.cloud, request, version, project_id, minor)
        call = Call(self.cloud, request, token, style, project_id, self.limits, request_id=ids)
        return self._answer(call, "/" + "/".join(rest)).with_headers(headers)

    def _described(self, base: str, version: str) -> dict[str, Any]:
        shown = self._version(base, version)
        kind = "application/vnd.openstack.compute+json;version=" + ("2.1" if version == "v2.1" else "2")
        shown["links"].append({"rel": "describedby", "type": "text/html", "href": "http://docs.openstack.org/"})
        shown["media-types"] = [{"base": "application/json", "type": kind}]
        return shown

    def _answer(self, call: Call, target: str) -> Reply:
        for method, pattern, handler in self.routes:
            found = pattern.match(target)
            if found and method == call.request.method:
                return _safely(handler, call, found.groups())
        return as_html(404, NOT_HERE, {"Content-Type": "text/plain; charset=UTF-8"})


def _safely(handler: Handler, call: Call, parts: tuple[str, ...]) -> Reply:
    call = replace(call, parts=parts)
    try:
        return handler(call)
    except Missing as missing:
        return call.missing(f"Instance {missing} could not be found.").reply()
    except Conflict as conflict:
        return Refusal(409, str(conflict)).reply()
    except Refusal as refusal:
        return refusal.reply()


def _asked(request: Request) -> tuple[str, int | None]:
    """The microversion that the headers ask for, as written and as its minor number (None: not a version)."""
    named = request.headers.get("OpenStack-API-Version", "").split()
    word = named[1] if len(named) == 2 and named[0] == "compute" else ""
    word = word or request.headers.get("X-OpenStack-Nova-API-Version", "") or "2.1"
    if word == "latest":
        return f"2.{NEWEST_MINOR}", NEWEST_MINOR
    found = re.fullmatch(r"2\.(\d{1,4})", word)
    if found:
        return word, int(found[1])
    return word, 0 if re.fullmatch(r"\d+\.\d+", word) else None
