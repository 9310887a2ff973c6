"""The other calls of a simulated account: sizes, images, limits, keys, zones, and a small Glance."""

from __future__ import annotations

from typing import Any

from console.demo.calls import Call, Refusal, route
from console.demo.cloud import Cloud
from console.demo.keystone import NEEDS_SIGN_IN
from console.demo.shapes import glance_image
from console.demo.wire import Reply, Request, as_html, as_json


def flavors(call: Call) -> Reply:
    """GET /flavors."""
    brief = ("id", "name", "links")
    listed = [{key: call.style.flavor(one)[key] for key in brief} for one in call.cloud.flavors.values()]
    return as_json(200, {"flavors": listed})


def flavors_detail(call: Call) -> Reply:
    """GET /flavors/detail."""
    return as_json(200, {"flavors": [call.style.flavor(one) for one in call.cloud.flavors.values()]})


def flavor(call: Call) -> Reply:
    """GET /flavors/{id}."""
    found = call.cloud.flavors.get(call.parts[0])
    if found is None:
        raise call.missing(f"Flavor {call.parts[0]} could not be found.")
    return as_json(200, {"flavor": call.style.flavor(found)})


def _proxied(call: Call) -> None:
    """Nova stopped proxying images with 2.36 (CLOUDS.md 2.6)."""
    if not call.essex and call.style.minor >= 36:
        raise Refusal(404, "The resource could not be found.")


def images(call: Call) -> Reply:
    """GET /images."""
    _proxied(call)
    brief = ("id", "name", "links")
    listed = [{key: call.style.image(one)[key] for key in brief} for one in call.cloud.images.values()]
    return as_json(200, {"images": listed})


def images_detail(call: Call) -> Reply:
    """GET /images/detail."""
    _proxied(call)
    return as_json(200, {"images": [call.style.image(one) for one in call.cloud.images.values()]})


def image(call: Call) -> Reply:
    """GET /images/{id}."""
    _proxied(call)
    found = call.cloud.images.get(call.parts[0])
    if found is None:
        raise call.missing(f"Image {call.parts[0]} could not be found.")
    return as_json(200, {"image": call.style.image(found)})


def limits(call: Call) -> Reply:
    """GET /limits."""
    if call.essex:
        absolute = {
            "maxServerMeta": 128,
            "maxPersonality": 5,
            "maxImageMeta": 128,
            "maxPersonalitySize": 10240,
            "maxTotalCores": 1000000,
            "maxTotalInstances": 100000,
            "maxTotalRAMSize": 500000000,
        }
        return as_json(200, {"limits": {"rate": call.limits.shown(call.token.user.id), "absolute": absolute}})
    _, mine = call.cloud.ordered(call.project_id)
    sizes = [call.cloud.flavors[one.flavor] for one in mine if one.flavor in call.cloud.flavors]
    absolute = {
        "maxTotalCores": -1,
        "maxTotalInstances": -1,
        "maxTotalKeypairs": 100,
        "maxServerMeta": 128,
        "maxTotalRAMSize": -1,
        "maxServerGroups": 10,
        "maxServerGroupMembers": 10,
        "totalRAMUsed": sum(one.ram for one in sizes),
        "totalCoresUsed": sum(one.vcpus for one in sizes),
        "totalInstancesUsed": len(mine),
        "totalServerGroupsUsed": 0,
    }
    if call.style.minor < 57:
        absolute |= {"maxPersonality": 5, "maxPersonalitySize": 10240}
    if call.style.minor < 39:
        absolute |= {"maxImageMeta": 128}
    if call.style.minor < 36:
        gone = ("maxTotalFloatingIps", "maxSecurityGroups", "maxSecurityGroupRules")
        absolute |= dict.fromkeys(gone, -1) | {"totalFloatingIpsUsed": 0, "totalSecurityGroupsUsed": 0}
    return as_json(200, {"limits": {"rate": [], "absolute": absolute}})


def keypairs(call: Call) -> Reply:
    """GET /os-keypairs."""
    listed = [{"keypair": _keypair(call, name)} for name in call.cloud.keypairs]
    return as_json(200, {"keypairs": listed})


def _keypair(call: Call, name: str) -> dict[str, str]:
    fingerprint = "SHA256:x8hzqW3qx239CJ+mUkkLHqHAozVHM3mqLrCsux6F6vY"
    shown = {"public_key": call.cloud.keypairs[name], "name": name, "fingerprint": fingerprint}
    return shown if call.essex or call.style.minor < 2 else shown | {"type": "ssh"}


def keypair_create(call: Call) -> Reply:
    """POST /os-keypairs, with the caller's public key; this cloud makes none itself."""
    wanted = call.body().get("keypair", {})
    name, public = str(wanted.get("name", "")), str(wanted.get("public_key", ""))
    if not name or not public:
        raise Refusal(400, "Keypair data is invalid: this cloud needs a name and a public_key")
    if name in call.cloud.keypairs:
        raise Refusal(409, f"Key pair '{name}' already exists.")
    call.cloud.keypairs[name] = public
    return as_json(200, {"keypair": _keypair(call, name) | {"user_id": call.token.user.id}})


def keypair_delete(call: Call) -> Reply:
    """DELETE /os-keypairs/{name}."""
    if call.cloud.keypairs.pop(call.parts[0], None) is None:
        raise call.missing(f"Keypair {call.parts[0]} not found for user {call.token.user.id}")
    return as_html(202, "") if call.essex else Reply(202, b"", {"Content-Type": "application/json"})


def zones(call: Call) -> Reply:
    """GET /os-availability-zone."""
    zone = {"zoneName": "nova", "zoneState": {"available": True}, "hosts": None}
    return as_json(200, {"availabilityZoneInfo": [zone]})


def floating_ips(call: Call) -> Reply:
    """GET /os-floating-ips: none are free."""
    return as_json(200, {"floating_ips": []})


def security_groups(call: Call) -> Reply:
    """GET /os-security-groups."""
    number: object = 1 if call.essex else call.project_id
    group = {"rules": [], "tenant_id": call.project_id, "id": number, "name": "default", "description": "default"}
    return as_json(200, {"security_groups": [group]})


def tags(call: Call) -> Reply:
    """GET /servers/{id}/tags, since 2.26."""
    call.cloud.get(call.parts[0], call.project_id)
    if call.essex or call.style.minor < 26:
        raise Refusal(404, "The resource could not be found.")
    return as_json(200, {"tags": []})


def instance_actions(call: Call) -> Reply:
    """GET /servers/{id}/os-instance-actions: its creation."""
    instance = call.cloud.get(call.parts[0], call.project_id)
    created: dict[str, Any] = {
        "action": "create",
        "instance_uuid": instance.id,
        "request_id": f"req-{instance.id}",
        "user_id": instance.user_id,
        "project_id": instance.project_id,
        "start_time": instance.created.strftime("%Y-%m-%dT%H:%M:%S.%f"),
        "message": "Error" if instance.status == "ERROR" else None,
    }
    return as_json(200, {"instanceActions": [created]})


def glance(cloud: Cloud, request: Request, rest: tuple[str, ...]) -> Reply:
    """Glance v2's versions, image list (limit and marker) and single images, for clouds that have it."""
    here = f"{request.base}/image"
    match rest:
        case () | ("",):
            version = {"id": "v2.16", "status": "CURRENT", "links": [{"rel": "self", "href": f"{here}/v2/"}]}
            return as_json(300, {"versions": [version]})
        case _ if cloud.generation == "essex" or rest[0] != "v2":
            return as_html(404, "<h1>404 Not Found</h1>")
    token = cloud.tokens.find(request.headers.get("X-Auth-Token"))
    if token is None or token.project is None:
        return as_html(401, NEEDS_SIGN_IN)
    owner = cloud.projects[token.project]
    listed = [glance_image(one, owner) for one in cloud.images.values()]
    match rest:
        case ("v2", "images"):
            ids = [one["id"] for one in listed]
            marker, limit = request.param("marker"), request.param("limit") or "25"
            if (marker is not None and marker not in ids) or not limit.isdigit():
                return as_html(400, "Invalid marker or limit")
            start = ids.index(marker) + 1 if marker is not None else 0
            page = listed[start : start + int(limit)]
            reply: dict[str, Any] = {"images": page, "schema": "/v2/schemas/images", "first": "/v2/images"}
            if page and start + len(page) < len(listed):
                reply["next"] = f"/v2/images?limit={limit}&marker={page[-1]['id']}"
            return as_json(200, reply)
        case ("v2", "images", image_id):
            for shown in listed:
                if shown["id"] == image_id:
                    return as_json(200, shown)
    return as_html(404, "<h1>404 Not Found</h1>")


ROUTES = (
    route("GET", "/flavors", flavors),
    route("GET", "/flavors/detail", flavors_detail),
    route("GET", "/flavors/{}", flavor),
    route("GET", "/images", images),
    route("GET", "/images/detail", images_detail),
    route("GET", "/images/{}", image),
    route("GET", "/limits", limits),
    route("GET", "/os-keypairs", keypairs),
    route("POST", "/os-keypairs", keypair_create),
    route("DELETE", "/os-keypairs/{}", keypair_delete),
    route("GET", "/os-availability-zone", zones),
    route("GET", "/os-floating-ips", floating_ips),
    route("GET", "/os-security-groups", security_groups),
    route("GET", "/servers/{}/tags", tags),
    route("GET", "/servers/{}/os-instance-actions", instance_actions),
)
