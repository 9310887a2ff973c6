"""What a vCloud account can order, and ordering it: templates, networks, and a vApp with one server in it."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from accounts.clouds import vcloud_orders as orders
from accounts.clouds import vcloud_rows as rows
from accounts.clouds import vcloud_xml as xml
from accounts.clouds.operations import Image, Network, Order, Size, Task
from accounts.clouds.vcloud_acting import POLICY, policy_at, script
from accounts.clouds.vcloud_listing import Listing
from accounts.clouds.vcloud_tasks import Tasks, Wish, taken
from accounts.clouds.vcloud_wire import Wire
from console.lib.faults import Refused, Unexpected

_TEMPLATE: Final = f"{xml.VCLOUD}vAppTemplate+xml"


class Offers:
    """The offers of one account."""

    def __init__(self, wire: Wire, listing: Listing, tasks: Tasks) -> None:
        self._wire = wire
        self._listing = listing
        self._tasks = tasks

    def sizes(self) -> tuple[Size, ...]:
        """The VM sizing policies of the data centres ([SRC] go-vcloud-director: assigned compute policies, /cloudapi
        1.0.0 since 33 and 2.0.0 since 35). One of them may leave CPUs and memory open."""
        release = "2.0.0" if self._wire.spoken.version >= (36,) else "1.0.0"
        found: dict[str, Size] = {}
        for vdc in self._listing.vdcs():
            for policy in self._wire.documents(f"{release}/vdcs/urn:vcloud:vdc:{quote(xml.tail(vdc))}/computePolicies"):
                if policy.get("pvdcComputePolicy") or not str(policy.get("id", "")).startswith(POLICY):
                    continue  # where machines may run, and not how large they are
                size = Size(str(policy["id"]), xml.cut(str(policy.get("name") or policy["id"])),
                            xml.number(str(policy.get("cpuCount"))), xml.number(str(policy.get("memory"))))  # fmt: skip
                found[size.id] = size
        return tuple(found.values())

    def images(self) -> tuple[Image, ...]:
        """vApp templates: by the query service since 1.5, catalog by catalog in 1.0."""
        found: dict[str, Image] = {}
        if self._listing.queries:
            for record in self._listing.records("vAppTemplate"):
                if record.get("status", "RESOLVED") not in ("UNRESOLVED", "FAILED_CREATION", "UNKNOWN"):
                    image = xml.tail(record.get("href", ""))
                    found[image] = Image(image, xml.cut(record.get("name", "")) or image)
        else:
            catalogs = [address for org in self._wire.orgs() for _, address in xml.links(org, "down", "catalog")]
            items = [item for items in self._wire.gather(catalogs, _items) for item in items or ()]
            for entity in self._wire.gather(items, _entity):
                if entity is not None:
                    found[entity.id] = entity
        return tuple(found.values())

    def networks(self) -> tuple[Network, ...]:
        """The networks that each virtual data centre may connect to."""
        vdcs = self._listing.vdcs()
        found: dict[tuple[str, str], Network] = {}
        for zone, inside in zip(vdcs.values(), self._wire.gather(vdcs, _available), strict=True):
            for address, name in inside or ():
                network = xml.tail(address)
                found[zone, network] = Network(network, name or network, zone)
        return tuple(found.values())

    def create(self, order: Order) -> Task:
        """A vApp with the server in it; it is started when it has what was ordered."""
        if order.key_name:
            raise Refused("There are no key pairs in vCloud: put the key into the start-up script.")
        old = self._wire.spoken.generation == "1.0"
        if old and order.metadata:
            raise Refused("vCloud 1.0 takes no metadata with an order. Create it without.")
        vdc = self._vdc(order.zone)
        wish = orders.Wish(order.name, {}, False, script(order.user_data))
        address = xml.link(vdc, "add", "instantiateVAppTemplateParams" if old else "composeVAppParams")
        if not address:
            raise Refused("The cloud does not let this account create servers here.")
        template_at = f"{self._wire.spoken.root}/vAppTemplate/{quote(order.image, safe='')}"
        template = self._wire.find(template_at)
        if template is None:
            raise Refused("The cloud does not know this image any more.")
        networks = self._chosen(vdc, order.networks)
        if old:
            # There the cards of a template keep the network's name that it has inside, so ours takes that name.
            inside = [xml.attribute(found, "name") for found in xml.children(template, "NetworkSection", "Network")]
            names = [name for name in inside if name and name != "none"]
            renamed = {(names[place] if place < len(names) else name): at
                       for place, (name, at) in enumerate(networks.items())}  # fmt: skip
            content = orders.instantiate(
                self._wire.spoken, orders.Wish(order.name, renamed, power_on=False), template_at
            )
        else:
            machines = [found.get("href", "") for found in rows.machines(template)]
            if not machines:
                raise Refused("This image has no server in it.")
            content = orders.compose(
                self._wire.spoken, orders.Wish(order.name, networks, power_on=False, script=wish.script), machines
            )
        response = self._wire.request("POST", address, content)
        vapp = self._wire.read(response)
        at = vapp.get("href", "")
        if xml.name_of(vapp) != "VApp" or not at:
            raise Unexpected("The cell took an order without saying what it makes of it.")
        task, since = taken(vapp)
        made = Wish(
            "create",
            at,
            name=order.name,
            cpus=order.cpus,
            memory_mb=order.memory_mb,
            metadata=dict(order.metadata),
            policy=policy_at(self._wire.spoken, order.size),
        )
        return Task(self._tasks.began(made, task, since).ref)

    def _vdc(self, zone: str) -> xml.Element:
        vdcs = self._listing.vdcs()
        address = next((address for address, name in vdcs.items() if zone in ("", name)), "")
        if not address:
            raise Refused(f"The organisation has no virtual data centre named {zone}." if zone else
                          "The organisation has no virtual data centre to create servers in.")  # fmt: skip
        return self._wire.get(address)

    def _chosen(self, vdc: xml.Element, wanted: tuple[str, ...]) -> dict[str, str]:
        """Address by name; the first that there is when none was ordered."""
        offered = {xml.tail(address): (name, address) for address, name in _available(vdc)}
        if not wanted:
            return dict(list(offered.values())[:1])
        if unknown := [network for network in wanted if network not in offered]:
            raise Refused(f"This virtual data centre has no network {', '.join(unknown)}.")
        return dict(offered[network] for network in wanted)


def _items(catalog: xml.Element) -> list[str]:
    return [item.get("href", "") for item in xml.children(catalog, "CatalogItems", "CatalogItem")]


def _entity(item: xml.Element) -> Image | None:
    """What a catalog item holds; None for media."""
    entity = xml.child(item, "Entity")
    if entity is None or entity.get("type") != _TEMPLATE:
        return None
    image = xml.tail(entity.get("href", ""))
    return Image(image, xml.cut(entity.get("name", "") or item.get("name", "")) or image)


def _available(vdc: xml.Element) -> list[tuple[str, str]]:
    return [
        (found.get("href", ""), xml.cut(found.get("name", "")))
        for found in xml.children(vdc, "AvailableNetworks", "Network")
    ]
