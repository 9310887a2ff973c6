"""What an administrator sets up in an empty OpenStack, over plain REST: catalog, people, sizes, images, networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import requests

from tests.realstack.ground import REGION, Ground

PROJECT: Final = "engines"
PERSON: Final = "ada"
PASSWORD: Final = "a pass phrase of ada's"
SERVICES: Final = {"placement": ("placement", ""), "image": ("glance", ""), "network": ("neutron", "")}
COMPUTE: Final = ("nova", "/v2.1")
SIZES: Final = 5  # more than fit into one of Nova's pages here; so are the images
IMAGES: Final = ("tiny", "small", "second", "last")
SIZE_MB: Final = 64


@dataclass(frozen=True)
class Token:
    """A signed-in person, for the calls that our driver does not make."""

    text: str
    project: str
    person: str

    def call(self, method: str, url: str, json: Any = None, *, data: bytes | None = None, kind: str = "") -> Any:
        """The JSON of the reply, {} without any; AssertionError with the cloud's words when it refuses.
        `data` are raw bytes to send; `kind` is the content type of `json`, where it is a special one."""
        headers = {"X-Auth-Token": self.text, **({"Content-Type": kind} if kind else {})}
        if data is not None:
            headers["Content-Type"] = "application/octet-stream"
        reply = requests.request(method, url, json=json, data=data, headers=headers, timeout=60)
        assert reply.ok, f"{method} {url}: {reply.status_code} {reply.text}"
        return reply.json() if reply.content else {}


@dataclass(frozen=True)
class Furnished:
    """Ids by name of what the project finds. `networks`: its own, and one that the cloud shares with everybody."""

    admin: Token
    member: Token
    images: dict[str, str]
    sizes: tuple[str, ...]
    networks: dict[str, str]


def signed_in(ground: Ground, person: str, password: str, project: str) -> Token:
    domain = {"id": "default"}
    identity = {"methods": ["password"], "password": {"user": {"name": person, "domain": domain, "password": password}}}
    body = {"auth": {"identity": identity, "scope": {"project": {"name": project, "domain": domain}}}}
    reply = requests.post(f"{ground.keystone}/auth/tokens", json=body, timeout=60)
    assert reply.status_code == 201, reply.text
    told = reply.json()["token"]
    return Token(reply.headers["X-Subject-Token"], told["project"]["id"], told["user"]["id"])


def identity(ground: Ground) -> Token:
    """The catalog, the services' own user, a project and a member of it; the administrator, signed in."""
    admin = signed_in(ground, "admin", ground.admin, "admin")
    for kind, (name, path) in {**SERVICES, "compute": COMPUTE}.items():
        made = admin.call("POST", f"{ground.keystone}/services", {"service": {"type": kind, "name": name}})
        for interface in ("public", "internal", "admin"):
            endpoint = {"service_id": made["service"]["id"], "interface": interface, "region_id": REGION}
            endpoint["url"] = ground.url(name) + path
            admin.call("POST", f"{ground.keystone}/endpoints", {"endpoint": endpoint})
    roles = {role["name"]: role["id"] for role in admin.call("GET", f"{ground.keystone}/roles")["roles"]}
    for project, person, password, role_names in (
        ("service", "inner", ground.inner, ("admin", "service")),
        (PROJECT, PERSON, PASSWORD, ("member",)),
    ):
        wanted: dict[str, Any] = {"project": {"name": project, "domain_id": "default"}}
        place = admin.call("POST", f"{ground.keystone}/projects", wanted)["project"]["id"]
        wanted = {"user": {"name": person, "password": password, "domain_id": "default"}}
        who = admin.call("POST", f"{ground.keystone}/users", wanted)["user"]["id"]
        for name in role_names:
            admin.call("PUT", f"{ground.keystone}/projects/{place}/users/{who}/roles/{roles[name]}")
    return admin


def computes(ground: Ground, admin: Token) -> bool:
    """Whether a compute host has reported to Nova and to placement."""
    listed = admin.call("GET", f"{ground.url('nova')}/v2.1/os-services?binary=nova-compute")["services"]
    up = any(service["state"] == "up" for service in listed)
    return up and bool(admin.call("GET", f"{ground.url('placement')}/resource_providers")["resource_providers"])


def furnish(ground: Ground, admin: Token) -> Furnished:
    """Sizes, an image, and two networks; needs every service."""
    nova, neutron = f"{ground.url('nova')}/v2.1", f"{ground.url('neutron')}/v2.0"
    sizes = []
    for number in range(1, SIZES + 1):
        flavor = {"name": f"m{number}", "vcpus": 1, "ram": SIZE_MB * number, "disk": 1, "id": str(number)}
        sizes.append(admin.call("POST", f"{nova}/flavors", {"flavor": flavor})["flavor"]["id"])
    member = signed_in(ground, PERSON, PASSWORD, PROJECT)
    networks = {}
    for number, (name, owner, shared) in enumerate((("own", member, False), ("everybody's", admin, True)), 1):
        made = owner.call(
            "POST", f"{neutron}/networks", {"network": {"name": name, **({"shared": True} if shared else {})}}
        )
        networks[name] = made["network"]["id"]
        subnet = {"network_id": networks[name], "ip_version": 4, "cidr": f"10.0.{number}.0/24", "enable_dhcp": False}
        owner.call("POST", f"{neutron}/subnets", {"subnet": subnet})
    images = {name: image(ground, admin, name, public=True) for name in IMAGES}
    return Furnished(admin, member, images, tuple(sizes), networks)


def image(ground: Ground, owner: Token, name: str, *, public: bool = False) -> str:
    """A small image, uploaded."""
    glance = f"{ground.url('glance')}/v2/images"
    wanted = {"name": name, "disk_format": "raw", "container_format": "bare", "min_disk": 1, "min_ram": SIZE_MB}
    made = owner.call("POST", glance, {**wanted, "visibility": "public" if public else "private"})["id"]
    upload(ground, owner, made)
    return str(made)


def upload(ground: Ground, owner: Token, image_id: str) -> None:
    """The bytes of an image."""
    owner.call("PUT", f"{ground.url('glance')}/v2/images/{image_id}/file", data=b"\0" * 1024)


def upload_snapshot(ground: Ground, owner: Token, image_id: str) -> None:
    """What a compute does at the end of a snapshot. The fake ones have no disk, and leave the image empty."""
    url = f"{ground.url('glance')}/v2/images/{image_id}"
    formats = {"disk_format": "raw", "container_format": "bare"}
    patch = [{"op": "replace", "path": f"/{key}", "value": value} for key, value in formats.items()]
    owner.call("PATCH", url, patch, kind="application/openstack-images-v2.1-json-patch")
    upload(ground, owner, image_id)


def application_credential(ground: Ground, member: Token) -> dict[str, str]:
    """Credentials for our driver that hold no password."""
    url = f"{ground.keystone}/users/{member.person}/application_credentials"
    made = member.call("POST", url, {"application_credential": {"name": "muster"}})["application_credential"]
    return {"application_credential_id": made["id"], "application_credential_secret": made["secret"]}
