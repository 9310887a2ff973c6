"""The other calls of a simulated account: sizes, images (Nova's proxy), limits, zones, networks of Essex."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any
from urllib.parse import urlencode

from console.demo.calls import Call, Refusal, route
from console.demo.offers import Image, Network
from console.demo.wire import Reply, as_json


def _brief(shown: dict[str, Any]) -> dict[str, Any]:
    """What a listing without detail has of a thing; Diablo's v1.0 has no links."""
    return {key: shown[key] for key in ("id", "name", "links") if key in shown}


def _paged(call: Call, kind: str, detail: bool, rows: list[dict[str, Any]]) -> Reply:
    """A page of sizes or images. The old releases ignore limit and marker; Nova 34 cuts pages at its own limit, and
    gives a next link with each full one (seen there)."""
    shown = rows if detail else [_brief(row) for row in rows]
    if call.old:
        return as_json(200, {kind: shown})
    limit, marker = call.request.param("limit"), call.request.param("marker")
    if limit is not None and not limit.isdigit():
        raise Refusal(
            400, f"Invalid input for query parameters limit. Value: {limit}. '{limit}' does not match '^[0-9]*$'"
        )
    ids = [row["id"] for row in shown]
    if marker is not None and marker not in ids:
        raise Refusal(400, f"marker [{marker}] not found")
    start = 0 if marker is None else ids.index(marker) + 1
    full = min(int(limit or call.cloud.max_limit), call.cloud.max_limit)
    page: dict[str, Any] = {kind: shown[start : start + full]}
    if page[kind] and len(page[kind]) == full:
        kept = [(name, value) for name, value in call.request.query if name != "marker"]
        path = f"{kind}/detail" if detail else kind
        href = f"{call.style.here}/{path}?{urlencode([*kept, ('marker', page[kind][-1]['id'])])}"
        page[f"{kind}_links"] = [{"rel": "next", "href": href}]
    return as_json(200, page)


def flavors(call: Call) -> Reply:
    """GET /flavors."""
    return _paged(call, "flavors", False, [call.style.flavor(one) for one in call.cloud.flavors.values()])


def flavors_detail(call: Call) -> Reply:
    """GET /flavors/detail."""
    return _paged(call, "flavors", True, [call.style.flavor(one) for one in call.cloud.flavors.values()])


def flavor(call: Call) -> Reply:
    """GET /flavors/{id}."""
    found = call.cloud.flavors.get(call.parts[0])
    if found is None:
        raise call.missing(f"Flavor {call.parts[0]} could not be found.")
    return as_json(200, {"flavor": call.style.flavor(found)})


def _proxied(call: Call) -> dict[str, Image]:
    """The images that the caller sees. Nova stopped proxying them, and networks, with 2.36 (CLOUDS.md 2.6)."""
    if not call.old and call.style.minor >= 36:
        raise Refusal(404, "The resource could not be found.")
    with call.cloud.lock:
        call.cloud.advance()
        return {one.id: one for one in call.cloud.images.values() if one.owner in ("", call.project_id)}


# The columns of nova-network that are empty here (essex.txt, nets).
EMPTY = (
    "vpn_public_port", "bridge_interface", "updated_at", "cidr_v6", "deleted_at", "project_id", "vpn_private_address",
    "vlan", "vpn_public_address", "host", "gateway_v6", "netmask_v6",
)  # fmt: skip


def networks(call: Call) -> Reply:
    """GET /os-networks. Through Neutron little more than id and label is known."""
    _proxied(call)
    return as_json(200, {"networks": [_network(call, one) for one in call.cloud.networks.values()]})


def _network(call: Call, one: Network) -> dict[str, Any]:
    block = IPv4Network(one.cidr)
    known = {
        "bridge": "br100",
        "cidr": one.cidr,
        "dhcp_start": str(block[2]),
        "gateway": str(block[1]),
        "broadcast": str(block.broadcast_address),
        "netmask": str(block.netmask),
        "injected": False,
        "deleted": False,
        "multi_host": False,
        "dns1": "192.0.2.53",
        "created_at": "2026-01-05 01:02:03.000000",
    }
    shown = known if call.old else dict.fromkeys(known)
    return {"id": one.id, "label": one.name, **shown, **dict.fromkeys(EMPTY)}


def images(call: Call) -> Reply:
    """GET /images."""
    return _paged(call, "images", False, [call.style.image(one) for one in _proxied(call).values()])


def images_detail(call: Call) -> Reply:
    """GET /images/detail."""
    return _paged(call, "images", True, [call.style.image(one) for one in _proxied(call).values()])


def image(call: Call) -> Reply:
    """GET /images/{id}."""
    return as_json(200, {"image": call.style.image(_found_image(call))})


def _found_image(call: Call) -> Image:
    found = _proxied(call).get(call.parts[0])
    if found is None:
        raise call.missing(f"Image {call.parts[0]} could not be found.")
    return found


def image_delete(call: Call) -> Reply:
    """DELETE /images/{id}: the caller's own ones only."""
    found = _found_image(call)
    if found.owner != call.project_id:
        raise Refusal(403, "You are not allowed to delete the image.")
    with call.cloud.lock:
        call.cloud.images.pop(found.id, None)
    return Reply(204, b"", {"Content-Type": "application/json"})


def limits(call: Call) -> Reply:
    """GET /limits."""
    if call.old:
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


def zones(call: Call) -> Reply:
    """GET /os-availability-zone."""
    zone = {"zoneName": "nova", "zoneState": {"available": True}, "hosts": None}
    return as_json(200, {"availabilityZoneInfo": [zone]})


def floating_ips(call: Call) -> Reply:
    """GET /os-floating-ips: none are free."""
    return as_json(200, {"floating_ips": []})


def security_groups(call: Call) -> Reply:
    """GET /os-security-groups."""
    number: object = 1 if call.old else call.project_id
    group = {"rules": [], "tenant_id": call.project_id, "id": number, "name": "default", "description": "default"}
    return as_json(200, {"security_groups": [group]})


def tags(call: Call) -> Reply:
    """GET /servers/{id}/tags, since 2.26."""
    call.cloud.get(call.parts[0], call.project_id)
    if call.old or call.style.minor < 26:
        raise Refusal(404, "The resource could not be found.")
    return as_json(200, {"tags": []})


ROUTES = (
    route("GET", "/flavors", flavors),
    route("GET", "/flavors/detail", flavors_detail),
    route("GET", "/flavors/{}", flavor),
    route("GET", "/images", images),
    route("GET", "/images/detail", images_detail),
    route("GET", "/images/{}", image),
    route("DELETE", "/images/{}", image_delete),
    route("GET", "/os-networks", networks),
    route("GET", "/limits", limits),
    route("GET", "/os-availability-zone", zones),
    route("GET", "/os-floating-ips", floating_ips),
    route("GET", "/os-security-groups", security_groups),
    route("GET", "/servers/{}/tags", tags),
)
