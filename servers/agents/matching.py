"""Which server a claim may be of, and how sure that is (SECURITY.md §1). Plain values in and out: nothing is proven.

A machine without an identity says what it likes. So a match is a question to be put to a cloud (level 3), or at best an
address that cannot be forged (levels 2 and 1); what it tells of itself alone opens nothing (level 0).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network
from typing import Final
from uuid import UUID

YOUNG: Final = timedelta(minutes=30)  # of an instance that level 2 lets in
PROOF, NETWORK, PERSON, NONE = 3, 2, 1, 0

_UUID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
# EC2's way to write Nova's integer ids, which Diablo lists; and CloudStack's own names, of which 2.x lists the number.
_EC2: Final = re.compile(r"(?:i|instance)-([0-9a-f]{8})")
_INTERNAL: Final = re.compile(r"i-[0-9]+-([0-9]+)-[a-z0-9]+")
# Addresses of which each network has its own: that two use one of these says nothing of either.
_INNER: Final = tuple(
    ip_network(cidr)
    for cidr in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
                 "fc00::/7", "fe80::/10", "::1/128")
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Told:
    """What a machine told of itself; `address` is where its request came from, which it cannot choose freely."""

    instance_id: str
    dmi_uuid: str
    macs: frozenset[str]
    ips: frozenset[str]
    address: str
    first_at: datetime


@dataclass(frozen=True, slots=True)
class Candidate:
    """A server that the console knows. `challengeable`: its cloud has a channel that only the instance can read.
    `admits`: its customer lets machines in by their network (level 2)."""

    server: UUID
    customer: UUID
    account: UUID
    endpoint: UUID
    platform: str
    external_id: str
    ips: frozenset[str]
    macs: frozenset[str]
    born: datetime
    challengeable: bool = False
    admits: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """`server` is the one that it is of; None when none fits, or when the cloud shows it to several `customers`."""

    level: int
    server: UUID | None = None
    customers: tuple[UUID, ...] = ()
    words: str = ""


NOTHING: Final = Found(NONE)
SHARED: Final = "Accounts of more than one customer show this instance, so nobody gets it by itself."
ELSEWHERE: Final = "It came from an address of yours, and fits no server that your accounts list."
UNPROVEN: Final = "It came from an address of yours, and could not prove by its cloud which server it is."


def forms(instance_id: str, dmi_uuid: str) -> dict[str, frozenset[str]]:
    """The ids by which each platform may list the instance that calls itself so; of OpenStack, CloudStack and vCloud.

    `instance_id` is what the metadata service or cloud-init says, `dmi_uuid` what the firmware shows: on KVM both
    clouds put the server's id there. Some firmware turns the bytes of its first three fields around (SMBIOS 2.6).
    """
    told = instance_id.strip().lower().removeprefix("urn:vcloud:vm:")
    uuids = {one for text in (told, dmi_uuid.strip().lower()) for one in _turned(text)}
    own = {told} - {""}
    bare = told.removeprefix("vm-")
    ec2, internal = _EC2.fullmatch(told), _INTERNAL.fullmatch(told)
    return {
        "openstack": frozenset(own | uuids | ({str(int(ec2.group(1), 16))} if ec2 else set())),
        "cloudstack": frozenset(own | uuids | ({internal.group(1)} if internal else set())),
        "vcloud": frozenset({f"vm-{one}" for one in uuids | set(_turned(bare))}),
    }


def match(
    told: Told,
    candidates: Iterable[Candidate],
    *,
    now: datetime,
    tried: bool = False,
    sole: bool = True,
    near: Collection[UUID] = (),
) -> Found:
    """How sure it is which of `candidates` this is: servers of the provider's own endpoints, and of no other.

    `tried`: its cloud's channel was tried of late and brought nothing. `sole`: no other claim came from its address.
    `near`: customers who use that address, so that one of them may know the machine.
    """
    candidates = list(candidates)
    carded = _by_card(told, candidates)
    named = _by_id(told, candidates)
    # Integer ids are of one endpoint only: where two list the same, the cards tell which it is.
    group = _one_instance(named) or _one_instance([one for one in carded if one in named or not named])
    if group:
        customers = tuple(sorted({one.customer for one in group}, key=str))
        if len(customers) > 1:
            return Found(PERSON, None, customers, SHARED)
        best = max(group, key=lambda one: (one.challengeable, str(one.server)))
        if best.challengeable and not tried:
            return Found(PROOF, best.server, customers)
        if sole and best.admits and any(_fits(told, one) for one in group) and now - best.born < YOUNG:
            return Found(NETWORK, best.server, customers)
        if best.customer in near or (outer(told.address) and any(told.address in one.ips for one in group)):
            return Found(PERSON, best.server, customers, UNPROVEN)
        return NOTHING
    if near:
        return Found(PERSON, None, tuple(sorted(near, key=str)), ELSEWHERE)
    return NOTHING


def outer(address: str) -> bool:
    """Whether an address means the same everywhere. Those of private networks do not."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None) or found
    return not any(mapped in network for network in _INNER)


def card(mac: str) -> str:
    """A hardware address as all are compared: `00:50:56:00:00:01`; empty when it is none that tells cards apart."""
    digits = re.sub(r"[^0-9a-f]", "", mac.lower())
    if len(digits) != 12 or digits in ("0" * 12, "f" * 12):
        return ""
    return ":".join(digits[at : at + 2] for at in range(0, 12, 2))


def _by_id(told: Told, candidates: Sequence[Candidate]) -> list[Candidate]:
    known = forms(told.instance_id, told.dmi_uuid)
    return [one for one in candidates if one.external_id.lower() in known.get(one.platform, ())]


def _by_card(told: Told, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those with one of its cards and one of its addresses: clouds give out the same cards in other places again."""
    ips = told.ips | {told.address}
    return [one for one in candidates if one.macs & told.macs and one.ips & ips]


def _one_instance(found: list[Candidate]) -> list[Candidate]:
    """All of them, if they are one instance in several accounts; none when it cannot be told which it is."""
    return found if len({(one.endpoint, one.external_id) for one in found}) == 1 else []


def _fits(told: Told, one: Candidate) -> bool:
    """Exactly its public address, and one of its cards."""
    return outer(told.address) and told.address in one.ips and bool(one.macs & told.macs)


def _turned(uuid: str) -> set[str]:
    if _UUID.fullmatch(uuid) is None:
        return set()
    fields = uuid.split("-")
    turned = ["".join(reversed([part[at : at + 2] for at in range(0, len(part), 2)])) for part in fields[:3]]
    return {uuid, "-".join(turned + fields[3:])}
