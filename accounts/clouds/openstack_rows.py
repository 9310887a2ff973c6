"""Nova's JSON rows → facts. One reader for Diablo, Essex and modern shapes (../shared/captures)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from accounts.clouds.base import Address, ServerFacts, State
from console.lib.faults import Unexpected

log = logging.getLogger(__name__)

# Nova's names since Diablo; STOPPED became SHUTOFF after Essex.
_STATES: Final = {
    "ACTIVE": State.RUNNING,
    "RESCUE": State.RUNNING,
    "SHUTOFF": State.STOPPED,
    "STOPPED": State.STOPPED,
    "SHELVED": State.STOPPED,
    "SHELVED_OFFLOADED": State.STOPPED,
    "SOFT_DELETED": State.STOPPED,
    "PAUSED": State.SUSPENDED,
    "SUSPENDED": State.SUSPENDED,
    "BUILD": State.CHANGING,
    "REBUILD": State.CHANGING,
    "REBOOT": State.CHANGING,
    "HARD_REBOOT": State.CHANGING,
    "MIGRATING": State.CHANGING,
    "RESIZE": State.CHANGING,
    "VERIFY_RESIZE": State.CHANGING,
    "REVERT_RESIZE": State.CHANGING,
    "PASSWORD": State.CHANGING,
    "ERROR": State.FAILED,
    "UNKNOWN": State.UNKNOWN,
    "UNKNOWN_STATE": State.UNKNOWN,
}


_NO_NAMES: Mapping[str, str] = MappingProxyType({})


class Flavor(NamedTuple):
    """A size that the cloud offers. Memory in MiB, disk in GiB."""

    name: str
    cpus: int | None
    memory_mb: int | None
    disk_gb: int | None


def flavor(row: Mapping[str, Any]) -> Flavor:
    """A row of flavors/detail, or the flavor embedded in a server since microversion 2.47 (which has no id)."""
    name = row.get("original_name") or row.get("name") or row.get("id") or ""
    return Flavor(str(name), _number(row.get("vcpus")), _number(row.get("ram")), _number(row.get("disk")))


def names_a_flavor_by_id(row: Mapping[str, Any]) -> bool:
    """Whether the size of this server must be looked up in flavors/detail."""
    held = row.get("flavor")
    return ("vcpus" not in held) if isinstance(held, dict) and held else "flavorId" in row


def facts(
    row: Mapping[str, Any], region: str, flavors: Mapping[str, Flavor], images: Mapping[str, str] = _NO_NAMES
) -> ServerFacts | None:
    """One row of servers/detail; None for one that is deleted. Unexpected when it is no server at all.

    An image that is not in `images` (id to name), such as a deleted one, is shown by its id.
    """
    try:
        raw_state = row["status"]
        if raw_state == "DELETED":
            return None
        held = row.get("flavor")
        if not isinstance(held, dict):
            held = {"id": row.get("flavorId", "")}
        if "vcpus" in held:
            size = flavor(held)
        else:
            flavor_id = str(held.get("id", ""))
            size = flavors.get(flavor_id) or Flavor(flavor_id, None, None, None)
        image = row.get("image") or row.get("imageId") or ""  # "" when the server boots from a volume
        image_id = str(image["id"] if isinstance(image, dict) else image)
        return ServerFacts(
            external_id=str(row["id"]),
            name=row.get("name") or "",
            state=_STATES.get(raw_state) or _state(raw_state),
            raw_state=raw_state,
            addresses=_addresses(row),
            size=size.name,
            image=images.get(image_id) or image_id,
            region=region,
            cpus=size.cpus,
            memory_mb=size.memory_mb,
            disk_gb=size.disk_gb,
            key_name=row.get("key_name") or "",
            created_at=moment(row.get("created")),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise Unexpected("The cloud listed a server of a shape that its protocol does not have.") from error


@lru_cache(maxsize=256)  # so that 10,000 rows in a new state make one log line
def _state(raw: str) -> State:
    # Some clouds append the task: "ACTIVE(deleting)".
    known = _STATES.get(raw.partition("(")[0].strip().upper())
    if known is None:
        log.warning("unknown server state from OpenStack: %r", raw[:60])
    return known or State.UNKNOWN


def _addresses(row: Mapping[str, Any]) -> tuple[Address, ...]:
    found: list[Address] = []
    networks = row.get("addresses")
    if networks:
        for network, entries in networks.items():
            for entry in entries:
                if isinstance(entry, str):  # Nova's v1.0
                    found.append(Address(entry, 6 if ":" in entry else 4, "", network))
                else:
                    found.append(
                        Address(
                            entry["addr"],
                            entry.get("version") or (6 if ":" in entry["addr"] else 4),
                            entry.get("OS-EXT-IPS:type") or "",
                            network,
                            entry.get("OS-EXT-IPS-MAC:mac_addr") or "",
                        )
                    )
    # Clouds with their own NAT name the address to reach a server by here, and nowhere else.
    for key, version in (("accessIPv4", 4), ("accessIPv6", 6)):
        ip = row.get(key)
        if ip and all(known.ip != ip for known in found):
            found.append(Address(ip, version))
    if len(found) > 1:
        found.sort(key=_order)  # Nova promises no order, and a new order would look like a change
    return tuple(found)


def _order(address: Address) -> tuple[str, int, str]:
    return address.network, address.version, address.ip


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None


def moment(text: object) -> datetime | None:
    """A time as any release writes it; aware. None when it is none."""
    if not isinstance(text, str):
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)  # Diablo writes no zone; it means UTC
