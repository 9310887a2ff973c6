"""The parts of a vApp or machine that have a path of their own: sections, hardware items, metadata, screen."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from urllib.parse import unquote

from lxml import etree

from console.demo import vcloud_hardware as hw
from console.demo import vcloud_machine as documents
from console.demo.vcloud_actions import accepted
from console.demo.vcloud_bodies import OVF, Body, hardware, quantity, read
from console.demo.vcloud_cloud import Cloud
from console.demo.vcloud_deeds import Deeds
from console.demo.vcloud_shapes import metadata, metadata_value, owner
from console.demo.vcloud_things import ON, Nic, Trouble, VApp, Vm, bad, forbidden, invalid
from console.demo.vcloud_xml import Dialect, declared
from console.demo.wire import Reply, Request

HARDWARE = "/virtualHardwareSection"
EDITABLE = ("/networkConnectionSection", "/guestCustomizationSection", "/productSections", HARDWARE)


class Sections:
    """What is below the path of a vApp or machine."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.deeds = Deeds(cloud)

    def serve(self, d: Dialect, request: Request, thing: VApp | Vm, below: str) -> Reply:
        """GET, PUT, POST or DELETE of one part. Raises Trouble."""
        if below == "/metadata" or below.startswith("/metadata/"):
            if not d.since("1.5"):
                raise forbidden("metadata", thing.id)
            return self._metadata(d, request, thing, unquote(below.removeprefix("/metadata").strip("/")))
        if below == "" and request.method == "DELETE":
            if isinstance(thing, Vm) and not (d.version == "1.0" or d.since("5.1")):
                raise Trouble(405, "METHOD_NOT_ALLOWED", "DELETE is not allowed here.")
            return accepted(d, self.cloud, self.deeds.delete(thing))
        if below == "" and request.method == "PUT":
            root, media = ("Vm", "vm") if isinstance(thing, Vm) else ("VApp", "vApp")
            body = read(request, d.ns, root, media)
            return accepted(
                d, self.cloud, self.deeds.rename(thing, body.root.get("name", ""), body.text("Description"))
            )
        if request.method == "PUT" and isinstance(thing, Vm):
            return self._put(d, request, thing, below)
        if request.method != "GET":
            raise Trouble(405, "METHOD_NOT_ALLOWED", f"{request.method} is not allowed here.")
        return self._get_vm(d, thing, below) if isinstance(thing, Vm) else self._get_vapp(d, thing, below)

    def _get_vapp(self, d: Dialect, one: VApp, below: str) -> Reply:
        path = f"vApp/vapp-{one.id}"
        if below == "/owner":
            return d.reply(owner(d, self.cloud, path=f"{path}/owner").encode(), "owner")
        if below == "/leaseSettingsSection":
            return d.reply(declared(documents.lease(d, path, whole=True)), "leaseSettingsSection")
        if below == "/networkConfigSection":
            xml = documents.configs(d, self.cloud, one, path, whole=True)
            return d.reply(declared(xml), "networkConfigSection")
        if below in ("/startupSection", "/networkSection"):
            write = documents.startup if below == "/startupSection" else documents.networks
            return d.reply(declared(write(d, one, path, whole=True)), below[1:])
        if below == "/snapshotSection" and d.since("5.1"):
            return d.reply(declared(documents.snapshots(d, one, path, whole=True)), "snapshotSection")
        raise forbidden("vapp", f"{one.id}{below}")

    def _get_vm(self, d: Dialect, one: Vm, below: str) -> Reply:
        path = f"vApp/vm-{one.id}"
        sections: dict[str, tuple[Callable[..., str], str, str]] = {
            HARDWARE: (hw.hardware, "virtualHardwareSection", "1.0"),
            "/operatingSystemSection": (hw.operating_system, "operatingSystemSection", "1.0"),
            "/networkConnectionSection": (documents.connections, "networkConnectionSection", "1.0"),
            "/guestCustomizationSection": (documents.customization, "guestCustomizationSection", "1.0"),
            "/runtimeInfoSection": (documents.runtime, "virtualHardwareSection", "1.5"),
            "/snapshotSection": (documents.snapshots, "snapshotSection", "5.1"),
        }
        if below in sections and d.since(sections[below][2]):
            write, short, _ = sections[below]
            return d.reply(declared(write(d, one, path, whole=True)), short)
        if below == "/vmCapabilities" and d.since("5.1"):
            return d.reply(declared(documents.capabilities(d, path, whole=True)), "vmCapabilitiesSection")
        if below == "/productSections" and d.since("1.5"):
            return d.reply(documents.products(d, one, path), "productSections")
        if below in (f"{HARDWARE}/cpu", f"{HARDWARE}/memory"):
            item = hw.cpu if below.endswith("cpu") else hw.memory
            return d.reply(declared(item(d, one, path, "Item", whole=True)), "rasdItem")
        part = below.removeprefix(f"{HARDWARE}/")
        if part in hw.LISTS:
            return d.reply(hw.items_list(d, one, path, part), "rasdItemsList")
        if below == "/screen":
            if one.status != ON:
                raise invalid(f"The requested operation could not be executed since {one.name} is not powered on.")
            return Reply(200, thumbnail(), {"Content-Type": "image/png"})
        raise forbidden("vm", f"{one.id}{below}")

    def _put(self, d: Dialect, request: Request, one: Vm, below: str) -> Reply:
        if below in (f"{HARDWARE}/cpu", f"{HARDWARE}/memory"):
            kind, amount = quantity(read(request, d.ns, "Item", "rasdItem"))
            wanted = 3 if below.endswith("cpu") else 4
            if kind != wanted:
                raise bad(f"validation error on field 'ResourceType': {kind} is not {wanted}")
            cpus, memory = (amount, None) if kind == 3 else (None, amount)
            return accepted(d, self.cloud, self.deeds.resize(one, cpus, memory))
        if below == HARDWARE:
            body = read(request, d.ns, "VirtualHardwareSection", "virtualHardwareSection")
            return accepted(d, self.cloud, self.deeds.resize(one, *hardware(body)))
        if below not in EDITABLE or (below == "/productSections" and not d.since("1.5")):
            raise forbidden("vm", f"{one.id}{below}")
        if below == "/productSections":
            change = self._products(read(request, d.ns, "ProductSectionList", "productSections"), one)
        elif below == "/guestCustomizationSection":
            body = read(request, d.ns, "GuestCustomizationSection", "guestCustomizationSection")
            change = self._customization(body, one)
        else:
            body = read(request, d.ns, "NetworkConnectionSection", "networkConnectionSection")
            change = self._connections(body, one)
        return accepted(d, self.cloud, self.deeds.alter(one, change))

    def _products(self, body: Body, one: Vm) -> Callable[[], None]:
        found = []
        for prop in body.all("ovf:ProductSection/ovf:Property"):
            inner = body.text("ovf:Value", prop)
            value = next((each.get(f"{{{OVF}}}value") for each in body.all("ovf:Value", prop)), inner)
            found.append((prop.get(f"{{{OVF}}}key", ""), prop.get(f"{{{OVF}}}value") or value or ""))

        def change() -> None:
            one.products = found

        return change

    def _customization(self, body: Body, one: Vm) -> Callable[[], None]:
        script, name = body.text("CustomizationScript"), body.text("ComputerName")
        password = body.text("AdminPassword")
        if name is not None and not name.replace("-", "").isalnum():
            raise bad(f'The computer name "{name}" is not valid.')
        if (script or "") and len(script or "") > 1500 and not body.ns.endswith("1.5"):
            raise bad("The customization script is too long.")

        def change() -> None:
            one.script, one.computer_name = script or "", name or one.computer_name
            one.password = password if password is not None else one.password

        return change

    def _connections(self, body: Body, one: Vm) -> Callable[[], None]:
        known = {*one.vapp.networks, "none"}
        wanted = [self._nic(body, card, one) for card in body.all("NetworkConnection")]
        for nic in wanted:
            if nic.network not in known:
                raise bad(f"The vApp {one.vapp.name} has no network {nic.network}.")

        def change() -> None:
            one.nics = wanted

        return change

    def _nic(self, body: Body, card: etree._Element, one: Vm) -> Nic:
        mac, mode = body.text("MACAddress", card), body.text("IpAddressAllocationMode", card) or ""
        if mode not in ("POOL", "DHCP", "MANUAL", "NONE"):
            raise bad(f"validation error on field 'ipAddressAllocationMode': {mode or 'may not be null'}")
        network, before = card.get("network", ""), next((nic for nic in one.nics if mac and nic.mac == mac), None)
        fresh = self.cloud.card(network)
        ip = body.text("IpAddress", card) or (before.ip if before and before.network == network else fresh.ip)
        connected = body.text("IsConnected", card) != "false"
        return Nic(network, "" if mode == "NONE" else ip, mac or fresh.mac, mode, connected=connected)

    def _metadata(self, d: Dialect, request: Request, thing: VApp | Vm, key: str) -> Reply:
        path = f"vApp/{'vm' if isinstance(thing, Vm) else 'vapp'}-{thing.id}"
        if key and request.method in ("GET", "DELETE") and key not in thing.metadata:
            raise forbidden("metadata", key)
        changes: dict[str, str | None] = {}
        match (request.method, bool(key)):
            case ("GET", False):
                return d.reply(metadata(d, thing, path), "metadata")
            case ("GET", True):
                return d.reply(metadata_value(d, thing.metadata[key], path, key), "metadata.value")
            case ("POST", False):
                body = read(request, d.ns, "Metadata", "metadata")
                for entry in body.all("MetadataEntry"):
                    changes[body.text("Key", entry) or ""] = self._value(d, body, entry)
            case ("PUT", True):
                body = read(request, d.ns, "MetadataValue", "metadata.value")
                changes[key] = self._value(d, body, body.root)
            case ("DELETE", True):
                changes[key] = None
            case _:
                raise Trouble(405, "METHOD_NOT_ALLOWED", f"{request.method} is not allowed here.")
        if "" in changes:
            raise bad("validation error on field 'key': may not be empty")

        def change() -> None:
            for name, value in changes.items():
                thing.metadata.pop(name, None)
                if value is not None:
                    thing.metadata[name] = value

        return accepted(d, self.cloud, self.deeds.alter(thing, change, "metadataUpdate"))

    def _value(self, d: Dialect, body: Body, where: etree._Element) -> str:
        found = body.text("TypedValue/Value", where) if d.since("5.1") else None
        found = body.text("Value", where) if found is None else found
        if found is None:
            raise bad("validation error on field 'value': may not be null")
        return found


def thumbnail() -> bytes:
    """A small grey picture (PNG)."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 64, 48, 8, 0, 0, 0, 0)
    rows = (b"\0" + b"\x40" * 64) * 48
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
