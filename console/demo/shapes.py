"""How Nova writes its things down: Essex as in essex.txt, modern as in modern.txt for each microversion."""

from __future__ import annotations

from typing import Any

from console.demo.cloud import Cloud
from console.demo.instance import WITH_FAULT, WITH_PROGRESS, Instance, Nic
from console.demo.keystone import zulu
from console.demo.offers import Flavor, Image
from console.demo.wire import Request


class Style:
    """One way of writing: generation, microversion and the links of the caller. Makes dicts for JSON."""

    def __init__(self, cloud: Cloud, request: Request, version: str, project_id: str, minor: int) -> None:
        self.cloud = cloud
        self.essex = cloud.generation == "essex"
        self.minor = minor
        self.root = f"{request.base}/{project_id}" if self.essex else request.base
        self.here = f"{request.base}/{version}/{project_id}" if self.essex else f"{request.base}/{version}"
        self.base = request.base
        self.key = (self.here, str(minor))

    def links(self, kind: str, thing_id: str) -> list[dict[str, str]]:
        """The self and bookmark links of a thing."""
        return [
            {"rel": "self", "href": f"{self.here}/{kind}/{thing_id}"},
            {"rel": "bookmark", "href": f"{self.root}/{kind}/{thing_id}"},
        ]

    def reference(self, kind: str, thing_id: str) -> dict[str, Any]:
        """An id with its bookmark link."""
        return {"id": thing_id, "links": [{"rel": "bookmark", "href": f"{self.root}/{kind}/{thing_id}"}]}

    def brief(self, instance: Instance) -> dict[str, Any]:
        """A server in GET /servers."""
        return {"id": instance.id, "name": instance.name, "links": self.links("servers", instance.id)}

    def server(self, instance: Instance) -> dict[str, Any]:
        """A server in GET /servers/detail and GET /servers/{id}."""
        shown = self._common(instance)
        return self._essex(instance, shown) if self.essex else self._modern(instance, shown)

    def _common(self, instance: Instance) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "accessIPv4": "",
            "accessIPv6": "",
            "addresses": self.addresses(instance),
            "created": zulu(instance.created),
            "flavor": self.reference("flavors", instance.flavor),
            "hostId": instance.host_id,
            "id": instance.id,
            "image": self.reference("images", instance.image) if instance.image else "",
            "links": self.links("servers", instance.id),
            "metadata": instance.metadata,
            "name": instance.name,
            "status": instance.status,
            "tenant_id": instance.project_id,
            "user_id": instance.user_id,
            "updated": zulu(instance.updated),
            "OS-DCF:diskConfig": "AUTO" if self.essex else "MANUAL",
            "config_drive": "",
            "key_name": instance.key_name,
        }
        if instance.status in WITH_PROGRESS:
            shown["progress"] = 0
        if instance.fault and instance.status in WITH_FAULT:
            shown["fault"] = {"code": 500, "created": zulu(instance.updated), "message": instance.fault}
        return shown

    def updated(self, instance: Instance) -> dict[str, Any]:
        """A server in the replies of PUT and rebuild: Essex leaves its extended status out there."""
        return self._common(instance) if self.essex else self.server(instance)

    def _essex(self, instance: Instance, shown: dict[str, Any]) -> dict[str, Any]:
        return shown | {
            "OS-EXT-STS:task_state": instance.task_state,
            "OS-EXT-STS:vm_state": instance.vm_state,
            "OS-EXT-STS:power_state": instance.power_state,
            "OS-EXT-SRV-ATTR:host": "vm",
            "OS-EXT-SRV-ATTR:hypervisor_hostname": None,
            "OS-EXT-SRV-ATTR:instance_name": f"instance-{instance.number:08x}",
        }

    def _modern(self, instance: Instance, shown: dict[str, Any]) -> dict[str, Any]:
        launched = instance.created.strftime("%Y-%m-%dT%H:%M:%S.%f") if instance.host_id else None
        ended = instance.updated.strftime("%Y-%m-%dT%H:%M:%S.%f") if instance.status == "DELETED" else None
        shown |= {
            "OS-EXT-AZ:availability_zone": "" if instance.status in WITH_FAULT else "nova",
            "OS-SRV-USG:launched_at": launched,
            "OS-SRV-USG:terminated_at": ended,
            "OS-EXT-STS:task_state": instance.task_state,
            "OS-EXT-STS:vm_state": instance.vm_state,
            "OS-EXT-STS:power_state": instance.power_state,
            "os-extended-volumes:volumes_attached": [],
        }
        if instance.addresses:
            shown["security_groups"] = [{"name": "default"}]
        if self.minor >= 47:
            shown["flavor"] = self.embedded(self.cloud.flavors.get(instance.flavor))
        if self.minor >= 98 and instance.image:
            shown["image"]["properties"] = {}
        for since, key, value in (
            (9, "locked", instance.locked),
            (19, "description", None),
            (26, "tags", []),
            (63, "trusted_image_certificates", None),
            (73, "locked_reason", None),
            (90, "OS-EXT-SRV-ATTR:hostname", instance.name),
            (96, "pinned_availability_zone", None),
            (100, "scheduler_hints", {}),
        ):
            if self.minor >= since:
                shown[key] = value
        return shown

    def embedded(self, flavor: Flavor | None) -> dict[str, Any]:
        """A size inside a server, as since microversion 2.47."""
        size = flavor or Flavor("", "gone", 1, 64, 1)
        return {
            "vcpus": size.vcpus,
            "ram": size.ram,
            "disk": size.disk,
            "ephemeral": size.ephemeral,
            "swap": 0,
            "original_name": size.name,
            "extra_specs": {},
        }

    def addresses(self, instance: Instance) -> dict[str, list[dict[str, Any]]]:
        """Network label -> its addresses."""
        return {label: [self._address(nic) for nic in nics] for label, nics in instance.addresses.items()}

    def _address(self, nic: Nic) -> dict[str, Any]:
        if self.essex:
            return {"version": nic.version, "addr": nic.addr}
        return {
            "version": nic.version,
            "addr": nic.addr,
            "OS-EXT-IPS:type": nic.kind,
            "OS-EXT-IPS-MAC:mac_addr": nic.mac,
        }

    def flavor(self, flavor: Flavor) -> dict[str, Any]:
        """A size in GET /flavors/detail."""
        shown: dict[str, Any] = {
            "id": flavor.id,
            "name": flavor.name,
            "ram": flavor.ram,
            "disk": flavor.disk,
            "swap": "" if self.essex or self.minor < 75 else 0,
            "OS-FLV-EXT-DATA:ephemeral": flavor.ephemeral,
            "vcpus": flavor.vcpus,
            "rxtx_factor": 1.0,
            "links": self.links("flavors", flavor.id),
        }
        if not self.essex:
            shown |= {"OS-FLV-DISABLED:disabled": False, "os-flavor-access:is_public": True}
        if not self.essex and self.minor >= 55:
            shown["description"] = None
        if not self.essex and self.minor >= 61:
            shown["extra_specs"] = {}
        return shown

    def image(self, image: Image) -> dict[str, Any]:
        """An image in GET /images/detail (Nova's proxy)."""
        glance = f"{self.root}/images/{image.id}" if self.essex else f"{self.base}/image/images/{image.id}"
        alternate = {"rel": "alternate", "type": "application/vnd.openstack.image", "href": glance}
        shown: dict[str, Any] = {
            "id": image.id,
            "name": image.name,
            "minRam": image.min_ram,
            "minDisk": image.min_disk,
            "metadata": {"architecture": "x86_64", **self._properties(image), **image.metadata},
            "created": image.created,
            "updated": image.created,
            "status": image.status,
            "progress": 100 if image.status == "ACTIVE" else 25,
            "links": [*self.links("images", image.id), alternate],
        }
        if image.server:
            shown["server"] = {"id": image.server, "links": self.links("servers", image.server)}
        return shown if self.essex else shown | {"OS-EXT-IMG-SIZE:size": image.size}

    def _properties(self, image: Image) -> dict[str, str]:
        """What Nova writes into a snapshot."""
        if not image.server:
            return {}
        return {"instance_uuid": image.server, "image_type": "snapshot", "base_image_ref": image.base}
