"""Which addresses this house may dial: public ones, and those in networks that staff approved (SECURITY.md §5).

Our own tables instead of `ipaddress.is_global`: that is True for 64:ff9b::a9fe:a9fe, 192.0.0.192 and 2002:7f00:1::.
Ranges are from the IANA special-purpose address registries.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

import psutil

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# Never ours to dial by a broad approval: the approved network must lie wholly inside the range.
_CLOSED: Final[tuple[tuple[Network, str], ...]] = tuple(
    (ip_network(cidr), kind)
    for cidr, kind in (
        ("0.0.0.0/8", "this machine"),
        ("127.0.0.0/8", "this machine"),
        ("::/128", "this machine"),
        ("::1/128", "this machine"),
        ("169.254.0.0/16", "a link-local address, where clouds keep their metadata service"),
        ("fe80::/10", "a link-local address"),
        ("168.63.129.16/32", "a cloud's metadata service"),
        ("100.100.100.200/32", "a cloud's metadata service"),
        ("192.0.0.192/32", "a cloud's metadata service"),
        ("fd00:ec2::/32", "a cloud's metadata service"),
        ("224.0.0.0/4", "a multicast address"),
        ("ff00::/8", "a multicast address"),
        ("255.255.255.255/32", "a broadcast address"),
    )
)
_PRIVATE: Final[tuple[tuple[Network, str], ...]] = tuple(
    (ip_network(cidr), kind)
    for cidr, kind in (
        ("10.0.0.0/8", "a private address"),
        ("172.16.0.0/12", "a private address"),
        ("192.168.0.0/16", "a private address"),
        ("100.64.0.0/10", "a carrier's shared address"),
        ("192.0.0.0/24", "a reserved address"),
        ("192.0.2.0/24", "a documentation address"),
        ("198.51.100.0/24", "a documentation address"),
        ("203.0.113.0/24", "a documentation address"),
        ("192.88.99.0/24", "a 6to4 relay address"),
        ("198.18.0.0/15", "a benchmarking address"),
        ("240.0.0.0/4", "a reserved address"),
        ("2001::/23", "a reserved address"),
        ("2001:db8::/32", "a documentation address"),
        ("2002::/16", "a 6to4 address, which can lead to any IPv4 address"),
        ("3fff::/20", "a documentation address"),
    )
)
_UNICAST_V6: Final = IPv6Network("2000::/3")
_NAT64: Final = IPv6Network("64:ff9b::/96")


def networks(cidrs: Iterable[str]) -> tuple[Network, ...]:
    """Networks read from CIDR texts. ValueError names the one that cannot be read."""
    return tuple(ip_network(cidr.strip(), strict=False) for cidr in cidrs)


def own() -> frozenset[Address]:
    """The addresses of this machine's own interfaces."""
    found: set[Address] = set()
    for addresses in psutil.net_if_addrs().values():
        for entry in addresses:
            try:
                found.add(ip_address(entry.address.partition("%")[0]))
            except ValueError:
                continue  # a hardware address
    return frozenset(found)


def objection(address: str | Address, approved: Sequence[Network] = (), ours: frozenset[Address] | None = None) -> str:
    """Why `address` must not be dialled, as words that follow "it is"; "" when it may be.

    Approved networks open private addresses. Loopback, link-local, metadata, multicast and this machine's own
    addresses open only to a network that lies wholly inside that range: 0.0.0.0/0 never opens 127.0.0.1.
    `ours` are this machine's addresses; read from the interfaces when left out.
    """
    ip = ip_address(address.partition("%")[0]) if isinstance(address, str) else address
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped  # the kernel dials the IPv4 address
        elif ip in _NAT64 and not _inside(ip, approved):
            return _behind_nat64(ip, ours)
    for network, kind in _CLOSED:
        if ip in network:
            return "" if _opened(ip, network, approved) else kind
    if ip in (own() if ours is None else ours):
        return "" if _opened(ip, ip_network(ip), approved) else "an address of the console's own machine"
    if _inside(ip, approved):
        return ""
    for network, kind in _PRIVATE:
        if ip in network:
            return kind
    if isinstance(ip, IPv6Address) and ip not in _UNICAST_V6:
        return "not a public address"
    return ""


def _behind_nat64(ip: IPv6Address, ours: frozenset[Address] | None) -> str:
    # An IPv6-only network reaches all of IPv4 through this prefix (RFC 6052), so public IPv4 must stay open.
    # Approvals of IPv4 networks do not count: behind the gateway they would be somebody else's.
    words = objection(IPv4Address(int(ip) & 0xFFFFFFFF), (), ours)
    return f"{words}, written as IPv6" if words else ""


def _inside(ip: Address, approved: Sequence[Network]) -> bool:
    return any(ip in network for network in approved)


def _opened(ip: Address, closed: Network, approved: Sequence[Network]) -> bool:
    return any(
        ip in network and network.prefixlen >= closed.prefixlen  # both hold `ip`, so a longer prefix lies wholly inside
        for network in approved
        if network.version == closed.version
    )
