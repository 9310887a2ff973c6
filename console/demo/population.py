"""Who lives in a simulated account: believable fleets for the eye, or many servers for the clock."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import count, islice

from console.demo.cloud import Cloud
from console.demo.instance import Instance, Nic
from console.demo.offers import Flavor, Image, Network

FLAVORS = (
    ("m1.tiny", 1, 512, 1, 0),
    ("m1.small", 1, 2048, 20, 0),
    ("m1.medium", 2, 4096, 40, 0),
    ("m1.large", 4, 8192, 80, 0),
    ("m1.xlarge", 8, 16384, 160, 0),
    ("r1.large", 4, 32768, 100, 0),
    ("r1.xlarge", 8, 65536, 200, 100),
    ("c1.large", 16, 16384, 40, 0),
)
IMAGES = ("debian-12", "debian-13", "ubuntu-22.04", "ubuntu-24.04", "rocky-9", "alpine-3.22", "windows-server-2022")

# Name, how many of sixty, flavor, image, networks, statuses that befall some of them.
FLEETS: tuple[tuple[str, int, str, str, str, tuple[str, ...]], ...] = (
    ("web-{n}", 12, "m1.medium", "debian-12", "dmz+floating", ("ACTIVE",) * 11 + ("REBOOT",)),
    ("api-{n}", 8, "m1.large", "debian-12", "dmz", ("ACTIVE",) * 7 + ("PAUSED",)),
    ("db-primary", 1, "r1.xlarge", "ubuntu-22.04", "data", ("ACTIVE",)),
    ("db-replica-{n}", 3, "r1.xlarge", "ubuntu-22.04", "data", ("ACTIVE", "ACTIVE", "REBUILD")),
    ("cache-{n}", 3, "r1.large", "debian-12", "data", ("ACTIVE",)),
    ("queue-{n}", 3, "m1.large", "debian-12", "data", ("ACTIVE",)),
    ("ci-runner-{hex}", 10, "c1.large", "ubuntu-24.04", "build", ("ACTIVE",) * 6 + ("BUILD", "BUILD", "ERROR", "off")),
    ("staging-web-{n}", 3, "m1.small", "debian-13", "staging", ("off", "off", "ACTIVE")),
    ("staging-db", 1, "m1.large", "ubuntu-24.04", "staging", ("off",)),
    ("bastion", 1, "m1.tiny", "alpine-3.22", "dmz+floating", ("ACTIVE",)),
    ("vpn-gw-{n}", 2, "m1.tiny", "alpine-3.22", "dmz+floating", ("ACTIVE",)),
    ("mail-{n}", 2, "m1.small", "debian-12", "dmz+floating", ("ACTIVE",)),
    ("grafana", 1, "m1.medium", "ubuntu-24.04", "dmz", ("ACTIVE",)),
    ("backup-{n}", 2, "m1.small", "rocky-9", "data", ("ACTIVE", "SUSPENDED")),
    ("ml-train-{n}", 3, "c1.large", "ubuntu-22.04", "build", ("SUSPENDED", "VERIFY_RESIZE", "ERROR")),
    ("win-ad-{n}", 2, "m1.large", "windows-server-2022", "staging", ("ACTIVE", "off")),
    ("legacy-crm", 1, "m1.medium", "windows-server-2022", "staging", ("SHELVED_OFFLOADED",)),
    ("old-shop", 1, "m1.small", "ubuntu-22.04", "dmz", ("RESCUE",)),
    ("test \u00e9t\u00e9 \u2603", 1, "m1.tiny", "debian-13", "staging", ("off",)),
)
NETS = {"dmz": 10, "data": 20, "build": 30, "staging": 40}
NO_HOST = (
    "Exceeded maximum number of retries. Exhausted all hosts available for retrying build failures for instance {id}."
)


def stock(cloud: Cloud) -> None:
    """Sizes, images, networks and a key pair: what every account of a simulated cloud has."""
    for number, (name, vcpus, ram, disk, ephemeral) in enumerate(FLAVORS, start=1):
        flavor_id = cloud.new_id() if cloud.generation == "modern" else str(number)
        cloud.flavors[flavor_id] = Flavor(flavor_id, name, vcpus, ram, disk, ephemeral)
    for number, name in enumerate(IMAGES, start=1):
        image_id = str(number) if cloud.generation == "diablo" else cloud.new_id()
        cloud.images[image_id] = Image(image_id, name, size=cloud.random.randrange(200, 4000) * 2**20)
    cloud.keypairs["ops"] = (
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFUb1m0xkP1Wv2Wb4Nn5mZ1oWw3nqk1nqkqk1nqkqk1n ops@example.com"
    )
    if cloud.generation != "diablo":  # it shows nobody its networks (CLOUDS.md 0)
        for name, third in NETS.items():
            network_id = cloud.new_id()
            cloud.networks[network_id] = Network(network_id, name, f"10.20.{third}.0/24")
        private = cloud.new_id()
        cloud.networks[private] = Network(private, "private")


def addresses(cloud: Cloud, networks: str, number: int) -> dict[str, tuple[Nic, ...]]:
    """Fixed IPv4 and IPv6 on the named network, and a floating one for "…+floating"."""
    label, _, floating = networks.partition("+")
    mac = f"fa:16:3e:{cloud.random.randrange(256):02x}:{number >> 8 & 255:02x}:{number & 255:02x}"
    third, host = NETS[label] + (number >> 8) % 8, 4 + number % 250
    nics = [Nic(f"10.20.{third}.{host}", mac=mac)]
    if label == "dmz":
        nics.append(Nic(f"2001:db8:20:{third:x}::{number + 16:x}", version=6, mac=mac))
    if floating:
        nics.append(Nic(f"203.0.113.{1 + number % 250}", kind="floating", mac=mac))
    return {label: tuple(nics)}


def _plan(cloud: Cloud) -> Iterator[tuple[str, str, str, str, str]]:
    """Endless (name, flavor, image, networks, status), in the proportions of FLEETS."""
    for round_ in count():
        for pattern, size, flavor, image, networks, statuses in FLEETS:
            for place in range(size):
                name = pattern.format(n=round_ * size + place + 1, hex=f"{cloud.random.getrandbits(24):06x}")
                if round_ and "{" not in pattern:
                    name = f"{name}-{round_ + 1}"
                yield name, flavor, image, networks, statuses[place % len(statuses)]


def people(cloud: Cloud, servers: int) -> None:
    """Fills the account with `servers` believable ones, of ages from minutes to years."""
    stock(cloud)
    flavors = {one.name: one.id for one in cloud.flavors.values()}
    images = {one.name: one.id for one in cloud.images.values()}
    now = cloud.clock()
    for number, (name, flavor, image, networks, word) in enumerate(islice(_plan(cloud), servers), start=1):
        status = cloud.off if word == "off" else word
        age = timedelta(minutes=cloud.random.randrange(1, 90))
        if not name.startswith("ci-runner"):
            age = timedelta(days=cloud.random.randrange(2, 900), minutes=cloud.random.randrange(1440))
        instance = cloud.add(
            name,
            status=status,
            flavor=flavors[flavor],
            image=images[image],
            addresses={} if status in ("BUILD", "ERROR") else addresses(cloud, networks, number),
            metadata={"role": name.split("-")[0].split(" ")[0], "env": "staging" if "staging" in networks else "prod"},
            key_name=None if image.startswith("windows") else "ops",
            created=(now - age).replace(microsecond=0),
            console=boot_text(name, image),
        )
        if status == "ERROR":
            instance.fault = NO_HOST.format(id=instance.id)
        if status == "BUILD":
            instance.task_state = "scheduling"


def boot_text(name: str, image: str) -> str:
    """The last lines that a booting machine writes to its console."""
    return (
        f"[    0.000000] Linux version 6.1.0-31-cloud-amd64 ({image})\n"
        "[    1.204511] virtio_net virtio0 ens3: renamed from eth0\n"
        f"[    3.880127] systemd[1]: Set hostname to <{name}>.\n"
        "[  OK  ] Reached target multi-user.target - Multi-User System.\n"
        f"\n{name} login: "
    )


def fill(cloud: Cloud, servers: int) -> None:
    """Fills the account with plain servers, quickly: vm-00001 and on, one a second in age."""
    stock(cloud)
    flavors, images, off = list(cloud.flavors), list(cloud.images), cloud.off
    now = cloud.clock().replace(microsecond=0)
    project, user = cloud.projects[cloud.project], cloud.users[cloud.username].id
    made: dict[str, Instance] = {}
    for number in range(1, servers + 1):
        born = now - timedelta(seconds=servers - number)
        nic = Nic(f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}", mac=_mac(number))
        instance = Instance(
            id=cloud.new_id(),
            name=f"vm-{number:05d}",
            number=number,
            status=off if number % 10 == 0 else "ACTIVE",
            flavor=flavors[number % len(flavors)],
            image=images[number % len(images)],
            project_id=project,
            user_id=user,
            created=born,
            updated=born,
            addresses={"private": (nic,)},
            metadata={"rack": str(number % 40)},
            key_name="ops",
            host_id=f"{number % 61:056x}",
        )
        made[instance.id] = instance
    with cloud.lock:
        cloud.instances.update(made)


def _mac(number: int) -> str:
    return f"fa:16:3e:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"
