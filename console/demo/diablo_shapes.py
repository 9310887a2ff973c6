"""How Diablo's Nova writes its things down, in v1.0 and in v1.1, as in diablo.txt: whole numbers for ids."""

from __future__ import annotations

from typing import Any

from console.demo.cloud import Cloud
from console.demo.instance import WITH_PROGRESS, Instance
from console.demo.keystone import zulu
from console.demo.offers import Flavor, Image
from console.demo.shapes import Style
from console.demo.wire import Request


class DiabloStyle(Style):
    """One way of writing: v1.0 (no links, no dates) or v1.1, with the links of the caller."""

    def __init__(self, cloud: Cloud, request: Request, version: str, project_id: str) -> None:
        super().__init__(cloud, request, version, project_id, 1)
        self.first = version == "v1.0"
        self.root = f"{request.base}/{project_id}"
        self.here = f"{request.base}/v1.0" if self.first else f"{request.base}/v1.1/{project_id}"
        self.key = (self.here, version)

    def _linked(self, kind: str, thing_id: object) -> dict[str, Any]:
        return {} if self.first else {"links": self.links(kind, str(thing_id))}

    def brief(self, instance: Instance) -> dict[str, Any]:
        """A server in GET /servers."""
        shown = {"id": instance.number, "uuid": instance.id, "name": instance.name}
        return shown | self._linked("servers", instance.number)

    def server(self, instance: Instance) -> dict[str, Any]:
        """A server in GET /servers/detail and GET /servers/{id}."""
        gone = instance.status == "DELETED"
        shown = self.brief(instance) | {
            "status": instance.status,
            "hostId": instance.host_id,
            "user_id": instance.user_id,
            "tenant_id": instance.project_id,
            "addresses": self.addresses(instance),
            # A deleted server has neither metadata nor addresses any more (diablo.txt, changes-since).
            "metadata": {} if gone else instance.metadata,
        }
        if self.first:
            return shown | {"imageId": number(instance.image), "flavorId": number(instance.flavor)}
        shown |= {
            "created": zulu(instance.created),
            "updated": zulu(instance.updated),
            "accessIPv4": "",
            "accessIPv6": "",
            "key_name": instance.key_name,
            "config_drive": "",
            "image": self.reference("images", instance.image),
            "flavor": self.reference("flavors", instance.flavor),
        }
        if instance.status in WITH_PROGRESS:
            shown["progress"] = 100 if instance.status == "ACTIVE" else 0
        return shown

    def updated(self, instance: Instance) -> dict[str, Any]:
        """A server in the replies of PUT and rebuild."""
        return self.server(instance)

    def addresses(self, instance: Instance) -> dict[str, Any]:
        """v1.0: public and private lists; v1.1: label -> addresses."""
        gone = instance.status == "DELETED"
        if not self.first:
            return {
                label: [] if gone else [{"version": nic.version, "addr": nic.addr} for nic in nics]
                for label, nics in instance.addresses.items()
            }
        nics = [] if gone else [nic for group in instance.addresses.values() for nic in group]
        return {
            "public": [nic.addr for nic in nics if nic.kind == "floating"],
            "private": [nic.addr for nic in nics if nic.kind == "fixed" and nic.version == 4],
        }

    def flavor(self, flavor: Flavor) -> dict[str, Any]:
        """A size in GET /flavors/detail."""
        shown = {
            "id": number(flavor.id),
            "name": flavor.name,
            "ram": flavor.ram,
            "disk": flavor.disk,
            "vcpus": flavor.vcpus,
            "swap": 0,
            "rxtx_cap": 0,
            "rxtx_quota": 0,
        }
        return shown | self._linked("flavors", flavor.id)

    def image(self, image: Image) -> dict[str, Any]:
        """An image in GET /images/detail."""
        shown: dict[str, Any] = {
            "id": number(image.id) if self.first else image.id,
            "name": image.name,
            "created": image.created,
            "updated": image.created,
            "status": image.status,
            "progress": 100 if image.status == "ACTIVE" else 0,
        }
        if not self.first:
            shown["metadata"] = {"kernel_id": "nokernel", "ramdisk_id": "nokernel", **image.metadata}
        made_of = self.cloud.instances.get(image.server) or self.cloud.buried.get(image.server)
        if made_of is not None and self.first:
            shown["serverId"] = made_of.number
        elif made_of is not None:
            shown["server"] = {"id": str(made_of.number), "links": self.links("servers", str(made_of.number))}
        return shown | self._linked("images", image.id)


def number(thing_id: str) -> int | str:
    """The id as Diablo writes it: a number where it is one (diablo.txt has an image "fake")."""
    return int(thing_id) if thing_id.isdigit() else thing_id
