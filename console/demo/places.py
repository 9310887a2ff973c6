"""The clouds of the demo beside the modern OpenStack: who lives there. Each small, and none like another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Literal

from console.demo import cloud as openstack
from console.demo import cloudstack_cloud as cloudstack
from console.demo import cloudstack_things, vcloud_cloud, vcloud_things
from console.demo.instance import Nic
from console.demo.offers import Flavor, Image, Network
from console.demo.population import NO_HOST, boot_text

Fleet = tuple[str, int, str, str, str, Sequence[str]]
"""Name, how many, size, image, network, the states that befall them in turn."""
AnyCloud = openstack.Cloud | cloudstack.Cloud | vcloud_cloud.Cloud


@dataclass(frozen=True)
class Place:
    """A cloud of the demo. `make` fills a new one, with that secret for its password or key."""

    slug: str
    make: Callable[[str], AnyCloud]


def _who(cloud: AnyCloud, fleets: Sequence[Fleet]) -> Iterator[tuple[str, str, str, str, str, timedelta]]:
    """(name, size, image, network, state, age) of each server."""
    chance = Random(cloud.seed)  # noqa: S311 - ages in a simulation
    for pattern, size, flavor, image, network, states in fleets:
        for place in range(size):
            age = timedelta(days=chance.randrange(30, 1500), minutes=chance.randrange(1440))
            yield pattern.format(n=place + 1), flavor, image, network, states[place % len(states)], age


def _openstack(
    generation: Literal["diablo", "essex"],
    seed: int,
    secret: str,
    *,
    sizes: Sequence[tuple[str, int, int, int]],
    networks: dict[str, str],
    public: str,
    fleets: Sequence[Fleet],
) -> openstack.Cloud:
    """`networks`: name -> first three bytes of its addresses; a fleet on "name+floating" is also at `public`."""
    cloud = openstack.Cloud(generation=generation, seed=seed, password=secret)
    for number, (name, vcpus, ram, disk) in enumerate(sizes, start=1):
        cloud.flavors[str(number)] = Flavor(str(number), name, vcpus, ram, disk)
    for number, name in enumerate(dict.fromkeys(fleet[3] for fleet in fleets), start=1):
        image = Image(str(number) if generation == "diablo" else cloud.new_id(), name)
        cloud.images[image.id] = image
    if generation != "diablo":  # it shows nobody its networks (CLOUDS.md 0)
        for name, prefix in networks.items():
            network = Network(cloud.new_id(), name, f"{prefix}.0/24")
            cloud.networks[network.id] = network
    flavors = {one.name: one.id for one in cloud.flavors.values()}
    images = {one.name: one.id for one in cloud.images.values()}
    now = cloud.clock().replace(microsecond=0)
    for number, (name, size, image_name, where, word, age) in enumerate(_who(cloud, fleets), start=4):
        label, _, floating = where.partition("+")
        mac = f"02:16:3e:{seed:02x}:00:{number:02x}"
        nics = [Nic(f"{networks[label]}.{number}", mac=mac)]
        if floating:
            nics.append(Nic(f"{public}.{number}", kind="floating", mac=mac))
        one = cloud.add(
            name,
            status=cloud.off if word == "off" else word,
            flavor=flavors[size],
            image=images[image_name],
            addresses={} if word == "ERROR" else {label: nics},
            created=now - age,
            console=boot_text(name, image_name),
        )
        if word == "ERROR":
            one.fault = NO_HOST.format(id=one.id)
    return cloud


def essex(secret: str) -> openstack.Cloud:
    """2012: what an office left there."""
    return _openstack(
        "essex",
        61,
        secret,
        sizes=(("std.small", 1, 1024, 10), ("std.medium", 2, 3072, 30), ("std.large", 4, 6144, 60)),
        networks={"office": "172.16.4", "vault": "172.16.9"},
        public="198.51.100",
        fleets=(
            ("wiki-{n}", 2, "std.medium", "ubuntu-12.04-server", "office+floating", ("ACTIVE",)),
            ("tracker", 1, "std.large", "ubuntu-12.04-server", "office+floating", ("ACTIVE",)),
            ("build-precise-{n}", 6, "std.large", "ubuntu-12.04-server", "office", ("ACTIVE", "ACTIVE", "off")),
            ("archive-{n}", 4, "std.medium", "debian-6.0-squeeze", "vault", ("ACTIVE", "SUSPENDED", "ACTIVE", "off")),
            ("print-spool", 1, "std.small", "debian-6.0-squeeze", "office", ("PAUSED",)),
            ("payroll", 1, "std.medium", "centos-6.2", "vault", ("ACTIVE",)),
            ("payroll-trial", 1, "std.medium", "centos-6.2", "vault", ("ERROR",)),
            ("intranet-{n}", 2, "std.small", "centos-6.2", "office", ("ACTIVE", "off")),
        ),
    )


def diablo(secret: str) -> openstack.Cloud:
    """2011: a handful of servers that nobody dares to touch."""
    return _openstack(
        "diablo",
        62,
        secret,
        sizes=(("256 slice", 1, 256, 10), ("1GB slice", 1, 1024, 40), ("4GB slice", 2, 4096, 160)),
        networks={"private": "10.183.7"},
        public="192.0.2",
        fleets=(
            ("ns{n}", 2, "256 slice", "debian-6.0-squeeze", "private+floating", ("ACTIVE",)),
            ("ftp", 1, "1GB slice", "ubuntu-lucid-10.04", "private+floating", ("ACTIVE",)),
            ("shop2010-{n}", 4, "1GB slice", "ubuntu-lucid-10.04", "private", ("ACTIVE", "ACTIVE", "ACTIVE", "off")),
            ("shop2010-db", 1, "4GB slice", "centos-5.7", "private", ("ACTIVE",)),
            ("newsletter", 1, "1GB slice", "centos-5.7", "private", ("off",)),
            ("old-svn", 1, "256 slice", "debian-6.0-squeeze", "private", ("ACTIVE",)),
            ("stats-{n}", 2, "1GB slice", "ubuntu-lucid-10.04", "private", ("ACTIVE", "ERROR")),
        ),
    )


def _cloudstack(
    version: str,
    seed: int,
    secret: str,
    *,
    zones: Sequence[str],
    sizes: Sequence[tuple[str, int, int]],
    networks: dict[str, str],
    fleets: Sequence[Fleet],
) -> cloudstack.Cloud:
    """`networks`: name -> first three bytes of its addresses; the first stands in the first zone, and so on round."""
    cloud = cloudstack.Cloud(version=version, seed=seed, api_key=f"demo-{seed}-{secret[:12]}", secret_key=secret)
    for name in zones:
        zone = cloudstack_things.Zone(cloud.new_id(), name)
        cloud.zones[zone.id] = zone
    for name, cpus, memory in sizes:
        offering = cloudstack_things.Offering(cloud.new_id(), name, cpus, memory)
        cloud.offerings[offering.id] = offering
    for name in dict.fromkeys(fleet[3] for fleet in fleets):
        template = cloudstack_things.Template(cloud.new_id(), name, zones=tuple(cloud.zones))
        cloud.templates[template.id] = template
    places = list(cloud.zones)
    for number, (name, prefix) in enumerate(networks.items()):
        net = cloudstack_things.Net(cloud.new_id(), name, places[number % len(places)], prefix)
        cloud.networks[net.id] = net
    named = {one.name: one for one in cloud.networks.values()}
    offerings = {one.name: one.id for one in cloud.offerings.values()}
    templates = {one.name: one.id for one in cloud.templates.values()}
    now = cloud.clock().replace(microsecond=0)
    for number, (name, size, image, where, word, age) in enumerate(_who(cloud, fleets), start=1):
        label, _, public = where.partition("+")
        machine = cloud.add(
            name,
            state=word,
            offering=offerings[size],
            template=templates[image],
            zone=named[label].zone,
            networks=(named[label].id,),
            created=now - age,
        )
        if public:
            machine.public_ip = f"203.0.113.{seed + number}"
    return cloud


def cloudstack_old(secret: str) -> cloudstack.Cloud:
    """3.0.2, whose `count` says how many are on the page."""
    return _cloudstack(
        "3.0.2",
        71,
        secret,
        zones=("lisbon",),
        sizes=(("Tiny", 1, 512), ("Regular", 2, 2048), ("Grand", 8, 8192)),
        networks={"front": "10.71.1", "back": "10.71.2"},
        fleets=(
            ("lis-proxy-{n}", 2, "Tiny", "CentOS 6.2 x64", "front+public", ("Running",)),
            ("lis-app-{n}", 9, "Regular", "CentOS 6.2 x64", "front", ("Running", "Running", "Stopped")),
            ("lis-sql-{n}", 3, "Grand", "CentOS 6.2 x64", "back", ("Running",)),
            ("lis-report-{n}", 4, "Regular", "Windows Server 2008 R2", "back", ("Stopped", "Running")),
            ("lis-desk-{n}", 5, "Tiny", "Windows Server 2008 R2", "front", ("Running", "Running", "Running", "Error")),
        ),
    )


def cloudstack_new(secret: str) -> cloudstack.Cloud:
    """4.20, whose `count` is the total."""
    return _cloudstack(
        "4.20.0.0",
        72,
        secret,
        zones=("porto-a", "porto-b"),
        sizes=(("c2.m2", 2, 2048), ("c4.m8", 4, 8192), ("c8.m32", 8, 32768)),
        networks={"mesh-a": "10.72.10", "mesh-b": "10.72.20"},
        fleets=(
            ("ingress-{n}", 4, "c2.m2", "Alpine 3.22", "mesh-a+public", ("Running",)),
            ("kube-a-{n}", 8, "c4.m8", "Debian 13", "mesh-a", ("Running",)),
            ("kube-b-{n}", 8, "c4.m8", "Debian 13", "mesh-b", ("Running", "Running", "Running", "Stopped")),
            ("ceph-{n}", 6, "c8.m32", "Rocky Linux 9", "mesh-b", ("Running",)),
            ("preview-{n}", 8, "c2.m2", "Ubuntu 24.04 LTS", "mesh-a", ("Stopped", "Running", "Stopped", "Error")),
        ),
    )


def _vcloud(
    generation: str,
    seed: int,
    secret: str,
    *,
    org: str,
    networks: Sequence[str],
    sizes: dict[str, tuple[int, int, int]],
    fleets: Sequence[Fleet],
) -> vcloud_cloud.Cloud:
    """Each fleet is a vApp; its image is the machines' guest system."""
    cloud = vcloud_cloud.Cloud(generation=generation, seed=seed, password=secret, org=org)
    cloud.networks.clear()
    for number, name in enumerate(networks):
        network = vcloud_things.Network(cloud.new_id(), name, seed + number, "isolated" if number else "bridged")
        cloud.networks[network.id] = network
    homes: dict[str, vcloud_things.VApp] = {}
    now = cloud.clock().replace(microsecond=0)
    for number, (name, size, guest, where, word, age) in enumerate(_who(cloud, fleets), start=1):
        label, _, public = where.partition("+")
        group = name.rstrip("0123456789").rstrip("-_")
        vapp = homes.get(group)
        if vapp is None:
            vapp = homes[group] = cloud.add_vapp(group, [label])
            vapp.created = now - age
        cpus, memory, disk = sizes[size]
        vm = cloud.add(name, vapp=vapp, status=word.removeprefix("PARTIALLY_"), cpus=cpus, memory_mb=memory,
                       disk_mb=disk * 1024, created=vapp.created)  # fmt: skip
        vm.deployed = word == "POWERED_ON" or word.startswith("PARTIALLY_")
        vm.guest_os = guest
        if public:
            vm.nics[0].external_ip = f"198.51.100.{seed + number}"
    return cloud


def vcloud_10(secret: str) -> vcloud_cloud.Cloud:
    """vCloud 1.0: numbers for ids, no query service."""
    return _vcloud(
        "1.0",
        81,
        secret,
        org="orchard-1",
        networks=("org-net",),
        sizes={"s": (1, 1024, 20), "m": (2, 4096, 40)},
        fleets=(
            ("erp-{n}", 3, "m", "Red Hat Enterprise Linux 5 (64-bit)", "org-net", ("POWERED_ON",)),
            ("erp_db", 1, "m", "Red Hat Enterprise Linux 5 (64-bit)", "org-net", ("POWERED_ON",)),
            ("citrix-{n}", 5, "s", "Microsoft Windows Server 2003 (32-bit)", "org-net+nat",
             ("POWERED_ON", "POWERED_OFF", "POWERED_ON")),
            ("domino-{n}", 3, "m", "Microsoft Windows Server 2003 (32-bit)", "org-net", ("SUSPENDED", "POWERED_ON")),
        ),
    )  # fmt: skip


def vcloud_15(secret: str) -> vcloud_cloud.Cloud:
    """vCloud 1.5, with its query service."""
    return _vcloud(
        "1.5",
        84,
        secret,
        org="orchard-2",
        networks=("dmz-15", "lan-15"),
        sizes={"std": (1, 2048, 30), "big": (4, 8192, 120)},
        fleets=(
            ("sharepoint-{n}", 4, "big", "Microsoft Windows Server 2008 R2 (64-bit)", "lan-15",
             ("POWERED_ON", "POWERED_ON", "POWERED_ON", "PARTIALLY_POWERED_OFF")),
            ("exchange-{n}", 3, "big", "Microsoft Windows Server 2008 R2 (64-bit)", "lan-15+nat", ("POWERED_ON",)),
            ("jboss-{n}", 6, "std", "CentOS 4/5/6 (64-bit)", "dmz-15",
             ("POWERED_ON", "POWERED_ON", "POWERED_OFF")),
            ("qa-win-{n}", 4, "std", "Microsoft Windows 7 (64-bit)", "lan-15", ("POWERED_OFF", "SUSPENDED")),
        ),
    )  # fmt: skip


def vcloud_38(secret: str) -> vcloud_cloud.Cloud:
    """VCD of API 38.1: cloudapi sessions."""
    return _vcloud(
        "38.1",
        88,
        secret,
        org="orchard-3",
        networks=("edge", "tenant"),
        sizes={"2x4": (2, 4096, 60), "4x16": (4, 16384, 100), "8x64": (8, 65536, 400)},
        fleets=(
            ("edge-fw-{n}", 2, "2x4", "Other 5.x or later Linux (64-bit)", "edge+nat", ("POWERED_ON",)),
            ("sap-app-{n}", 6, "4x16", "SUSE Linux Enterprise 15 (64-bit)", "tenant", ("POWERED_ON",)),
            ("sap-hana-{n}", 2, "8x64", "SUSE Linux Enterprise 15 (64-bit)", "tenant", ("POWERED_ON",)),
            ("vdi-{n}", 10, "2x4", "Microsoft Windows Server 2022 (64-bit)", "tenant",
             ("POWERED_ON", "POWERED_ON", "POWERED_OFF", "SUSPENDED")),
            ("lab-{n}", 4, "2x4", "Debian GNU/Linux 12 (64-bit)", "tenant", ("POWERED_OFF", "PARTIALLY_POWERED_OFF")),
        ),
    )  # fmt: skip


PLACES = (
    Place("essex", essex),
    Place("diablo", diablo),
    Place("cloudstack-3", cloudstack_old),
    Place("cloudstack-4", cloudstack_new),
    Place("vcloud-1-0", vcloud_10),
    Place("vcloud-1-5", vcloud_15),
    Place("vcd-38", vcloud_38),
)
