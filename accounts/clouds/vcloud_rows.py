"""Reading servers out of vCloud's documents: Vm elements of every version, and records of the query service.

Shapes and codes: ../shared/CLOUDS.md §2.1–2.2, recorded replies in ../shared/fixtures/vcloud-1.0-jclouds and -1.5.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from ipaddress import ip_address
from socket import AF_INET, inet_pton
from typing import Final, Protocol

from accounts.clouds import vcloud_xml as xml
from accounts.clouds.base import Address, ServerFacts, State
from console.lib.faults import Unexpected

log = logging.getLogger(__name__)

# Documents carry a number, records the word.
_WORDS: Final = {
    "-1": "FAILED_CREATION", "0": "UNRESOLVED", "1": "RESOLVED", "2": "DEPLOYED", "3": "SUSPENDED", "4": "POWERED_ON",
    "5": "WAITING_FOR_INPUT", "6": "UNKNOWN", "7": "UNRECOGNIZED", "8": "POWERED_OFF", "9": "INCONSISTENT_STATE",
    "10": "MIXED", "18": "UNDEPLOYED", "19": "PARTIALLY_DEPLOYED", "20": "PARTIALLY_POWERED_OFF",
    "21": "PARTIALLY_SUSPENDED",
}  # fmt: skip
_STATES: Final = {
    "FAILED_CREATION": State.FAILED,
    "UNRESOLVED": State.CHANGING,
    "RESOLVED": State.STOPPED,
    "SUSPENDED": State.SUSPENDED,
    "POWERED_ON": State.RUNNING,
    "WAITING_FOR_INPUT": State.RUNNING,  # it has power, and asks the console a question
    "POWERED_OFF": State.STOPPED,
    "UNDEPLOYED": State.STOPPED,
    "PARTIALLY_POWERED_OFF": State.STOPPED,
    "PARTIALLY_SUSPENDED": State.SUSPENDED,
    # What these mean for one server cannot be known.
    "DEPLOYED": State.UNKNOWN,
    "UNKNOWN": State.UNKNOWN,
    "UNRECOGNIZED": State.UNKNOWN,
    "INCONSISTENT_STATE": State.UNKNOWN,
    "MIXED": State.UNKNOWN,
    "PARTIALLY_DEPLOYED": State.UNKNOWN,
}
_BUSY: Final = ("queued", "preRunning", "running")


Hardware = dict[str, list[xml.Element]]


@dataclass(frozen=True, slots=True)
class Details:
    """What only the document of a server tells, and its record does not."""

    addresses: tuple[Address, ...] = ()
    disk_gb: int | None = None
    created_at: datetime | None = None


def busy(element: xml.Element) -> bool:
    """Whether a task is under way on this vApp or VM."""
    return any(task.get("status") in _BUSY for task in xml.children(element, "Tasks", "Task"))


def machines(vapp: xml.Element) -> Iterator[xml.Element]:
    """Every Vm in a vApp; a Vm stands for itself."""
    if xml.name_of(vapp) == "Vm":
        yield vapp
    else:
        yield from xml.children(xml.named(vapp, "VApp", "VAppTemplate"), "Children", "Vm")


def facts(vm: xml.Element, region: str) -> ServerFacts:
    """A Vm element of any version. Unexpected when it says not which it is."""
    external_id = xml.tail(vm.get("href", ""))
    if not external_id or len(external_id) > 255:
        raise Unexpected("The cell showed a server without saying which.")
    raw, state = _state(
        _WORDS.get(vm.get("status", ""), vm.get("status", "")), xml.truth(vm.get("deployed", "")), busy(vm)
    )
    held = hardware(vm)
    found = details(vm, held)
    return ServerFacts(
        external_id=external_id,
        name=xml.cut(vm.get("name", "")),
        state=state,
        raw_state=raw,
        addresses=found.addresses,
        region=region,
        cpus=quantity(held, "3"),
        memory_mb=quantity(held, "4"),
        disk_gb=found.disk_gb,
        created_at=found.created_at,
    )


class Record(Protocol):
    """The attributes of one record of the query service: its element, or a dictionary."""

    def get(self, name: str, default: str, /) -> str: ...


def record_facts(record: Record, regions: Mapping[str, str], found: Details | None) -> ServerFacts:
    """A VMRecord; `regions` is name by vdc id, `found` what its document told where it was read."""
    external_id = xml.tail(record.get("href", ""))
    if not external_id or len(external_id) > 255:
        raise Unexpected("The cell listed a server without saying which.")
    raw, state = _state(
        record.get("status", ""), xml.truth(record.get("isDeployed", "")), xml.truth(record.get("isBusy", ""))
    )
    vdc = xml.tail(record.get("vdc", ""))
    if found is None:
        # Since 5.7, and only the primary one.
        primary = _address(record.get("ipAddress", ""), record.get("networkName", ""), "")
        created = xml.moment(record.get("dateCreated", ""))
        found = Details((primary,) if primary else (), None, created)
    return ServerFacts(
        external_id=external_id,
        name=xml.cut(record.get("name", "")),
        state=state,
        raw_state=raw,
        addresses=found.addresses,
        region=regions.get(vdc) or xml.cut(record.get("vdcName", "") or vdc),
        cpus=xml.number(record.get("numberOfCpus", "")),
        memory_mb=xml.number(record.get("memoryMB", "")),
        disk_gb=found.disk_gb,
        created_at=found.created_at,
    )


def details(vm: xml.Element, held: Hardware | None = None) -> Details:
    """`held`: its hardware, where that was read already."""
    held = hardware(vm) if held is None else held
    return Details(_addresses(vm, held), _disk_gb(held), xml.moment(xml.text(vm, "DateCreated")))


def all_details(vapp: xml.Element) -> dict[str, Details]:
    """By VM id, of each machine in a vApp."""
    return {xml.tail(vm.get("href", "")): details(vm) for vm in machines(vapp)}


def _state(word: str, deployed: bool, at_work: bool) -> tuple[str, State]:
    """The raw state for people, and ours. Powered off but still deployed holds memory and blocks a delete: it is
    stopped, and its raw state is the word that records have for it (documents show two attributes)."""
    if deployed and word in ("POWERED_OFF", "SUSPENDED"):
        word = f"PARTIALLY_{word}"
    state = _known(word)
    return (f"{word[:60]}, busy", State.CHANGING) if at_work else (word[:60], state)


@lru_cache(maxsize=256)  # so that 10,000 servers in a new state make one log line
def _known(word: str) -> State:
    known = _STATES.get(word)
    if known is None:
        log.warning("unknown server state from vCloud: %r", word[:60])
    return known or State.UNKNOWN


def hardware(vm: xml.Element) -> Hardware:
    """The virtual hardware by kind: 3 CPU, 4 memory (MB), 10 network card, 17 disk."""
    held: Hardware = {}
    for item in xml.children(vm, "VirtualHardwareSection", "Item"):
        held.setdefault(xml.text(item, "ResourceType"), []).append(item)
    return held


def quantity(held: Hardware, kind: str) -> int | None:
    return next((xml.number(xml.text(item, "VirtualQuantity")) for item in held.get(kind, ())), None)


def _disk_gb(held: Hardware) -> int | None:
    sizes = [
        xml.number(xml.attribute(host, "capacity"))
        for item in held.get("17", ())
        if (host := xml.child(item, "HostResource")) is not None
    ]
    known = [size for size in sizes if size is not None]
    return -(-sum(known) // 1024) if known else None


def _addresses(vm: xml.Element, held: Hardware) -> tuple[Address, ...]:
    found: list[Address] = []
    for section in xml.children(vm, "NetworkConnectionSection"):
        for nic in xml.children(section, "NetworkConnection"):
            network, mac = xml.attribute(nic, "network"), xml.text(nic, "MACAddress")
            inner = _address(xml.text(nic, "IpAddress"), network, mac, "fixed")
            # Where the vApp's network has NAT, this is the address to reach the server by.
            outer = _address(xml.text(nic, "ExternalIpAddress"), network, mac, "floating")
            found += [address for address in (inner, outer) if address is not None]
    if not found:
        for item in held.get("10", ()):
            connection = xml.child(item, "Connection")
            if connection is not None:
                address = _address(
                    xml.attribute(connection, "ipAddress"), (connection.text or "").strip(), xml.text(item, "Address")
                )
                found += [address] if address is not None else []
    # The cell promises no order, and a new one would look like a change.
    return tuple(sorted(found, key=lambda address: (address.network, address.version, address.ip, address.kind)))


def _address(ip: str, network: str, mac: str, kind: str = "") -> Address | None:
    if not ip:
        return None  # none yet, as before the first DHCP lease
    try:
        inet_pton(AF_INET, ip)  # ten times faster than ip_address, and there may be 50,000
        version = 4
    except (OSError, ValueError):
        try:
            read = ip_address(ip)
        except ValueError:
            return None
        ip, version = str(read), read.version
    return Address(ip, version, kind, "" if network == "none" else xml.cut(network), mac[:40])
