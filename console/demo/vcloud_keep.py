"""A simulated vCloud organisation on disk, as keep.py has it for OpenStack. Sessions, tasks and events are not kept."""

from __future__ import annotations

from typing import Any

from console.demo.packing import pack, unpack, unpack_all
from console.demo.vcloud_cloud import Cloud
from console.demo.vcloud_things import OFF, UNRESOLVED, Network, Template, VApp, Vm

LEFT = frozenset({"rendered", "task", "vapp", "vms"})


def dump(cloud: Cloud) -> dict[str, Any]:
    """Everything that outlives the process, as JSON. End the tasks first: what they would do is not kept."""
    with cloud.lock:
        return {
            "generation": cloud.generation,
            "seed": cloud.seed,
            "password": cloud.password,
            "org": cloud.org,
            "cards": cloud.cards,
            "networks": pack(list(cloud.networks.values())),
            "templates": pack(list(cloud.templates.values())),
            "vapps": [pack(one, LEFT) | {"vms": [pack(vm, LEFT) for vm in one.vms]} for one in cloud.vapps.values()],
        }


def load(kept: dict[str, Any], random: str) -> Cloud:
    """The cloud that `dump` wrote down. `random` is where its ids go on: not the seed, which gave out those it has."""
    cloud = Cloud(
        generation=kept["generation"],
        seed=kept["seed"],
        password=kept["password"],
        org=kept["org"],
        cards=kept["cards"],
        networks=unpack_all(Network, kept["networks"]),
        templates=unpack_all(Template, kept["templates"]),
    )
    for one in kept["vapps"]:
        vapp = unpack(VApp, {name: value for name, value in one.items() if name != "vms"})
        vapp.resolved = True  # what was being made when the cell was ended is made, and off
        vapp.vms = [unpack(Vm, vm, vapp=vapp) for vm in one["vms"]]
        for vm in vapp.vms:
            if vm.status == UNRESOLVED:
                vm.status, vm.deployed = OFF, False
        cloud.vapps[vapp.id] = vapp
        cloud.vms |= {vm.id: vm for vm in vapp.vms}
    cloud.random.seed(random)
    return cloud
