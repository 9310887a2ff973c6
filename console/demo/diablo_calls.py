"""The calls of a simulated Diablo, v1.0 and v1.1: no start, no stop, no console (diablo.txt)."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from console.demo import extras, keypairs, nova
from console.demo.calls import Call, Refusal, Route, route
from console.demo.cloud import Missing
from console.demo.instance import Instance
from console.demo.nova_listing import filtered
from console.demo.wire import Reply, as_html, as_json

ABSOLUTE = {
    "maxServerMeta": 128,
    "maxPersonality": 5,
    "maxImageMeta": 128,
    "maxTotalCores": 20,
    "maxPersonalitySize": 10240,
    "maxTotalInstances": 10,
    "maxTotalRAMSize": 51200,
}
# Word of an action -> the status of its reply. createImage and rescue have their own.
ACTIONS = {"reboot": 202, "resize": 202, "confirmResize": 204, "revertResize": 202, "rebuild": 202, "unrescue": 202}
ONLY_IN_V11 = frozenset({"rescue", "unrescue"})


def dumps(value: object) -> str:
    """JSON in a reply that says it is something else."""
    return json.dumps(value)


def first(call: Call) -> bool:
    """Whether this is v1.0."""
    return call.style.here.endswith("/v1.0")


def resolved(call: Call, path: str, parts: tuple[str, ...]) -> tuple[str, ...]:
    """The path's parts with a server's number (or its uuid) made its uuid. Raises Missing."""
    if not parts or not path.startswith("/servers/"):
        return parts
    with call.cloud.lock:
        call.cloud.advance()
        for instance in call.cloud.instances.values():
            if parts[0] in (str(instance.number), instance.id) and instance.project_id == call.project_id:
                return (instance.id, *parts[1:])
    raise Missing(parts[0])


def _whole(call: Call, name: str) -> int | None:
    value = call.request.param(name)
    if value is None:
        return None
    if not re.fullmatch(r"-?\d{1,12}", value):
        raise Refusal(400, f"{name} param must be an integer")
    if value.startswith("-"):
        raise Refusal(400, f"{name} param must be positive")
    return int(value)


def _moment(call: Call, text: str) -> datetime:
    """v1.0 takes seconds since 1970 as well (CLOUDS.md 2.4)."""
    if first(call) and text.isdigit():
        return datetime.fromtimestamp(int(text), UTC)
    try:
        if not text.isdigit():
            moment = datetime.fromisoformat(text)
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    except ValueError:
        pass  # refused below, like a bare number
    raise Refusal(400, "Invalid changes-since value")


def _wanted(call: Call) -> list[Instance]:
    """The servers that the query asks for, newest first."""
    cloud, since = call.cloud, call.request.param("changes-since")
    with cloud.lock:
        found = list(cloud.ordered(call.project_id)[1])
        if since is not None:
            moment = _moment(call, since)
            found += [one for one in cloud.buried.values() if one.project_id == call.project_id]
            found = [one for one in found if one.updated >= moment]
    found.sort(key=lambda one: (one.created, one.number), reverse=True)
    return found if first(call) else filtered(call, found)


def _page(call: Call) -> list[Instance]:
    found, most = _wanted(call), call.cloud.max_limit
    limit = _whole(call, "limit")
    if first(call):
        # v1.0 pages by offset and passes a marker over in silence (diablo.txt: marker=2 answers server 2 again).
        start = _whole(call, "offset") or 0
        return found[start : start + min(most, limit or most)]
    marker, start = _whole(call, "marker"), 0
    if marker:
        places = [place for place, one in enumerate(found) if one.number == marker]
        if not places:
            raise Refusal(400, f"marker [{marker}] not found")
        start = places[0] + 1
    return found[start : start + min(most, most if limit is None else limit)]


def _listing(call: Call, detail: bool) -> Reply:
    write = call.style.server if detail else call.style.brief
    key = (*call.style.key, "detail" if detail else "brief")
    pieces = []
    for one in _page(call):
        piece = one.rendered.get(key)
        if piece is None:
            piece = one.rendered[key] = json.dumps(write(one)).encode()
        pieces.append(piece)
    return Reply(200, b'{"servers": [' + b", ".join(pieces) + b"]}", {"Content-Type": "application/json"})


def servers(call: Call) -> Reply:
    """GET /servers. There is never a next link."""
    return _listing(call, detail=False)


def servers_detail(call: Call) -> Reply:
    """GET /servers/detail."""
    return _listing(call, detail=True)


def one_server(call: Call) -> Reply:
    """GET /servers/{id}."""
    return as_json(200, {"server": call.style.server(_found(call))})


def _found(call: Call) -> Instance:
    return call.cloud.get(call.parts[0], call.project_id)


def _reference(call: Call, wanted: Mapping[str, Any], kind: str, known: Mapping[str, object]) -> str:
    """The id under imageId or flavorId (v1.0), imageRef or flavorRef (v1.1, a URL or an id)."""
    name = f"{kind}{'Id' if first(call) else 'Ref'}"
    if name not in wanted:
        raise Refusal(400, f"Missing {name} attribute")
    found = str(wanted[name]).rstrip("/").rsplit("/", 1)[-1]
    if found not in known:
        words = f"Cannot find requested image {wanted[name]}" if kind == "image" else "Invalid flavorRef provided."
        raise Refusal(400, words)
    return found


def create(call: Call) -> Reply:
    """POST /servers: BUILD at once, ACTIVE when the cloud's `settle` is over. The reply is the whole server."""
    cloud, wanted = call.cloud, call.body().get("server")
    if not isinstance(wanted, dict):
        raise Refusal(422, "Unable to process the contained instructions")
    name = wanted.get("name")
    if not isinstance(name, str) or not name.strip():
        raise Refusal(400, "Server name is not defined")
    key_name = None if first(call) else wanted.get("key_name")
    if key_name is not None and key_name not in cloud.keypairs:
        raise Refusal(400, "Invalid key_name provided.")
    instance = cloud.add(
        name.strip(),
        status="BUILD",
        flavor=_reference(call, wanted, "flavor", cloud.flavors),
        image=_reference(call, wanted, "image", cloud.images),
        metadata=wanted.get("metadata") or {},
        key_name=key_name,
        project=next(one for one, held in cloud.projects.items() if held == call.project_id),
    )
    with cloud.lock:
        instance.user_data = str(wanted.get("user_data") or "")
        shown = call.style.server(instance)  # as it is before it begins to build
        cloud.begin(instance, "ACTIVE", "scheduling")
    return as_json(202, {"server": shown | {"adminPass": wanted.get("adminPass") or secrets.token_urlsafe(12)}})


def rename(call: Call) -> Reply:
    """PUT /servers/{id}: 204 in v1.0, the server in v1.1."""
    done = nova.rename(call)
    return as_html(204, "") if first(call) else done


def delete(call: Call) -> Reply:
    """DELETE /servers/{id}: 202 in v1.0, 204 in v1.1; the server is there until it is really gone."""
    call.cloud.delete(call.parts[0], call.project_id)
    return as_html(202, "") if first(call) else Reply(204, b"", {"Content-Type": "application/json"})


def action(call: Call) -> Reply:
    """POST /servers/{id}/action."""
    body, instance = call.body(), _found(call)
    word = next(iter(body), "")
    details = body.get(word)
    details = details if isinstance(details, dict) else {}
    if word == "createImage":
        return _create_image(call, instance, details)
    if word == "changePassword":
        return _change_password(call)
    if word not in ACTIONS and word != "rescue" or (first(call) and word in ONLY_IN_V11):
        raise Refusal(400, f"There is no such server action: {word}")
    move, to = word, ""
    if word == "reboot":
        kind = str(details.get("type", "")).upper()
        if kind not in ("SOFT", "HARD"):
            raise Refusal(400, "Argument 'type' for reboot is not HARD or SOFT")
        move = f"reboot:{kind}"
    elif word == "resize":
        to = _reference(call, details, "flavor", call.cloud.flavors)
        if to == instance.flavor:
            raise Refusal(400, "Resize requires a change in size.")
    elif word == "rebuild":
        to = _reference(call, details, "image", call.cloud.images)
    instance = call.cloud.act(instance.id, move, call.project_id, to=to)
    if word == "rescue":
        return Reply(200, b"", {"Content-Type": "application/json"})
    if word == "rebuild" and not first(call):
        return as_json(202, {"server": call.style.server(instance) | {"adminPass": secrets.token_urlsafe(12)}})
    return as_html(ACTIONS[word], "")


def _create_image(call: Call, instance: Instance, details: Mapping[str, Any]) -> Reply:
    if first(call):
        raise Refusal(501, "")
    if not details.get("name"):
        raise Refusal(400, "createImage entity requires name attribute")
    metadata = details.get("metadata") or {}
    image = call.cloud.snapshot(instance.id, str(details["name"]), call.project_id, metadata=metadata)
    return as_html(202, "", {"Location": f"{call.style.here}/images/{image.id}"})


def _change_password(call: Call) -> Reply:
    if first(call):
        raise Refusal(501, "")
    call.cloud.act(call.parts[0], "changePassword", call.project_id)
    return as_html(202, "")


def limits(call: Call) -> Reply:
    """GET /limits."""
    user_id = call.token.user.id
    rate = call.limits.shown_flat(user_id) if first(call) else call.limits.shown(user_id)
    return as_json(200, {"limits": {"rate": rate, "absolute": ABSOLUTE}})


BOTH: tuple[Route, ...] = (
    route("GET", "/servers", servers),
    route("GET", "/servers/detail", servers_detail),
    route("POST", "/servers", create),
    route("GET", "/servers/{}", one_server),
    route("PUT", "/servers/{}", rename),
    route("DELETE", "/servers/{}", delete),
    route("GET", "/servers/{}/ips", nova.ips),
    route("POST", "/servers/{}/action", action),
    route("GET", "/limits", limits),
    route("GET", "/flavors", extras.flavors),
    route("GET", "/flavors/detail", extras.flavors_detail),
    route("GET", "/flavors/{}", extras.flavor),
    route("GET", "/images", extras.images),
    route("GET", "/images/detail", extras.images_detail),
    route("GET", "/images/{}", extras.image),
    route("DELETE", "/images/{}", extras.image_delete),
)
ROUTES: dict[str, tuple[Route, ...]] = {
    "v1.0": BOTH,
    "v1.1": (
        *BOTH,
        *(route(method, "/servers/{}/metadata", nova.metadata) for method in ("GET", "POST", "PUT")),
        *(route(method, "/servers/{}/metadata/{}", nova.metadata_item) for method in ("GET", "PUT", "DELETE")),
        *keypairs.ROUTES,
        route("GET", "/os-security-groups", extras.security_groups),
        route("GET", "/os-floating-ips", extras.floating_ips),
    ),
}
