"""One server of a simulated Nova: read, rename, delete, metadata; and the way to all calls about servers."""

from __future__ import annotations

from console.demo.calls import Call, Refusal, route
from console.demo.nova_actions import action, found, instance_action, instance_actions, remote_consoles
from console.demo.nova_create import create
from console.demo.nova_listing import servers, servers_detail
from console.demo.wire import Reply, as_json


def one_server(call: Call) -> Reply:
    """GET /servers/{id}."""
    shown = call.style.server(found(call))
    if not call.old and call.style.minor >= 71:
        shown["server_groups"] = []
    return as_json(200, {"server": shown})


def rename(call: Call) -> Reply:
    """PUT /servers/{id}."""
    found(call)
    name = call.body().get("server", {}).get("name")
    if not isinstance(name, str) or not name:
        raise Refusal(400, "Server name is not defined")
    instance = call.cloud.update(call.parts[0], name=name)
    return as_json(200, {"server": call.style.updated(instance)})


def delete(call: Call) -> Reply:
    """DELETE /servers/{id}: gone when the cloud's `settle` is over."""
    call.cloud.delete(call.parts[0], call.project_id, request_id=call.request_id)
    return Reply(204, b"", {"Content-Type": "application/json"})


def ips(call: Call) -> Reply:
    """GET /servers/{id}/ips."""
    return as_json(200, {"addresses": call.style.addresses(found(call))})


def _text_map(call: Call, key: str) -> dict[str, str]:
    given = call.body().get(key)
    if not isinstance(given, dict) or not all(isinstance(value, str) for value in given.values()):
        raise Refusal(400, "Malformed request body")
    return given


def metadata(call: Call) -> Reply:
    """GET, POST (merge) and PUT (replace) /servers/{id}/metadata."""
    instance = found(call)
    if call.request.method != "GET":
        old = instance.metadata if call.request.method == "POST" else {}
        instance = call.cloud.update(instance.id, metadata=old | _text_map(call, "metadata"))
    return as_json(200, {"metadata": instance.metadata})


def metadata_item(call: Call) -> Reply:
    """GET, PUT and DELETE /servers/{id}/metadata/{key}."""
    instance, key = found(call), call.parts[1]
    if call.request.method == "PUT":
        instance = call.cloud.update(instance.id, metadata=instance.metadata | _text_map(call, "meta"))
    if key not in instance.metadata:
        raise call.missing("Metadata item was not found")
    if call.request.method == "DELETE":
        left = {name: value for name, value in instance.metadata.items() if name != key}
        call.cloud.update(instance.id, metadata=left)
        return Reply(204, b"", {"Content-Type": "application/json"})
    return as_json(200, {"meta": {key: instance.metadata[key]}})


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
# Newer than Essex.
LATER = (
    route("GET", "/servers/{}/os-instance-actions", instance_actions),
    route("GET", "/servers/{}/os-instance-actions/{}", instance_action),
)
