"""Who lives in a simulated CloudStack account."""

from __future__ import annotations

from datetime import timedelta

from console.demo.cloudstack_cloud import Cloud
from console.demo.cloudstack_things import Net, Nic, Offering, Template, Zone

ZONES = ("zone-1", "zone-2")
OFFERINGS = (("Small Instance", 1, 1024), ("Medium Instance", 2, 4096), ("Large Instance", 4, 8192))
TEMPLATES = ("Debian 12", "Ubuntu 24.04 LTS", "Rocky Linux 9")
STATES = ("Running", "Running", "Running", "Stopped", "Running", "Starting", "Running", "Stopping", "Running", "Error")
KEY_PAIR = ("ops", "51:9f:81:30:ec:82:0c:e5:8c:81:ac:14:27:d0:e5:e2")


def stock(cloud: Cloud) -> None:
    """Zones, sizes, templates, networks, a project and a key pair: what every account has."""
    for name in ZONES:
        zone = Zone(cloud.new_id(), name)
        cloud.zones[zone.id] = zone
    first = next(iter(cloud.zones))
    for name, cpus, memory in OFFERINGS:
        offering = Offering(cloud.new_id(), name, cpus, memory)
        cloud.offerings[offering.id] = offering
    custom = Offering(cloud.new_id(), "Custom Instance")
    cloud.offerings[custom.id] = custom
    for name in TEMPLATES:
        template = Template(cloud.new_id(), name, zones=tuple(cloud.zones))
        cloud.templates[template.id] = template
    secret = Template(cloud.new_id(), "Windows Server 2022", zones=(first,), password=True)
    mine = Template(cloud.new_id(), "web-golden", zones=(first,), featured=False, mine=True)
    unready = Template(cloud.new_id(), "still-downloading", zones=(first,), ready=False, featured=False)
    cloud.templates |= {one.id: one for one in (secret, mine, unready)}
    project = cloud.new_id()
    for number, zone_id in enumerate(cloud.zones):
        net = Net(cloud.new_id(), f"guest-{number + 1}", zone_id, f"10.{20 + number}.0")
        cloud.networks[net.id] = net
    if cloud.release >= (3, 0):
        cloud.projects[project] = "web-shop"
        shared = Net(cloud.new_id(), "shop-net", first, "10.60.0", project=project)
        cloud.networks[shared.id] = shared
    back = Net(cloud.new_id(), "backend", first, "10.40.0", kind="Shared")
    cloud.networks[back.id] = back
    cloud.keypairs[KEY_PAIR[0]] = (cloud.new_id(), KEY_PAIR[1])


def fill(cloud: Cloud, machines: int) -> None:
    """Machines in mixed states, over the zones and sizes, oldest first. All of them belong to the account."""
    stock(cloud)
    zones, offerings = list(cloud.zones), [id for id, one in cloud.offerings.items() if not one.customized]
    templates = [one.id for one in cloud.templates.values() if one.featured and not one.password]
    guests = {one.zone: one.id for one in cloud.networks.values() if one.name.startswith("guest")}
    back = next(one.id for one in cloud.networks.values() if one.name == "backend")
    born = cloud.clock() - timedelta(days=1 + machines / 1440)
    for number in range(machines):
        zone = zones[0 if number % 3 else number % 2]
        nets = (guests[zone], back) if zone == zones[0] and number % 5 == 4 else (guests[zone],)
        machine = cloud.add(
            f"vm-{number:05}",
            state=STATES[number % len(STATES)],
            offering=offerings[number % len(offerings)],
            template=templates[number % len(templates)],
            zone=zone,
            networks=nets,
            keypair=KEY_PAIR[0] if number % 2 else "",
            created=born + timedelta(minutes=number),
            tags={"role": "web"} if number % 7 == 0 and cloud.release >= (4, 0) else None,
        )
        if number % 10 == 1:
            machine.public_ip = f"203.0.113.{1 + number % 250}"
        if number % 11 == 3 and cloud.release >= (4, 0):
            machine.nics = _with_ip6(machine.nics, number)


def _with_ip6(nics: tuple[Nic, ...], number: int) -> tuple[Nic, ...]:
    one = nics[0]
    six = f"2001:db8:30::{number + 16:x}"
    return (
        Nic(one.id, one.network, one.ip, one.mac, one.default, six, (f"{one.ip.rpartition('.')[0]}.254",)),
        *nics[1:],
    )
