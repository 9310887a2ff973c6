"""CloudStack's JSON rows → frozen values. One reader for all releases (../shared/fixtures/cloudstack-libcloud)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from accounts.clouds.base import Address, ServerFacts, State
from accounts.clouds.operations import Image, KeyPair, Network, Size, Snapshot
from console.lib.faults import Unexpected

log = logging.getLogger(__name__)

# com.cloud.vm.VirtualMachine.State; Shutdown since 4.x: turned off from inside.
_STATES: Final = {
    "running": State.RUNNING,
    "stopped": State.STOPPED,
    "shutdown": State.STOPPED,
    "starting": State.CHANGING,
    "stopping": State.CHANGING,
    "migrating": State.CHANGING,
    "restoring": State.CHANGING,
    "error": State.FAILED,
    "unknown": State.UNKNOWN,
}
_GONE: Final = frozenset({"destroyed", "expunging"})
_GIB: Final = 1024**3


def facts(row: Mapping[str, Any]) -> ServerFacts | None:
    """One row of listVirtualMachines; None for one that is destroyed and waits to be expunged."""
    try:
        raw_state = row["state"]
        if raw_state.lower() in _GONE:
            return None
        details = row.get("details")
        disk = details.get("rootdisksize") if isinstance(details, dict) else None
        return ServerFacts(
            external_id=str(row["id"]),
            name=row.get("displayname") or row.get("name") or "",
            state=_STATES.get(raw_state.lower()) or _state(raw_state),
            raw_state=raw_state,
            addresses=_addresses(row),
            size=row.get("serviceofferingname") or "",
            image=row.get("templatename") or row.get("isoname") or "",
            region=row.get("zonename") or "",
            cpus=_number(row.get("cpunumber")),
            memory_mb=_number(row.get("memory")),
            disk_gb=_number(disk),
            key_name=row.get("keypair") or row.get("keypairs") or "",
            created_at=when(row.get("created")),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise Unexpected("CloudStack listed a server of a shape that its protocol does not have.") from error


@lru_cache(maxsize=256)  # so that 10,000 rows in a new state make one log line
def _state(raw: str) -> State:
    log.warning("unknown server state from CloudStack: %r", raw[:60])
    return State.UNKNOWN


def _addresses(row: Mapping[str, Any]) -> tuple[Address, ...]:
    found: dict[str, Address] = {}
    for nic in row.get("nic") or ():
        network, mac = nic.get("networkname") or "", nic.get("macaddress") or ""
        ips = [nic.get("ipaddress"), nic.get("ip6address")]
        ips += [second.get("ipaddress") for second in nic.get("secondaryip") or ()]
        for ip in ips:
            if ip:
                found.setdefault(ip, Address(ip, _version(ip), "fixed", network, mac))
    public = row.get("publicip")  # static NAT
    if public:
        found.setdefault(public, Address(public, _version(public), "floating"))
    if row.get("ipaddress"):  # 2.x, which has no nic
        found.setdefault(row["ipaddress"], Address(row["ipaddress"], _version(row["ipaddress"])))
    addresses = list(found.values())
    if len(addresses) > 1:
        addresses.sort(key=lambda one: (one.network, one.version, one.ip))  # a new order would look like a change
    return tuple(addresses)


def _version(ip: str) -> int:
    return 6 if ":" in ip else 4


def tags(row: Mapping[str, Any]) -> dict[str, str]:
    """The tags of a server's row."""
    held = row.get("tags")
    pairs = held if isinstance(held, list) else []
    return {str(tag["key"]): str(tag.get("value") or "") for tag in pairs if isinstance(tag, dict) and "key" in tag}


def size(row: Mapping[str, Any]) -> Size:
    """A row of listServiceOfferings; one that is customized has neither cpus nor memory of its own."""
    return Size(
        _id(row),
        _text(row, "name"),
        _number(row.get("cpunumber")),
        _number(row.get("memory")),
        _number(row.get("rootdisksize")) or None,
    )


def image(row: Mapping[str, Any]) -> Image:
    """A row of listTemplates. Its size is that of the disk it needs, in bytes."""
    needed = _number(row.get("size"))
    return Image(
        _id(row),
        _text(row, "name"),
        min_disk_gb=-(-needed // _GIB) if needed else None,
        zone=_text(row, "zonename") or _text(row, "zoneid"),
    )


def network(row: Mapping[str, Any]) -> Network:
    """A row of listNetworks."""
    return Network(
        _id(row),
        _text(row, "name") or _text(row, "displaytext"),
        _text(row, "zonename") or _text(row, "zoneid"),
    )


def key_pair(row: Mapping[str, Any]) -> KeyPair:
    """A row of listSSHKeyPairs."""
    return KeyPair(_text(row, "name"), _text(row, "fingerprint"))


def snapshot(row: Mapping[str, Any]) -> Snapshot:
    """A row of listVMSnapshot, or (before 4.2) of listSnapshots."""
    return Snapshot(
        _id(row),
        _text(row, "displayname") or _text(row, "name"),
        when(row.get("created")),
        row.get("current") is True,
    )


def when(text: object) -> datetime | None:
    """CloudStack's 2011-06-23T05:06:42+0000 as an aware moment; None when it is not one."""
    if not isinstance(text, str):
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def _id(row: Mapping[str, Any]) -> str:
    if row.get("id") in (None, ""):
        raise Unexpected("CloudStack listed something without an id.")
    return str(row["id"])


def _text(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    return "" if value is None else str(value)


def _number(value: object) -> int | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16 else None
