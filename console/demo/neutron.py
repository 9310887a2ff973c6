"""A small Neutron beside a modern simulated Nova: networks, subnets, ports, and what it lists none of.

Fields after its public API reference, not after a capture; its faults as in CLOUDS.md 2.6.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from console.demo.cloud import Cloud
from console.demo.keystone import NEEDS_SIGN_IN, fixed_id
from console.demo.offers import Network
from console.demo.wire import Reply, Request, as_json

CREATED = "2026-01-05T01:02:03Z"


def network(one: Network, project_id: str) -> dict[str, Any]:
    """A network in GET /v2.0/networks."""
    return {
        "id": one.id,
        "name": one.name,
        "tenant_id": project_id,
        "project_id": project_id,
        "admin_state_up": True,
        "mtu": 1450,
        "status": "ACTIVE",
        "subnets": [fixed_id("subnet", one.id)],
        "shared": False,
        "availability_zone_hints": [],
        "availability_zones": ["nova"],
        "ipv4_address_scope": None,
        "ipv6_address_scope": None,
        "router:external": one.external,
        "description": "",
        "port_security_enabled": True,
        "tags": [],
        "created_at": CREATED,
        "updated_at": CREATED,
        "revision_number": 2,
    }


def subnet(one: Network, project_id: str) -> dict[str, Any]:
    """A network's subnet in GET /v2.0/subnets."""
    return {
        "id": fixed_id("subnet", one.id),
        "name": f"{one.name}-v4",
        "tenant_id": project_id,
        "project_id": project_id,
        "network_id": one.id,
        "ip_version": 4,
        "cidr": one.cidr,
        "gateway_ip": one.cidr.partition("/")[0][:-1] + "1",
        "enable_dhcp": True,
        "allocation_pools": [],
        "dns_nameservers": [],
        "host_routes": [],
        "ipv6_address_mode": None,
        "ipv6_ra_mode": None,
        "description": "",
        "service_types": [],
        "subnetpool_id": None,
        "tags": [],
        "created_at": CREATED,
        "updated_at": CREATED,
        "revision_number": 0,
    }


def ports(cloud: Cloud, project_id: str) -> list[dict[str, Any]]:
    """A port for each network that a server is on."""
    labels = {one.name: one.id for one in cloud.networks.values()}
    return [
        {
            "id": fixed_id("port", server.id, label),
            "name": "",
            "network_id": labels.get(label, fixed_id("network", label)),
            "tenant_id": project_id,
            "project_id": project_id,
            "mac_address": nics[0].mac,
            "admin_state_up": True,
            "status": "ACTIVE",
            "device_id": server.id,
            "device_owner": "compute:nova",
            "fixed_ips": [{"subnet_id": fixed_id("subnet", labels.get(label, label)), "ip_address": nics[0].addr}],
            "security_groups": [],
        }
        for server in cloud.ordered(project_id)[1]
        for label, nics in server.addresses.items()
        if nics
    ]


# Kind -> its list, and the word of a fault.
KINDS: dict[str, tuple[str, Callable[[Cloud, str], list[dict[str, Any]]]]] = {
    "networks": ("Network", lambda cloud, project: [network(one, project) for one in cloud.networks.values()]),
    "subnets": ("Subnet", lambda cloud, project: [subnet(one, project) for one in cloud.networks.values()]),
    "ports": ("Port", ports),
    "floatingips": ("FloatingIP", lambda cloud, project: []),
    "security-groups": ("SecurityGroup", lambda cloud, project: []),
    "extensions": ("Extension", lambda cloud, project: []),
}


def answer(cloud: Cloud, request: Request, rest: tuple[str, ...]) -> Reply:
    """What Neutron says to this request; `rest` is the path below its root."""
    here = f"{request.base}/networking"
    if rest in ((), ("",)):
        links = [{"rel": "self", "href": f"{here}/v2.0/"}]
        return as_json(200, {"versions": [{"id": "v2.0", "status": "CURRENT", "links": links}]})
    token = cloud.tokens.find(request.headers.get("X-Auth-Token"))
    if token is None or token.project is None:
        error = {"code": 401, "title": "Unauthorized", "message": NEEDS_SIGN_IN}
        return as_json(401, {"error": error})
    kind = rest[1] if len(rest) > 1 and rest[0] == "v2.0" else ""
    if request.method != "GET" or kind not in KINDS:
        return _fault("HTTPNotFound", "The resource could not be found.")
    word, lister = KINDS[kind]
    with cloud.lock:
        listed = lister(cloud, cloud.projects[token.project])
    key = kind.replace("-", "_")
    if len(rest) == 2:
        return _page(request, here, kind, key, listed)
    for one in listed:
        if one["id"] == rest[2]:
            return as_json(200, {key.removesuffix("s"): one})
    return _fault(f"{word}NotFound", f"{word} {rest[2]} could not be found.")


def _fault(kind: str, words: str) -> Reply:
    return as_json(404, {"NeutronError": {"type": kind, "message": words, "detail": ""}})


def _page(request: Request, here: str, kind: str, key: str, listed: list[dict[str, Any]]) -> Reply:
    for name in {name for name, _ in request.query} - {"limit", "marker", "fields", "sort_key", "sort_dir"}:
        allowed = [value.lower() for value in request.params(name)]
        listed = [one for one in listed if name not in one or str(one[name]).lower() in allowed]
    limit, marker = request.param("limit"), request.param("marker")
    ids = [one["id"] for one in listed]
    start = ids.index(marker) + 1 if marker in ids else 0
    page = listed[start : start + int(limit)] if limit and limit.isdigit() else listed[start:]
    reply: dict[str, Any] = {key: page}
    if page and start + len(page) < len(listed):
        href = f"{here}/v2.0/{kind}?limit={limit}&marker={page[-1]['id']}"
        reply[f"{key}_links"] = [{"rel": "next", "href": href}]
    return as_json(200, reply)
