"""Which server a claim may be of: never more than what its cloud and its address say."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servers.agents import matching
from servers.agents.matching import NETWORK, NONE, PERSON, PROOF, Candidate, Told, match

NOW = datetime(2026, 11, 23, tzinfo=UTC)
ID = "6a2b4c8d-1e3f-4a5b-8c7d-9e0f1a2b3c4d"
MAC = "fa:16:3e:00:00:01"
PUBLIC = "198.51.100.9"


def told(**changes: object) -> Told:
    return replace(Told(ID, "", frozenset({MAC}), frozenset({"10.0.0.5"}), PUBLIC, NOW), **changes)


def candidate(**changes: object) -> Candidate:
    one = Candidate(
        uuid.uuid4(), uuid.uuid4(), uuid.uuid4(), uuid.UUID(int=1), "openstack", ID, frozenset({"10.0.0.5", PUBLIC}),
        frozenset({MAC}), NOW, challengeable=True, admits=True,
    )  # fmt: skip
    return replace(one, **changes)


@pytest.mark.parametrize(
    ("platform", "listed", "instance_id", "dmi"),
    [
        ("openstack", ID, ID.upper(), ""),
        ("openstack", ID, "", ID),
        ("openstack", ID, "", "8d4c2b6a-3f1e-5b4a-8c7d-9e0f1a2b3c4d"),  # as firmware of SMBIOS before 2.6 writes it
        ("openstack", "42", "i-0000002a", ""),
        ("openstack", "42", "instance-0000002a", ""),
        ("cloudstack", ID, ID, ""),
        ("cloudstack", "345", "i-2-345-VM", ""),
        ("vcloud", f"vm-{ID}", ID, ""),
        ("vcloud", f"vm-{ID}", f"urn:vcloud:vm:{ID}", ""),
        ("vcloud", f"vm-{ID}", f"vm-{ID}", ""),
        ("vcloud", f"vm-{ID}", "", ID.upper()),
    ],
)
def test_each_platforms_names_of_an_instance_are_known(platform: str, listed: str, instance_id: str, dmi: str) -> None:
    one = candidate(platform=platform, external_id=listed, macs=frozenset(), ips=frozenset())
    found = match(told(instance_id=instance_id, dmi_uuid=dmi), [one], now=NOW)
    assert (found.level, found.server) == (PROOF, one.server)


def test_an_id_of_another_platform_is_no_name_here() -> None:
    one = candidate(platform="vcloud", external_id="vm-42", ips=frozenset(), macs=frozenset())
    assert match(told(instance_id="i-0000002a"), [one], now=NOW).level == NONE


def test_a_card_counts_with_an_address_only() -> None:
    nameless = told(instance_id="", macs=frozenset({MAC}))
    here, elsewhere = candidate(external_id="a"), candidate(external_id="b", ips=frozenset({"10.9.9.9"}))
    assert match(nameless, [here, elsewhere], now=NOW).server == here.server
    assert match(nameless, [elsewhere], now=NOW).level == NONE


def test_two_instances_that_fit_alike_are_neither() -> None:
    nameless = told(instance_id="")
    found = match(nameless, [candidate(external_id="a"), candidate(external_id="b")], now=NOW)
    assert found.server is None and found.level == NONE


def test_the_same_number_at_two_endpoints_is_told_apart_by_the_card() -> None:
    mine = candidate(external_id="42")
    other = candidate(external_id="42", endpoint=uuid.UUID(int=2), macs=frozenset({"fa:16:3e:00:00:02"}))
    assert match(told(instance_id="i-0000002a"), [mine, other], now=NOW).server == mine.server
    bare = told(instance_id="i-0000002a", macs=frozenset())
    assert match(bare, [mine, other], now=NOW).server is None


def test_an_instance_of_two_customers_is_nobodys_by_itself() -> None:
    one, other = candidate(), candidate()
    found = match(told(), [one, other], now=NOW)
    assert (found.level, found.server, set(found.customers)) == (PERSON, None, {one.customer, other.customer})


def test_an_instance_in_two_accounts_of_one_customer_is_theirs() -> None:
    one = candidate(challengeable=False)
    other = replace(one, server=uuid.uuid4(), account=uuid.uuid4(), challengeable=True)
    assert match(told(), [one, other], now=NOW).server == other.server


IPS = st.sampled_from(
    [PUBLIC, "203.0.113.5", "10.0.0.5", "192.168.1.1", "fd00::1", "2001:db8::1", "127.0.0.1", "x", ""]
)
MACS = st.sampled_from([MAC, "fa:16:3e:00:00:02", ""])
IDS = st.sampled_from([ID, "42", "i-0000002a", "vm-1", "", "i-2-42-VM", "\x00", "é" * 128]) | st.text(max_size=128)
CUSTOMERS = st.sampled_from([uuid.UUID(int=number) for number in (11, 12)])
CLAIMS = st.builds(Told, IDS, IDS, st.frozensets(MACS, max_size=3), st.frozensets(IPS, max_size=3), IPS, st.just(NOW))
SERVERS = st.builds(
    Candidate, st.uuids(), CUSTOMERS, st.uuids(), st.sampled_from([uuid.UUID(int=1), uuid.UUID(int=2)]),
    st.sampled_from(["openstack", "cloudstack", "vcloud"]), IDS, st.frozensets(IPS, max_size=3),
    st.frozensets(MACS, max_size=3), st.sampled_from([NOW, NOW - timedelta(hours=1)]), st.booleans(), st.booleans(),
)  # fmt: skip


@given(CLAIMS, st.lists(SERVERS, max_size=6), st.booleans(), st.booleans(), st.sets(CUSTOMERS))
def test_no_claim_gets_more_than_its_cloud_and_its_address_say(
    claim: Told, servers: list[Candidate], tried: bool, sole: bool, near: set[uuid.UUID]
) -> None:
    found = match(claim, servers, now=NOW, tried=tried, sole=sole, near=near)
    known = {one.server: one for one in servers}
    if found.server is not None:
        one = known[found.server]
        assert found.customers == (one.customer,)
        instance = [each for each in servers if (each.endpoint, each.external_id) == (one.endpoint, one.external_id)]
        assert {each.customer for each in instance if each in _fitting(claim, servers)} == {one.customer}
        if found.level == PROOF:
            assert one.challengeable and not tried
        if found.level == NETWORK:
            assert sole and one.admits and NOW - one.born < matching.YOUNG and matching.outer(claim.address)
        if found.level == PERSON:
            assert one.customer in near or matching.outer(claim.address)
    elif found.level:
        assert found.level == PERSON and found.customers and found.words
    assert match(claim, servers[::-1], now=NOW, tried=tried, sole=sole, near=near) == found


def _fitting(claim: Told, servers: list[Candidate]) -> list[Candidate]:
    forms = matching.forms(claim.instance_id, claim.dmi_uuid)
    named = [one for one in servers if one.external_id.lower() in forms[one.platform]]
    carded = [one for one in servers if one.macs & claim.macs and one.ips & (claim.ips | {claim.address})]
    return named or carded


@given(st.text(max_size=60))
def test_whatever_is_told_as_an_address_or_a_card_is_read_without_harm(text: str) -> None:
    assert matching.outer(text) in (True, False)
    mac = matching.card(text)
    assert mac == "" or (len(mac) == 17 and matching.card(mac.upper()) == mac)


@pytest.mark.parametrize("mac", ["00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "", "fa:16", "00505600000"])
def test_cards_that_many_have_are_none(mac: str) -> None:
    assert matching.card(mac) == ""


def test_one_card_is_written_one_way() -> None:
    assert matching.card("FA-16-3E-00-00-01") == matching.card("fa163e000001") == MAC
