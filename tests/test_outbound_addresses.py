"""Which addresses may be dialled (SECURITY.md §5)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.lib import addresses

OURS: frozenset[addresses.Address] = frozenset({ip_address("8.8.4.4")})


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.8.8.8",
        "0.0.0.0",
        "10.1.2.3",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "192.0.2.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b::10.0.0.1",
        "64:ff9b:1::1",
        "2001::1",
        "2001:db8::1",
        "8.8.4.4",
    ],
)
def test_an_address_that_is_not_public_is_not_dialled(address: str) -> None:
    assert addresses.objection(address, (), OURS)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1"]
)
def test_a_public_address_is_dialled(address: str) -> None:
    assert addresses.objection(address, (), OURS) == ""


@pytest.mark.parametrize(
    ("address", "approved", "opens"),
    [
        ("10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "10.2.0.0/16", False),
        ("::ffff:10.1.2.3", "10.0.0.0/8", True),
        ("64:ff9b::10.1.2.3", "10.0.0.0/8", False),
        ("127.0.0.1", "127.0.0.0/8", True),
        ("127.0.0.1", "127.0.0.1/32", True),
        ("127.0.0.1", "0.0.0.0/0", False),
        ("169.254.169.254", "0.0.0.0/0", False),
        ("169.254.169.254", "169.254.169.254/32", True),
        ("100.100.100.200", "100.64.0.0/10", False),
        ("fd00:ec2::254", "fc00::/7", False),
        ("fd12::1", "fd00::/8", True),
        ("::1", "::/0", False),
        ("8.8.4.4", "8.8.4.0/24", False),
        ("8.8.4.4", "8.8.4.4/32", True),
    ],
)
def test_an_approval_opens_private_networks_and_never_by_breadth_the_closed_ones(
    address: str, approved: str, opens: bool
) -> None:
    assert (addresses.objection(address, addresses.networks([approved]), OURS) == "") is opens


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_an_ipv4_address_gets_the_same_answer_in_every_ipv6_dress(ip: IPv4Address) -> None:
    plain = addresses.objection(ip, (), OURS)
    assert addresses.objection(IPv6Address(f"::ffff:{ip}"), (), OURS) == plain
    assert bool(addresses.objection(IPv6Address(f"64:ff9b::{ip}"), (), OURS)) is bool(plain)
    assert addresses.objection(IPv6Address((0x2002 << 112) | (int(ip) << 80)), (), OURS)


@given(st.one_of(st.ip_addresses(), st.ip_addresses(v=6, network="2000::/3"), st.ip_addresses(v=6, network="::/32")))
def test_nothing_that_python_calls_special_passes(ip: IPv4Address | IPv6Address) -> None:
    if addresses.objection(ip, (), OURS) == "":
        inner = (ip.ipv4_mapped or ip) if isinstance(ip, IPv6Address) else ip
        if inner not in addresses._NAT64:
            assert not (inner.is_private or inner.is_loopback or inner.is_link_local or inner.is_multicast)
            assert not (inner.is_reserved or inner.is_unspecified)


def test_the_addresses_of_this_machine_are_its_own() -> None:
    assert ip_address("127.0.0.1") in addresses.own()
