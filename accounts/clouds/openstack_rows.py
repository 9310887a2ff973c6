"""Nova's JSON rows → facts. One reader for Diablo, Essex and modern shapes (../shared/captures)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec

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
    """A row of flavors/detail."""
    name = row.get("name") or row.get("id") or ""
    return Flavor(str(name), _number(row.get("vcpus")), _number(row.get("ram")), _number(row.get("disk")))


class Ref(msgspec.Struct, gc=False):
    """What a server has, by id; or the flavor itself, embedded since microversion 2.47 (which has no id then)."""

    id: str | int = ""
    name: str | None = None
    original_name: str | None = None
    vcpus: int | None | msgspec.UnsetType = msgspec.UNSET
    ram: int | None = None
    disk: int | None = None


class Nic(msgspec.Struct, gc=False, rename={"kind": "OS-EXT-IPS:type", "mac": "OS-EXT-IPS-MAC:mac_addr"}):
    """One address as v1.1 and later write it; in v1.0 it is a bare string."""

    addr: str
    version: int | None = None
    kind: str | None = None
    mac: str | None = None


class Row(msgspec.Struct, gc=False):
    """What is read of a row of servers/detail. Ids are integers in Diablo."""

    id: str | int
    status: str
    name: str | None = None
    flavor: Ref | str | None = None
    flavorId: str | int = ""  # noqa: N815  # v1.0, as is imageId
    image: Ref | str | int | None = None  # "" when the server boots from a volume
    imageId: str | int | None = None  # noqa: N815
    addresses: dict[str, list[Nic | str]] | None = None
    accessIPv4: str | None = None  # noqa: N815
    accessIPv6: str | None = None  # noqa: N815
    key_name: str | None = None
    created: Any = None

    @property
    def deleted(self) -> bool:
        return self.status == "DELETED"

    @property
    def flavor_id(self) -> str:
        """What must be looked up in flavors/detail; "" when the row has its size in it, or none."""
        if isinstance(self.flavor, Ref):
            return str(self.flavor.id) if self.flavor.vcpus is msgspec.UNSET else ""
        return str(self.flavorId)

    @property
    def image_id(self) -> str:
        """What must be looked up among the images; "" when the server boots from a volume."""
        image = self.image.id if isinstance(self.image, Ref) else self.image
        return str(image or self.imageId or "")


_DECODER: Final = msgspec.json.Decoder(Row)


def read(raw: bytes | msgspec.Raw) -> Row:
    """One row. Unexpected when it is no server at all."""
    try:
        return _DECODER.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Unexpected("The cloud listed a server of a shape that its protocol does not have.") from error


def facts(
    row: Row, region: str, flavors: Mapping[str, Flavor], images: Mapping[str, str] = _NO_NAMES
) -> ServerFacts | None:
    """What a row says; None for one that is deleted.

    An image that is not in `images` (id to name), such as a deleted one, is shown by its id.
    """
    if row.deleted:
        return None
    held = row.flavor
    if not isinstance(held, Ref):
        held = Ref(id=row.flavorId)
    if isinstance(held.vcpus, msgspec.UnsetType):
        flavor_id = str(held.id)
        size = flavors.get(flavor_id) or Flavor(flavor_id, None, None, None)
    else:
        size = Flavor(held.original_name or held.name or str(held.id), held.vcpus, held.ram, held.disk)
    image_id = row.image_id
    return ServerFacts(
        external_id=str(row.id),
        name=row.name or "",
        state=_STATES.get(row.status) or _state(row.status),
        raw_state=row.status,
        addresses=_addresses(row),
        size=size.name,
        image=images.get(image_id) or image_id,
        region=region,
        cpus=size.cpus,
        memory_mb=size.memory_mb,
        disk_gb=size.disk_gb,
        key_name=row.key_name or "",
        created_at=moment(row.created),
    )


@lru_cache(maxsize=256)  # so that 10,000 rows in a new state make one log line
def _state(raw: str) -> State:
    # Some clouds append the task: "ACTIVE(deleting)".
    known = _STATES.get(raw.partition("(")[0].strip().upper())
    if known is None:
        log.warning("unknown server state from OpenStack: %r", raw[:60])
    return known or State.UNKNOWN


def _addresses(row: Row) -> tuple[Address, ...]:
    found: list[Address] = []
    if row.addresses:
        for network, nics in row.addresses.items():
            for nic in nics:
                if isinstance(nic, str):
                    found.append(Address(nic, 6 if ":" in nic else 4, "", network))
                else:
                    ip = nic.addr
                    version = nic.version or (6 if ":" in ip else 4)
                    found.append(Address(ip, version, nic.kind or "", network, nic.mac or ""))
    # Clouds with their own NAT name the address to reach a server by here, and nowhere else.
    for named, version in ((row.accessIPv4, 4), (row.accessIPv6, 6)):
        if named and all(known.ip != named for known in found):
            found.append(Address(named, version))
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
