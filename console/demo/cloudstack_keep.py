"""A simulated CloudStack on disk, as keep.py has it for OpenStack. Jobs and events are not kept."""

from __future__ import annotations

from typing import Any

from console.demo.cloudstack_cloud import Cloud
from console.demo.cloudstack_things import DiskSnapshot, Machine, Net, Offering, Snapshot, Template, Zone
from console.demo.packing import pack, unpack_all

LEFT = frozenset({"rendered", "job"})
# What a machine was about to be when its cloud was ended in the middle.
ARRIVED = {"Starting": "Running", "Stopping": "Stopped", "Migrating": "Running"}


def dump(cloud: Cloud) -> dict[str, Any]:
    """Everything that outlives the process, as JSON. End the jobs first: what they would do is not kept."""
    with cloud.lock:
        return {
            "version": cloud.version,
            "counting": cloud.counting,
            "seed": cloud.seed,
            "api_key": cloud.api_key,
            "secret_key": cloud.secret_key,
            "zones": pack(list(cloud.zones.values())),
            "offerings": pack(list(cloud.offerings.values())),
            "templates": pack(list(cloud.templates.values())),
            "networks": pack(list(cloud.networks.values())),
            "projects": cloud.projects,
            "keypairs": {name: list(key) for name, key in cloud.keypairs.items()},
            "machines": [pack(one, LEFT) for one in cloud.machines.values() if one.state != "Expunging"],
            "snapshots": pack(list(cloud.snapshots.values())),
            "disk_snapshots": pack(list(cloud.disk_snapshots.values())),
        }


def load(kept: dict[str, Any], random: str) -> Cloud:
    """The cloud that `dump` wrote down. `random` is where its ids go on: not the seed, which gave out those it has."""
    cloud = Cloud(
        version=kept["version"],
        counting=kept["counting"],
        seed=kept["seed"],
        api_key=kept["api_key"],
        secret_key=kept["secret_key"],
        zones=unpack_all(Zone, kept["zones"]),
        offerings=unpack_all(Offering, kept["offerings"]),
        templates=unpack_all(Template, kept["templates"]),
        networks=unpack_all(Net, kept["networks"]),
        projects=kept["projects"],
        keypairs={name: (id_, print_) for name, (id_, print_) in kept["keypairs"].items()},
        machines=unpack_all(Machine, kept["machines"]),
        snapshots=unpack_all(Snapshot, kept["snapshots"]),
        disk_snapshots=unpack_all(DiskSnapshot, kept["disk_snapshots"]),
    )
    for machine in cloud.machines.values():
        machine.state = ARRIVED.get(machine.state, machine.state)
    cloud.random.seed(random)
    return cloud
