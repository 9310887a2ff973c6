"""What callers send to a simulated cell, read strictly: content type, namespace, root element and what it must hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from lxml import etree

from console.demo.vcloud_things import Trouble, bad
from console.demo.wire import Request

OVF = "http://schemas.dmtf.org/ovf/envelope/1"
RASD = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
VSSD = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData"
VMW = "http://www.vmware.com/schema/ovf"


def _parser() -> etree.XMLParser:
    return etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)


@dataclass(frozen=True, slots=True)
class Body:
    """A parsed request body; `ns` is the API's own namespace."""

    root: etree._Element
    ns: str

    def flag(self, name: str, default: bool) -> bool:
        """A boolean attribute of the root."""
        return self.root.get(name, str(default)).strip().lower() in ("true", "1")

    def all(self, path: str, start: etree._Element | None = None) -> Iterator[etree._Element]:
        """Elements under `start` (the root) by a path of names; "ovf:", "rasd:" and "vmw:" prefixes are known."""
        spaces = {"v": self.ns, "ovf": OVF, "rasd": RASD, "vmw": VMW}
        parts = (part if ":" in part or part in (".", "", "*") else f"v:{part}" for part in path.split("/"))
        yield from (self.root if start is None else start).iterfind("/".join(parts), spaces)

    def text(self, path: str, start: etree._Element | None = None) -> str | None:
        """The text of the first such element, None when there is none."""
        return next(((one.text or "") for one in self.all(path, start)), None)


def read(request: Request, ns: str, root: str, media: str) -> Body:
    """The body, whose root must be `root` and whose content type `media` (short: "recomposeVAppParams").

    Raises Trouble: 415 for another content type, 400 for what is not such a document.
    """
    wanted = f"application/vnd.vmware.vcloud.{media}+xml"
    given = request.headers.get("Content-Type", "").partition(";")[0].strip()
    if given.lower() != wanted.lower():
        raise Trouble(415, "UNSUPPORTED_MEDIA_TYPE", f"Content type {given or 'none'} is not supported: send {wanted}.")
    try:
        found = etree.fromstring(request.body, _parser())
    except etree.XMLSyntaxError as error:
        raise bad(f"Bad request\n - Unexpected error while parsing the request body: {error}") from error
    name = etree.QName(found)
    if found.getroottree().docinfo.doctype:
        raise bad("Bad request\n - A DOCTYPE is not allowed.")
    space = OVF if name.localname in ("VirtualHardwareSection", "Item") and name.namespace == OVF else ns
    if name.localname != root or name.namespace != space:
        raise bad(f"Bad request\n - Unexpected element {found.tag}, expected {{{space}}}{root}.")
    return Body(found, ns)


@dataclass(frozen=True, slots=True)
class Source:
    """A machine to put into a vApp: from which thing, and how it shall be."""

    href: str
    name: str = ""
    networks: tuple[tuple[str, str], ...] = ()
    """(network name, allocation mode) of each card; empty: the vApp's first network."""
    computer_name: str = ""
    script: str = ""
    password: str = ""
    delete: bool = False


@dataclass(frozen=True, slots=True)
class Planting:
    """A vApp to make."""

    name: str
    description: str
    deploy: bool
    power_on: bool
    networks: tuple[str, ...]
    sources: tuple[Source, ...] = field(default_factory=tuple)


def planting(body: Body, *, deploy: bool) -> Planting:
    """InstantiateVAppTemplateParams or (Rec|C)omposeVAppParams; `deploy` is the default of both attributes."""
    networks = tuple(
        one.get("networkName", "") for one in body.all("InstantiationParams/NetworkConfigSection/NetworkConfig")
    )
    for config in body.all("InstantiationParams/NetworkConfigSection/NetworkConfig"):
        if body.text("Configuration/FenceMode", config) is None:
            raise bad("validation error on field 'fenceMode': may not be null")
    sources = [Source(one.get("href", "")) for one in body.all("Source")]
    sources += [_source(body, item) for item in body.all("SourcedItem")]
    return Planting(
        name=body.root.get("name", ""),
        description=body.text("Description") or "",
        deploy=body.flag("deploy", deploy),
        power_on=body.flag("powerOn", deploy),
        networks=networks,
        sources=tuple(sources),
    )


def _source(body: Body, item: etree._Element) -> Source:
    source = next(body.all("Source", item), None)
    if source is None or not source.get("href"):
        raise bad("validation error on field 'source': may not be null")
    cards = tuple(
        (card.get("network", ""), body.text("IpAddressAllocationMode", card) or "NONE")
        for card in body.all("InstantiationParams/NetworkConnectionSection/NetworkConnection", item)
    )
    guest = "InstantiationParams/GuestCustomizationSection"
    return Source(
        href=source.get("href", ""),
        name=body.text("VmGeneralParams/Name", item) or source.get("name", ""),
        networks=cards,
        computer_name=body.text(f"{guest}/ComputerName", item) or "",
        script=body.text(f"{guest}/CustomizationScript", item) or "",
        password=body.text(f"{guest}/AdminPassword", item) or "",
        delete=item.get("sourceDelete", "false") == "true",
    )


def quantity(body: Body, item: etree._Element | None = None) -> tuple[int, int]:
    """(resource type, virtual quantity) of a hardware item. Raises Trouble when either is missing."""
    kind, amount = body.text("rasd:ResourceType", item), body.text("rasd:VirtualQuantity", item)
    if not (kind or "").isdigit() or not (amount or "").isdigit():
        raise bad("validation error on field 'rasd': ResourceType and VirtualQuantity must be numbers")
    return int(kind or 0), int(amount or 0)


def hardware(body: Body, start: etree._Element | None = None) -> tuple[int | None, int | None, dict[str, str]]:
    """(cpus, memory in MB, ExtraConfig) that a hardware section asks for; None for what it leaves alone."""
    cpus = memory = None
    for item in body.all("ovf:Item", start):
        if body.text("rasd:ResourceType", item) in ("3", "4"):
            kind, amount = quantity(body, item)
            cpus, memory = (amount, memory) if kind == 3 else (cpus, amount)
    extra = {one.get(f"{{{VMW}}}key", ""): one.get(f"{{{VMW}}}value", "") for one in body.all("vmw:ExtraConfig", start)}
    return cpus, memory, extra
