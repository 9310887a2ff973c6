"""Nova's rows of all releases, and its error pages."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.clouds import Address, ServerFacts, State, openstack_replies
from accounts.clouds import openstack_rows as rows
from console.lib.faults import Unexpected
from tests.clouds.openstack_account import (
    row,
)


def facts_of(**more: Any) -> ServerFacts:
    found = rows.facts(rows.read(json.dumps(row(1) | more).encode()), "r", {})
    assert found is not None
    return found


def test_an_unknown_state_is_unknown_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        found = [facts_of(status="LEVITATING") for _ in range(3)]
    assert {facts.state for facts in found} == {State.UNKNOWN}
    assert found[0].raw_state == "LEVITATING"
    assert sum("LEVITATING" in record.getMessage() for record in caplog.records) == 1


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("STOPPED", State.STOPPED),
        ("SHUTOFF", State.STOPPED),
        ("ACTIVE", State.RUNNING),
        ("PAUSED", State.SUSPENDED),
        ("ERROR", State.FAILED),
        ("ACTIVE(deleting)", State.RUNNING),
        ("HARD_REBOOT", State.CHANGING),
        ("UNKNOWN", State.UNKNOWN),
    ],
)
def test_states_of_all_releases_are_mapped(status: str, state: State) -> None:
    assert facts_of(status=status).state is state


def test_addresses_keep_kind_and_mac_in_an_order_that_does_not_change() -> None:
    private = {
        "version": 4,
        "addr": "10.0.0.3",
        "OS-EXT-IPS:type": "fixed",
        "OS-EXT-IPS-MAC:mac_addr": "fa:16:3e:0:0:1",
    }
    public = {"version": 4, "addr": "198.51.100.7", "OS-EXT-IPS:type": "floating"}
    one = facts_of(addresses={"b": [public, private], "a": [{"version": 6, "addr": "2001:db8::1"}]})
    other = facts_of(addresses={"a": [{"version": 6, "addr": "2001:db8::1"}], "b": [private, public]})
    assert one == other
    assert one.digest == other.digest
    assert one.addresses[1] == Address("10.0.0.3", 4, "fixed", "b", "fa:16:3e:0:0:1")


def test_old_shapes_are_read_integer_ids_bare_addresses_and_numbered_sizes() -> None:
    raw = {"id": 7, "name": "d0", "status": "ACTIVE", "addresses": {"public": [], "private": ["10.1.0.3"]},
           "imageId": 3, "flavorId": 2, "uuid": "x"}  # fmt: skip
    found = rows.facts(rows.read(json.dumps(raw).encode()), "", {"2": rows.Flavor("m1.small", 1, 2048, 20)})
    assert found is not None
    assert (found.external_id, found.image, found.size, found.memory_mb) == ("7", "3", "m1.small", 2048)
    assert found.addresses == (Address("10.1.0.3", 4, "", "private"),)


def test_a_volume_boot_has_no_image_and_an_access_address_is_an_address() -> None:
    found = facts_of(image="", accessIPv4="192.0.2.9", accessIPv6="", key_name=None, created="not a date")
    assert (found.image, found.key_name, found.created_at) == ("", "", None)
    assert found.addresses == (Address("192.0.2.9", 4),)


def test_the_size_of_a_withdrawn_flavor_is_its_id() -> None:
    assert facts_of(flavor={"id": "old-1"}).size == "old-1"


def test_a_digest_is_the_same_in_every_process_and_changes_with_every_fact() -> None:
    base = facts_of(addresses={"a": [{"version": 4, "addr": "10.0.0.1"}]})
    changed = [
        {"name": "x"}, {"status": "SHUTOFF"}, {"flavor": {"vcpus": 2}}, {"image": {"id": "i"}}, {"key_name": "k"},
        {"created": "2026-11-22T17:12:30Z"}, {"addresses": {"a": [{"version": 4, "addr": "10.0.0.2"}]}},
        {"addresses": {"b": [{"version": 4, "addr": "10.0.0.1"}]}},
    ]  # fmt: skip
    digests = {
        facts_of(**({"addresses": {"a": [{"version": 4, "addr": "10.0.0.1"}]}} | more)).digest for more in changed
    }
    assert len(digests | {base.digest}) == len(changed) + 1
    assert ServerFacts("1", "n", State.RUNNING, "ACTIVE").digest == "ed7c814704a742fa934224fe3dd216d8"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("a1.:(", max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("a1.:(", max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = [
    "id",
    "name",
    "status",
    "flavor",
    "image",
    "addresses",
    "accessIPv4",
    "key_name",
    "created",
    "flavorId",
    "imageId",
]


@given(st.dictionaries(st.sampled_from(KEYS), json_values))
def test_no_row_can_raise_anything_but_a_fault(held: dict[str, Any]) -> None:
    try:
        found = rows.facts(rows.read(json.dumps(held).encode()), "", {})
    except Unexpected:
        return
    assert found is None or found.digest


@given(st.binary(max_size=300))
def test_the_words_of_any_error_page_are_short_and_one_line(content: bytes) -> None:
    words = openstack_replies.words(content)
    assert len(words) <= 300
    assert "\n" not in words
