"""The virtual hardware of a machine as OVF items, as vm.xml and vapp-rhel-off-static.xml of the fixtures have them."""

from __future__ import annotations

from console.demo.vcloud_things import Vm
from console.demo.vcloud_xml import Dialect, el, joined, media, text

CPU, MEMORY, IDE, SCSI, NIC, FLOPPY, CD, DISK = 3, 4, 5, 6, 10, 14, 15, 17
LISTS = {"disks": (IDE, SCSI, DISK), "media": (IDE, CD, FLOPPY), "networkCards": (NIC,)}
"""Lists under virtualHardwareSection/, and the resource types in each."""


def _item(name: str, attributes: dict[str, object] | None, fields: dict[str, object], *inner: str) -> str:
    parts = (
        str(value) if key == "HostResource" or key == "Connection" else text(f"rasd:{key}", value)
        for key, value in fields.items()
    )
    return el(name, attributes, *parts, *inner)


def items(d: Dialect, one: Vm, path: str, name: str = "ovf:Item") -> list[tuple[int, str]]:
    """(resource type, element) of each item, in the order of a real cell. rasd children are in alphabetical order."""
    found = []
    for index, nic in enumerate(one.nics):
        connection = text(
            "rasd:Connection",
            nic.network,
            {
                "vcloud:ipAddress": nic.ip or None,
                "vcloud:primaryNetworkConnection": index == 0,
                "vcloud:ipAddressingMode": nic.mode,
            },
        )
        fields: dict[str, object] = {
            "Address": nic.mac,
            "AddressOnParent": index,
            "AutomaticAllocation": nic.connected,
            "Connection": connection,
            "Description": "PCNet32 ethernet adapter",
            "ElementName": f"Network adapter {index}",
            "InstanceID": index + 1,
            "ResourceSubType": "PCNet32",
            "ResourceType": NIC,
        }
        found.append((NIC, _item(name, None, fields)))
    scsi = len(one.nics) + 1
    capacity = {"vcloud:capacity": one.disk_mb, "vcloud:busType": 6, "vcloud:busSubType": "lsilogic"}
    plain: list[tuple[int, dict[str, object]]] = [
        (SCSI, {"Address": 0, "Description": "SCSI Controller", "ElementName": "SCSI Controller 0",
                "InstanceID": scsi, "ResourceSubType": "lsilogic", "ResourceType": SCSI}),
        (DISK, {"AddressOnParent": 0, "Description": "Hard disk", "ElementName": "Hard disk 1",
                "HostResource": el("rasd:HostResource", capacity), "InstanceID": 2000, "Parent": scsi,
                "ResourceType": DISK}),
        (IDE, {"Address": 0, "Description": "IDE Controller", "ElementName": "IDE Controller 0",
               "InstanceID": scsi + 1, "ResourceType": IDE}),
        (CD, {"AddressOnParent": 0, "AutomaticAllocation": False, "Description": "CD/DVD Drive",
              "ElementName": "CD/DVD Drive 1", "HostResource": el("rasd:HostResource"), "InstanceID": 3002,
              "Parent": scsi + 1, "ResourceType": CD}),
        (FLOPPY, {"AddressOnParent": 0, "AutomaticAllocation": False, "Description": "Floppy Drive",
                  "ElementName": "Floppy Drive 1", "HostResource": el("rasd:HostResource"), "InstanceID": 8000,
                  "ResourceType": FLOPPY}),
    ]  # fmt: skip
    found += [(kind, _item(name, None, fields)) for kind, fields in plain]
    found += [(CPU, cpu(d, one, path, name)), (MEMORY, memory(d, one, path, name))]
    return found


def cpu(d: Dialect, one: Vm, path: str, name: str = "ovf:Item", *, whole: bool = False) -> str:
    """The processors."""
    count = one.cpus
    return _amount(d, name, f"{path}/virtualHardwareSection/cpu", {
        "AllocationUnits": "hertz * 10^6", "Description": "Number of Virtual CPUs",
        "ElementName": f"{count} virtual CPU(s)", "InstanceID": 4, "Reservation": 0, "ResourceType": CPU,
        "VirtualQuantity": count, "Weight": 0,
    }, whole)  # fmt: skip


def memory(d: Dialect, one: Vm, path: str, name: str = "ovf:Item", *, whole: bool = False) -> str:
    """The memory."""
    size = one.memory_mb
    return _amount(d, name, f"{path}/virtualHardwareSection/memory", {
        "AllocationUnits": "byte * 2^20", "Description": "Memory Size", "ElementName": f"{size} MB of memory",
        "InstanceID": 5, "Reservation": 0, "ResourceType": MEMORY, "VirtualQuantity": size, "Weight": 0,
    }, whole)  # fmt: skip


def _amount(d: Dialect, name: str, where: str, fields: dict[str, object], whole: bool) -> str:
    attributes: dict[str, object] = dict(d.spaces) if whole else {}
    attributes |= {"vcloud:href": d.href(where), "vcloud:type": media("rasdItem")}
    return _item(name, attributes, fields, d.link("edit", where, "rasdItem"))


def hardware(d: Dialect, one: Vm, path: str, *, whole: bool = False) -> str:
    """The whole section."""
    where = f"{path}/virtualHardwareSection"
    attributes: dict[str, object] = dict(d.spaces) if whole else {}
    attributes |= {"vcloud:href": d.href(f"{where}/"), "vcloud:type": media("virtualHardwareSection")}
    system = {
        "ElementName": "Virtual Hardware Family",
        "InstanceID": 0,
        "VirtualSystemIdentifier": one.name,
        "VirtualSystemType": "vmx-07",
    }
    links = [d.link("edit", f"{where}/", "virtualHardwareSection")]
    for single in ("cpu", "memory"):
        links += [d.link(rel, f"{where}/{single}", "rasdItem") for rel in ("down", "edit")]
    links += [d.link("down", f"{where}/{several}", "rasdItemsList") for several in LISTS]
    extra = (
        el("vmw:ExtraConfig", {"vmw:key": key, "vmw:value": value, "ovf:required": False})
        for key, value in one.extra.items()
    )
    return el(
        "ovf:VirtualHardwareSection",
        attributes,
        text("ovf:Info", "Virtual hardware requirements"),
        el("ovf:System", None, *(text(f"vssd:{key}", value) for key, value in system.items())),
        joined(item for _, item in items(d, one, path)),
        *(extra if d.since("5.6") else ()),
        *links,
    )


def items_list(d: Dialect, one: Vm, path: str, name: str) -> bytes:
    """The disks, media or network cards alone."""
    where = f"{path}/virtualHardwareSection/{name}"
    found = (item for kind, item in items(d, one, path, "Item") if kind in LISTS[name])
    return d.document("RasdItemsList", {"type": media("rasdItemsList"), "href": d.href(where)}, *found)


def operating_system(d: Dialect, one: Vm, path: str, *, whole: bool = False) -> str:
    """The guest's operating system."""
    attributes: dict[str, object] = dict(d.spaces) if whole else {}
    attributes |= {
        "ovf:id": 94,
        "vcloud:href": d.href(f"{path}/operatingSystemSection/"),
        "vcloud:type": media("operatingSystemSection"),
        "vmw:osType": one.os_type,
    }
    info = text("ovf:Info", "Specifies the operating system installed")
    return el("ovf:OperatingSystemSection", attributes, info, text("ovf:Description", one.guest_os))
