"""A new instance in a simulated cloud, at an address of one's choice, which reads its own metadata from there."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Final

from console.demo import cloud as openstack_cloud
from console.demo import cloudstack_cloud
from console.demo.cloudstack_things import Nic as CloudStackNic
from console.demo.instance import Nic
from console.demo.metadata import Cloud, Residents
from console.demo.vcloud_things import Nic as VCloudNic

NETWORK: Final = "private"


@dataclass(frozen=True, slots=True)
class Launched:
    """`external_id` is how the cloud's API names it, `told` how its metadata or firmware does."""

    platform: str
    external_id: str
    told: str
    address: str
    mac: str


def launch(
    cloud: Cloud, residents: Residents, name: str, address: str, *, mac: str = "", user_data: bytes = b""
) -> Launched:
    """Runs from now on, is listed by the API, and reads its metadata from `address`."""
    number = int.from_bytes(bytes(int(part) for part in address.split(".")), "big")
    mac = mac or ":".join(f"{byte:02x}" for byte in (0x06).to_bytes(1, "big") + number.to_bytes(5, "big"))
    data = base64.b64encode(user_data).decode()
    if isinstance(cloud, openstack_cloud.Cloud):
        one = cloud.add(name, addresses={NETWORK: [Nic(address, mac=mac)]})
        with cloud.lock:
            one.user_data = data
        residents.put(address, cloud, one.id)
        told = one.id if cloud.generation != "diablo" else f"i-{one.number:08x}"
        external = one.id if cloud.generation != "diablo" else str(one.number)
        return Launched("openstack", external, told, address, mac)
    if isinstance(cloud, cloudstack_cloud.Cloud):
        machine = cloud.add(name, userdata=data)
        with cloud.lock:
            first = machine.nics[0]
            machine.nics = (CloudStackNic(first.id, first.network, address, mac, True),)
            cloud.touch(machine)
        residents.put(address, cloud, machine.id)
        return Launched("cloudstack", machine.id, machine.id, address, mac)
    vm = cloud.add(name, nics=[VCloudNic(next(one.name for one in cloud.networks.values()), ip=address, mac=mac)])
    residents.put(address, cloud, vm.id)
    return Launched("vcloud", f"vm-{vm.id}", vm.id, address, mac)
