"""The server calls of a simulated Nova: listing, one server, create, rename, delete, metadata and actions."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from console.demo.calls import Call, Refusal, route
from console.demo.cloud import Conflict, Image, Missing
from console.demo.instance import MOVES, STATES, Instance
from console.demo.wire import Reply, as_html, as_json

SORT_KEYS: dict[str, Callable[[Instance], Any]] = {
    "created_at": lambda one: one.created,
    "updated_at": lambda one: one.updated,
    "uuid": lambda one: one.id,
    "display_name": lambda one: one.name,
    "vm_state": lambda one: one.vm_state,
    "power_state": lambda one: one.power_state,
    "task_state": lambda one: one.task_state or "",
    "key_name": lambda one: one.key_name or "",
    "project_id": lambda one: one.project_id,
    "user_id": lambda one: one.user_id,
    "instance_type_id": lambda one: one.flavor,
    "image_ref": lambda one: one.image,
    "hostname": lambda one: one.name,
    "id": lambda one: one.number,
}
# Every sort_key that Nova takes, as its refusal of another one lists them (modern.txt, sortbad). Those that are not
# above are the same for all servers here.
SORT_NAMES = (
    "access_ip_v4", "access_ip_v6", "auto_disk_config", "availability_zone", "config_drive", "created_at",
    "display_description", "display_name", "host", "hostname", "image_ref", "instance_type_id", "kernel_id",
    "key_name", "launch_index", "launched_at", "locked_by", "node", "power_state", "progress", "project_id",
    "ramdisk_id", "root_device_name", "task_state", "terminated_at", "updated_at", "user_id", "uuid", "vm_state",
    "architecture", "cell_name", "cleaned", "default_ephemeral_device", "default_swap_device", "deleted",
    "deleted_at", "disable_terminate", "ephemeral_gb", "ephemeral_key_uuid", "id", "key_data", "launched_on",
    "locked", "memory_mb", "os_type", "reservation_id", "root_gb", "shutdown_terminate", "user_data", "vcpus",
    "vm_mode",
)  # fmt: skip
FILTERS: dict[str, Callable[[Instance, str], bool]] = {
    "status": lambda one, value: one.status == value.upper(),
    "name": lambda one, value: re.search(value, one.name) is not None,
    "image": lambda one, value: one.image == value,
    "flavor": lambda one, value: one.flavor == value,
}


def _whole(call: Call, name: str) -> int | None:
    value = call.request.param(name)
    if value is None:
        return None
    if re.fullmatch(r"\d{1,9}", value):
        return int(value)
    if call.essex:
        words = f"{name} param must be {'positive' if value.startswith('-') else 'an integer'}"
        raise Refusal(400, words)
    raise Refusal(
        400, f"Invalid input for query parameters {name}. Value: {value}. '{value}' does not match '^[0-9]*$'"
    )


def _moment(text: str, call: Call) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        words = "Invalid changes-since value"
        if not call.essex:
            words = f"Invalid input for query parameters changes-since. Value: {text}. '{text}' is not a 'date-time'"
        raise Refusal(400, words) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _filtered(call: Call, servers: list[Instance]) -> list[Instance]:
    for name, fits in FILTERS.items():
        value = call.request.param(name)
        if value is None:
            continue
        if name == "status" and call.essex and value.upper() not in STATES:
            raise Refusal(400, f"Invalid server status: {value}")
        try:
            servers = [one for one in servers if fits(one, value)]
        except re.error:
            raise Refusal(400, f"Invalid filter: {value}") from None
    return servers


def _sorted(call: Call, servers: list[Instance]) -> list[Instance]:
    keys, ways = call.request.params("sort_key"), call.request.params("sort_dir")
    for key in keys:
        if key not in SORT_NAMES:
            allowed = ", ".join(f"'{one}'" for one in SORT_NAMES)
            words = f"Invalid input for query parameters sort_key. Value: {key}. '{key}' is not one of [{allowed}]"
            raise Refusal(400, words)
    # The last key first: Python's sort is stable. Nova's own default direction is descending.
    for place in reversed(range(len(keys))):
        down = (ways[place] if place < len(ways) else "desc") != "asc"
        if keys[place] in SORT_KEYS:
            servers = sorted(servers, key=SORT_KEYS[keys[place]], reverse=down)
    return servers


def _page(call: Call) -> tuple[list[Instance], int | None]:
    """The servers of this page, and the limit if one was given."""
    cloud, limit = call.cloud, _whole(call, "limit")
    count = cloud.max_limit if limit is None else min(limit, cloud.max_limit)
    marker_id, since = call.request.param("marker"), call.request.param("changes-since")
    with cloud.lock:
        _, everything = cloud.ordered(call.project_id)
        marker = None
        if marker_id is not None:
            marker = cloud.instances.get(marker_id)
            # A marker just deleted still works in modern clouds, not in Essex (CLOUDS.md 2.5 and 2.6).
            marker = marker or (None if call.essex else cloud.buried.get(marker_id))
            if marker is None:
                raise Refusal(400, f"marker [{marker_id}] not found")
        wants = since is not None or any(call.request.param(name) is not None for name in (*FILTERS, "sort_key"))
        if not wants:
            return cloud.after(call.project_id, marker, count), limit
        servers = list(everything)
        if since is not None:
            moment = _moment(since, call)
            servers += [one for one in cloud.buried.values() if one.project_id == call.project_id]
            servers = [one for one in servers if one.updated >= moment]
            servers.sort(key=lambda one: (-one.created.timestamp(), one.id))
        servers = _filtered(call, servers)
        if not call.essex:
            servers = _sorted(call, servers)
        if marker is None:
            return servers[:count], limit
        places = [place for place, one in enumerate(servers) if one.id == marker.id]
        if not places:
            raise Refusal(400, f"marker [{marker_id}] not found")
        return servers[places[0] + 1 : places[0] + 1 + count], limit


def _listing(call: Call, detail: bool) -> Reply:
    servers, limit = _page(call)
    write = call.style.server if detail else call.style.brief
    key = (*call.style.key, "detail" if detail else "brief")
    pieces = []
    for one in servers:
        piece = one.rendered.get(key)
        if piece is None:
            piece = one.rendered[key] = json.dumps(write(one)).encode()
        pieces.append(piece)
    body = b'{"servers": [' + b", ".join(pieces) + b"]"
    # Essex gives a next link only when the page is as long as the limit asked for, and leaves "/detail" out of it.
    full = limit if call.essex else min(call.cloud.max_limit if limit is None else limit, call.cloud.max_limit)
    if servers and full == len(servers):
        kept = [(name, value) for name, value in call.request.query if name != "marker"]
        query = urlencode([*kept, ("marker", servers[-1].id)])
        path = "servers/detail" if detail and not call.essex else "servers"
        links = [{"rel": "next", "href": f"{call.style.here}/{path}?{query}"}]
        body += b', "servers_links": ' + json.dumps(links).encode()
    return Reply(200, body + b"}", {"Content-Type": "application/json"})


def servers(call: Call) -> Reply:
    """GET /servers."""
    return _listing(call, detail=False)


def servers_detail(call: Call) -> Reply:
    """GET /servers/detail."""
    return _listing(call, detail=True)


def _found(call: Call) -> Instance:
    return call.cloud.get(call.parts[0], call.project_id)


def one_server(call: Call) -> Reply:
    """GET /servers/{id}."""
    shown = call.style.server(_found(call))
    if not call.essex and call.style.minor >= 71:
        shown["server_groups"] = []
    return as_json(200, {"server": shown})


def create(call: Call) -> Reply:
    """POST /servers: BUILD at once, ACTIVE when the cloud's `settle` is over."""
    wanted = call.body().get("server")
    cloud = call.cloud
    if not isinstance(wanted, dict):
        raise Refusal(400, "Invalid input for field/attribute server.")
    if not isinstance(wanted.get("name"), str) or not wanted["name"]:
        words = f"Invalid input for field/attribute server. Value: {wanted}. 'name' is a required property"
        raise Refusal(400, "Server name is not defined" if call.essex else words)
    if "flavorRef" not in wanted:
        words = f"Invalid input for field/attribute server. Value: {wanted}. 'flavorRef' is a required property"
        raise Refusal(400, "Missing flavorRef attribute" if call.essex else words)
    if call.style.minor >= 37 and "networks" not in wanted:
        words = f"Invalid input for field/attribute server. Value: {wanted}. 'networks' is a required property"
        raise Refusal(400, words)
    image = str(wanted.get("imageRef", "")).rsplit("/", 1)[-1]
    flavor = str(wanted["flavorRef"]).rsplit("/", 1)[-1]
    if image not in cloud.images:
        raise Refusal(400, "Invalid imageRef provided.")
    if flavor not in cloud.flavors:
        raise Refusal(400, "Invalid flavorRef provided.")
    many = int(wanted.get("min_count") or 1)
    made = [
        cloud.add(
            wanted["name"] if many == 1 else f"{wanted['name']}-{number}",
            status="BUILD",
            flavor=flavor,
            image=image,
            metadata=wanted.get("metadata") or {},
            key_name=wanted.get("key_name"),
            project=call.token.project,
        )
        for number in range(1, many + 1)
    ]
    for instance in made:
        cloud.begin(instance, "ACTIVE", "scheduling")
    if wanted.get("return_reservation_id"):
        return as_json(202, {"reservation_id": f"r-{secrets.token_hex(4)}"})
    links = call.style.links("servers", made[0].id)
    reply: dict[str, Any] = {"id": made[0].id, "links": links, "adminPass": secrets.token_urlsafe(9)}
    reply["OS-DCF:diskConfig"] = "AUTO" if call.essex else "MANUAL"
    if not call.essex:
        reply["security_groups"] = [{"name": "default"}]
    return as_json(202, {"server": reply}, {"Location": links[0]["href"]})


def rename(call: Call) -> Reply:
    """PUT /servers/{id}."""
    _found(call)
    name = call.body().get("server", {}).get("name")
    if not isinstance(name, str) or not name:
        raise Refusal(400, "Server name is not defined")
    instance = call.cloud.update(call.parts[0], name=name)
    return as_json(200, {"server": call.style.updated(instance)})


def delete(call: Call) -> Reply:
    """DELETE /servers/{id}."""
    _found(call)
    call.cloud.remove(call.parts[0])
    return Reply(204, b"", {"Content-Type": "application/json"})


def ips(call: Call) -> Reply:
    """GET /servers/{id}/ips."""
    return as_json(200, {"addresses": call.style.addresses(_found(call))})


def _text_map(call: Call, key: str) -> dict[str, str]:
    given = call.body().get(key)
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise Refusal(400, "Malformed request body")
    return given


def metadata(call: Call) -> Reply:
    """GET, POST (merge) and PUT (replace) /servers/{id}/metadata."""
    instance = _found(call)
    if call.request.method != "GET":
        old = instance.metadata if call.request.method == "POST" else {}
        instance = call.cloud.update(instance.id, metadata=old | _text_map(call, "metadata"))
    return as_json(200, {"metadata": instance.metadata})


def metadata_item(call: Call) -> Reply:
    """GET, PUT and DELETE /servers/{id}/metadata/{key}."""
    instance, key = _found(call), call.parts[1]
    if call.request.method == "PUT":
        instance = call.cloud.update(instance.id, metadata=instance.metadata | _text_map(call, "meta"))
    if key not in instance.metadata:
        raise call.missing("Metadata item was not found")
    if call.request.method == "DELETE":
        left = {name: value for name, value in instance.metadata.items() if name != key}
        call.cloud.update(instance.id, metadata=left)
        return Reply(204, b"", {"Content-Type": "application/json"})
    return as_json(200, {"meta": {key: instance.metadata[key]}})


def action(call: Call) -> Reply:
    """POST /servers/{id}/action."""
    body = call.body()
    instance = _found(call)
    if len(body) != 1:
        raise Refusal(400, "There is no such action: " + ", ".join(body))
    (word, argument), cloud = next(iter(body.items())), call.cloud
    details = argument if isinstance(argument, dict) else {}
    if word == "os-getConsoleOutput":
        return _console(call, instance, details.get("length"))
    if word == "os-getVNCConsole" and (call.essex or call.style.minor < 6):
        return as_json(200, {"console": console_url(call, details)})
    if word == "reboot":
        kind = str(details.get("type", "")).upper()
        if kind not in ("SOFT", "HARD"):
            raise Refusal(400, "Argument 'type' for reboot is not HARD or SOFT")
        word = f"reboot:{kind}"
    if word not in MOVES:
        raise Refusal(400, f"There is no such action: {word}")
    if word in ("resize", "rebuild"):
        _known(call, details)
    instance = cloud.act(instance.id, word, call.project_id)
    if word == "rescue":
        return as_json(200, {"adminPass": secrets.token_urlsafe(9)})
    if word == "createImage":
        return _snapshot(call, str(details.get("name", "snapshot")))
    if word == "rebuild":
        shown = call.style.updated(instance) | {"status": "REBUILD", "adminPass": secrets.token_urlsafe(9)}
        return as_json(202, {"server": shown}, {"Location": shown["links"][0]["href"]})
    return as_html(202, "") if call.essex else Reply(202, b"", {"Content-Type": "application/json"})


def _known(call: Call, details: dict[str, Any]) -> None:
    flavor, image = details.get("flavorRef"), details.get("imageRef")
    if flavor is not None and str(flavor).rsplit("/", 1)[-1] not in call.cloud.flavors:
        raise Refusal(400, "Invalid flavorRef provided.")
    if image is not None and str(image).rsplit("/", 1)[-1] not in call.cloud.images:
        raise Refusal(400, "Invalid imageRef provided.")


def _snapshot(call: Call, name: str) -> Reply:
    with call.cloud.lock:
        image = Image(call.cloud.new_id(), name)
        call.cloud.images[image.id] = image
    if call.style.minor >= 45 and not call.essex:
        return as_json(202, {"image_id": image.id})
    where = {"Location": f"{call.style.here}/images/{image.id}"}
    return as_html(202, "", where) if call.essex else Reply(202, b"", where)


def _console(call: Call, instance: Instance, length: object) -> Reply:
    if instance.vm_state == "building" and not call.essex:
        raise Conflict(f"Instance {instance.id} is not ready")
    real = call.cloud.console_of(instance) if call.cloud.console_of else None
    text = instance.console if real is None else real
    if isinstance(length, int | str) and str(length).isdigit():
        text = "\n".join(text.split("\n")[-int(length) :]) if int(length) else ""
    return as_json(200, {"output": text})


def console_url(call: Call, details: dict[str, Any]) -> dict[str, str]:
    """A graphical console's address; nothing listens there."""
    return {
        "type": str(details.get("type", "novnc")),
        "url": f"http://127.0.0.1:6080/vnc_auto.html?token={_uuid(call)}",
    }


def _uuid(call: Call) -> str:
    with call.cloud.lock:
        return call.cloud.new_id()


def remote_consoles(call: Call) -> Reply:
    """POST /servers/{id}/remote-consoles, since 2.6."""
    instance = _found(call)
    if call.essex or call.style.minor < 6:
        raise Missing(instance.id)
    if instance.vm_state != "active":
        raise Conflict(f"Instance {instance.id} is not ready")
    wanted = call.body().get("remote_console", {})
    protocol = {"protocol": str(wanted.get("protocol", "vnc"))}
    return as_json(200, {"remote_console": console_url(call, wanted) | protocol})


ROUTES = (
    route("GET", "/servers", servers),
    route("GET", "/servers/detail", servers_detail),
    route("POST", "/servers", create),
    route("GET", "/servers/{}", one_server),
    route("PUT", "/servers/{}", rename),
    route("DELETE", "/servers/{}", delete),
    route("GET", "/servers/{}/ips", ips),
    route("GET", "/servers/{}/metadata", metadata),
    route("POST", "/servers/{}/metadata", metadata),
    route("PUT", "/servers/{}/metadata", metadata),
    route("GET", "/servers/{}/metadata/{}", metadata_item),
    route("PUT", "/servers/{}/metadata/{}", metadata_item),
    route("DELETE", "/servers/{}/metadata/{}", metadata_item),
    route("POST", "/servers/{}/action", action),
    route("POST", "/servers/{}/remote-consoles", remote_consoles),
)
