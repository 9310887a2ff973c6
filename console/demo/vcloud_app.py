"""The wire of a simulated cell: who may call, in which version, and what is at each path."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import unquote

from console.demo import vcloud_signin as signin
from console.demo.vcloud_actions import Actions
from console.demo.vcloud_cloud import Cloud, number
from console.demo.vcloud_machine import seedling, template, vapp, vm
from console.demo.vcloud_query import Cache, query, query_list
from console.demo.vcloud_sections import Sections
from console.demo.vcloud_shapes import (
    catalog,
    catalog_item,
    error,
    network,
    org,
    org_list,
    session,
    storage_profile,
    task,
    tasks_list,
    vdc,
    versions,
)
from console.demo.vcloud_things import Trouble, VApp, Vm, forbidden, invalid
from console.demo.vcloud_xml import Dialect, declared
from console.demo.wire import Reply, Request, as_html

VERSIONS = "/api/versions"
OAUTH = re.compile(r"/oauth/tenant/([^/]+)/token")
CLOUDAPI = re.compile(r"/cloudapi/1\.0\.0/sessions(/provider|/current)?")
THING = re.compile(r"vApp/(vapp|vm)-([\w-]+)(/.*)?")


class Cell:
    """Answers requests over one cloud."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.actions = Actions(cloud)
        self.sections = Sections(cloud)
        self._cache: Cache = {}

    def __call__(self, request: Request) -> Reply:
        """The reply to one request; troubles become Error documents."""
        with self.cloud.lock:
            self.cloud.advance()
            d = Dialect(signin.spoken(self.cloud, request) or self.cloud.versions[0], request.base)
            try:
                return self._answer(d, request)
            except Trouble as trouble:
                return self._say(d, trouble)

    def _say(self, d: Dialect, trouble: Trouble) -> Reply:
        if trouble.status == 401 and not self.cloud.modern:
            return Reply(401)  # bodies of old cells are empty here
        mark = f";version={d.version}" if d.since("1.5") else ""
        headers = {"Content-Type": f"application/vnd.vmware.vcloud.error+xml{mark}"}
        return Reply(trouble.status, error(d, trouble), headers)

    def _answer(self, d: Dialect, request: Request) -> Reply:
        cloud, path, method = self.cloud, request.path, request.method
        if path == VERSIONS and method == "GET":
            return Reply(200, versions(cloud, request.base), {"Content-Type": "text/xml;charset=UTF-8"})
        newest = number(cloud.generation)
        granted = OAUTH.fullmatch(path)
        if granted and method == "POST" and newest >= (36, 0):
            return signin.api_token(cloud, request, unquote(granted[1]))
        old = cloud.generation == "1.0"
        root = "/api/v1.0/" if old else "/api/"
        is_cloudapi = bool(CLOUDAPI.fullmatch(path)) and newest >= (33, 0)
        if not path.startswith(root) and not is_cloudapi:
            return as_html(404, "<html><h1>404 Not Found</h1></html>")
        if signin.spoken(cloud, request) is None:
            raise signin.not_acceptable(cloud)
        if is_cloudapi and method == "POST":
            return signin.cloudapi_session(d, cloud, request)
        rest = path.removeprefix(root)
        if old and rest == "login" and method == "POST":
            return signin.path_login(d, cloud, request)
        if not old and rest == "sessions" and method == "POST":
            return signin.open_session(d, cloud, request)
        token = signin.token_of(cloud, request)
        if not cloud.known(token):
            raise Trouble(cloud.idle_status, signin.NOBODY.minor, signin.NOBODY.words)
        if (rest.rstrip("/") in ("session", "logout") or is_cloudapi) and method in ("DELETE", "POST"):
            cloud.sessions.pop(token, None)
            return Reply(204)
        return self._inside(d, request, rest)

    def _inside(self, d: Dialect, request: Request, rest: str) -> Reply:
        thing = THING.fullmatch(rest)
        if thing:
            owner = self._thing(thing[1], thing[2])
            return self._of_thing(d, request, owner, (thing[3] or "").rstrip("/"))
        cloud = self.cloud
        if request.method == "POST" and rest.startswith(f"vdc/{cloud.vdc_id}/action/"):
            return self.actions.make(d, request, rest.rpartition("/")[2])
        kind, _, id_ = rest.rstrip("/").partition("/")
        if request.method == "POST" and kind == "task" and id_.endswith("/action/cancel"):
            return self._cancel(id_.partition("/")[0])
        if request.method != "GET":
            raise Trouble(405, "METHOD_NOT_ALLOWED", f"{request.method} is not allowed here.")
        if rest == "query" and d.since("1.5"):
            if request.param("type") is None:
                return d.reply(query_list(d), "query.queryList")
            return query(d, cloud, request, self._cache)
        return self._read(d, kind, id_)

    def _read(self, d: Dialect, kind: str, id_: str) -> Reply:
        cloud = self.cloud
        singles: dict[tuple[str, str], tuple[Callable[[Dialect, Cloud], bytes], str]] = {
            ("org", ""): (org_list, "orgList"),
            ("session", ""): (session, "session"),
            ("org", cloud.org_id): (org, "org"),
            ("vdc", cloud.vdc_id): (vdc, "vdc"),
            ("catalog", cloud.catalog_id): (catalog, "catalog"),
            ("tasksList", cloud.org_id): (tasks_list, "tasksList"),
            ("vdcStorageProfile", cloud.storage_id): (storage_profile, "vdcStorageProfile"),
        }
        write = singles.get((kind, id_))
        if write is not None and (kind != "session" or d.since("1.5")):
            return d.reply(write[0](d, cloud), write[1])
        if kind == "network" and id_ in cloud.networks:
            return d.reply(network(d, cloud, cloud.networks[id_]), "orgNetwork" if d.since("1.5") else "network")
        if kind == "task" and id_ in cloud.tasks:
            return d.reply(declared_task(d, cloud, id_), "task")
        if kind == "catalogItem":
            for one in cloud.templates.values():
                if one.item_id == id_:
                    return d.reply(catalog_item(d, cloud, one), "catalogItem")
        if kind == "vAppTemplate":
            return self._template(d, id_)
        raise forbidden(kind.lower(), id_)

    def _template(self, d: Dialect, id_: str) -> Reply:
        prefix, _, bare = id_.partition("-")
        for one in self.cloud.templates.values():
            if prefix == "vappTemplate" and one.id == bare:
                return d.reply(template(d, self.cloud, one), "vAppTemplate")
            for seed in one.machines:
                if prefix == "vm" and seed.id == bare:
                    return d.reply(declared(seedling(d, one, seed)), "vm")
        raise forbidden("vapptemplate", bare)

    def _thing(self, prefix: str, id_: str) -> VApp | Vm:
        found = self.cloud.vapps.get(id_) if prefix == "vapp" else self.cloud.vms.get(id_)
        if found is None:
            raise forbidden("vapp" if prefix == "vapp" else "vm", id_)
        return found

    def _of_thing(self, d: Dialect, request: Request, owner: VApp | Vm, below: str) -> Reply:
        if below == "" and request.method == "GET":
            if isinstance(owner, Vm):
                return d.reply(declared(vm(d, self.cloud, owner)), "vm")
            return d.reply(vapp(d, self.cloud, owner), "vApp")
        if request.method == "POST" and ("/action/" in below):
            return self.actions.act(d, request, owner, below)
        return self.sections.serve(d, request, owner, below)

    def _cancel(self, id_: str) -> Reply:
        found = self.cloud.tasks.get(id_)
        if found is None:
            raise forbidden("task", id_)
        if found.over:
            raise invalid("The task is over and cannot be canceled.")
        found.status, found.ended = "canceled", self.cloud.clock()
        self.cloud.stamp += 1
        return Reply(204)


def declared_task(d: Dialect, cloud: Cloud, id_: str) -> bytes:
    """A task as a document."""
    return declared(task(d, cloud, cloud.tasks[id_]))
