"""Recorded CloudStack replies of several releases (../shared/fixtures/cloudstack-libcloud) through the driver."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.clouds import Address, ServerFacts, State
from accounts.clouds import cloudstack_rows as rows
from accounts.clouds.cloudstack_wire import listed
from accounts.clouds.operations import KeyPair, Phase, Task
from console.lib.faults import Refused, Unexpected
from tests.clouds.cloudstack_account import Scripted, listing, opened, scripted
from tests.shared import ROOT, shared


@pytest.fixture
def cloud() -> Iterator[Scripted]:
    with scripted() as served:
        served.say("listProjects", {})
        yield served


def recorded(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(shared("fixtures", "cloudstack-libcloud", f"{name}.json").read_bytes())
    return found


def names(prefix: str) -> list[str]:
    """Of recorded files; none where the folder is absent, and then the test itself skips."""
    folder = ROOT.parent / "shared" / "fixtures" / "cloudstack-libcloud"
    return sorted(path.stem for path in folder.glob(f"{prefix}*.json")) or [f"{prefix}_default"]


def test_servers_are_read_with_every_fact(cloud: Scripted) -> None:
    cloud.fixture("listVirtualMachines", "listVirtualMachines_default")
    first, second = listing(opened(cloud.url))
    assert first == ServerFacts(
        external_id="2600",
        name="test",
        state=State.RUNNING,
        raw_state="Running",
        addresses=(Address("1.1.1.116", 4, "fixed"),),
        size="Compute Micro PRD",
        image="XEN Basic Ubuntu 10.04 Server x64 PV r2.0",
        region="Sydney",
        cpus=1,
        memory_mb=384,
        created_at=datetime(2011, 6, 23, 5, 6, 42, tzinfo=UTC),
    )
    assert (second.external_id, second.state) == ("2601", State.CHANGING)
    assert [address.ip for address in second.addresses] == ["1.1.1.203"]


def test_tags_are_metadata(cloud: Scripted) -> None:
    cloud.fixture("listVirtualMachines", "listVirtualMachines_default")
    assert opened(cloud.url).metadata("2600") == {"testkey": "testvalue", "foo": "bar"}
    assert opened(cloud.url).metadata("2601") == {}


def test_a_nic_without_an_address_is_no_address(cloud: Scripted) -> None:
    cloud.fixture("listVirtualMachines", "listVirtualMachines_noipaddress")
    assert [address.ip for address in listing(opened(cloud.url))[0].addresses] == ["1.1.1.116"]


def test_sizes_are_read(cloud: Scripted) -> None:
    cloud.fixture("listServiceOfferings", "listServiceOfferings_default")
    sizes = opened(cloud.url).sizes()
    assert [(size.id, size.name, size.cpus, size.memory_mb) for size in sizes] == [
        ("105", "Compute Micro PRD", 1, 384),
        ("70", "Compute XLarge PRD", 8, 13928),
        ("69", "Compute Large PRD", 4, 6964),
        ("68", "Compute Medium PRD", 2, 3484),
        ("67", "Compute Small PRD", 1, 1744),
    ]


def test_images_are_read_with_zone_and_the_disk_they_need(cloud: Scripted) -> None:
    cloud.fixture("listTemplates", "listTemplates_deployip")
    images = opened(cloud.url).images()
    assert [(image.id, image.name, image.zone, image.min_disk_gb) for image in images] == [
        ("8028", "CentOS 6.5 64-bit", row["zonename"], 15)
        for row in recorded("listTemplates_deployip")["listtemplatesresponse"]["template"]
    ]
    assert len({image.zone for image in images}) == 2
    cloud.fixture("listTemplates", "listTemplates_notemplates")
    assert opened(cloud.url).images() == ()


def test_networks_and_key_pairs_are_read(cloud: Scripted) -> None:
    cloud.fixture("listNetworks", "listNetworks_default")
    cloud.fixture("listSSHKeyPairs", "listSSHKeyPairs_default")
    driver = opened(cloud.url)
    (network,) = driver.networks()
    assert (network.id, network.name, network.zone) == (
        "00304a04-c7ea-4e77-a786-18bc64347bf7",
        "guestNetworkForBasicZone",
        "CH-GV2",
    )
    fingerprint = ":".join(["00"] * 20)
    assert driver.key_pairs() == (KeyPair("cs-keypair", fingerprint),)
    cloud.fixture("listSSHKeyPairs", "listSSHKeyPairs_no_keys")
    assert opened(cloud.url).key_pairs() == ()


def test_disk_snapshots_of_old_releases_are_read(cloud: Scripted) -> None:
    cloud.capable("3.0.7")
    cloud.fixture("listVolumes", "listVolumes_default")
    cloud.fixture("listSnapshots", "listSnapshots_default")
    found = opened(cloud.url).snapshots("vm-1")
    assert [one.id for one in found] == ["188402", "188401", "188400"]
    assert found[0].name == "i-123-87654-VM_ROOT-12344_20140917105548"
    assert found[0].created_at == datetime(2014, 9, 17, 10, 55, 48, tzinfo=UTC)
    asked = next(asked for asked in cloud.asked if asked.command == "listSnapshots")
    assert asked.params["volumeid"] == "fe1ada16-57a0-40ae-b577-01a153690fb4"


@pytest.mark.parametrize("name", names("list"))
def test_every_recorded_list_is_read_to_its_last_row(cloud: Scripted, name: str) -> None:
    (inner,) = recorded(name).values()
    wanted = next((value for key, value in dict(inner or {}).items() if key != "count"), [])
    command = name.partition("_")[0]
    cloud.fixture(command, name)
    wire = opened(cloud.url)._wire
    if (
        "AffinityGroupTypes" in name or "ResourceLimits" in name
    ):  # their rows have neither id nor name; nothing of ours reads them
        with pytest.raises(Unexpected, match="shape"):
            wire.all(command)
        return
    found = wire.all(command)
    assert found == wanted
    reader = {
        "listVirtualMachines": rows.facts,
        "listServiceOfferings": rows.size,
        "listTemplates": rows.image,
        "listNetworks": rows.network,
        "listSSHKeyPairs": rows.key_pair,
        "listSnapshots": rows.snapshot,
    }.get(command)
    for row in found if reader else []:
        read: Any = reader(row) if reader else None
        key = read.external_id if isinstance(read, ServerFacts) else getattr(read, "id", read.name)
        assert key == str(row.get("id", row.get("name")))
        assert getattr(read, "name", "") in (row.get("displayname"), row.get("name"), row.get("displaytext"), "")


@pytest.mark.parametrize("name", names("queryAsyncJobResult"))
def test_every_recorded_job_says_how_it_stands(cloud: Scripted, name: str) -> None:
    (inner,) = recorded(name).values()
    cloud.fixture("queryAsyncJobResult", name)
    driver = opened(cloud.url)
    progress = driver.task(Task(json.dumps({"job": "7", "command": "x", "server": "vm-1"})))
    assert progress.phase is {0: Phase.RUNNING, 1: Phase.DONE, 2: Phase.FAILED}[inner["jobstatus"]]
    assert progress.server_id == "vm-1"
    machine = (inner.get("jobresult") or {}).get("virtualmachine", {})
    assert progress.password == machine.get("password", "")
    assert bool(progress.words) == (progress.phase is Phase.FAILED)
    if "state" in machine:
        found = rows.facts(machine)
        assert (found is None) == (machine["state"] == "Destroyed")
        assert found is None or (found.external_id, found.raw_state) == (str(machine["id"]), machine["state"])


def test_recorded_orders_give_a_job_or_the_clouds_words(cloud: Scripted) -> None:
    driver = opened(cloud.url)
    cloud.fixture("startVirtualMachine", "startVirtualMachine_default")
    assert json.loads(driver.start("2602").ref) == {
        "job": "17188",
        "command": "startVirtualMachine",
        "server": "2602",
    }
    cloud.fixture("deployVirtualMachine", "deployVirtualMachine_default")
    task = driver._start("deployVirtualMachine")
    assert (task.server_id, json.loads(task.ref)["job"]) == ("2602", "17164")
    cloud.fixture("deployVirtualMachine", "deployVirtualMachine_deployfail")  # an error with HTTP 200
    with pytest.raises(Refused, match="Unable to find service offering: 104"):
        driver._start("deployVirtualMachine")


# --- rows that were not recorded


def facts_of(**more: Any) -> ServerFacts:
    found = rows.facts({"id": "i", "name": "n", "state": "Running"} | more)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("state", "meant"),
    [
        ("Running", State.RUNNING),
        ("Stopped", State.STOPPED),
        ("Shutdown", State.STOPPED),
        ("Starting", State.CHANGING),
        ("Stopping", State.CHANGING),
        ("Migrating", State.CHANGING),
        ("Error", State.FAILED),
        ("Unknown", State.UNKNOWN),
    ],
)
def test_states_of_all_releases_are_mapped(state: str, meant: State) -> None:
    assert facts_of(state=state).state is meant


@pytest.mark.parametrize("state", ["Destroyed", "Expunging"])
def test_a_destroyed_server_is_gone(state: str) -> None:
    assert rows.facts({"id": "i", "state": state}) is None


def test_an_unknown_state_is_unknown_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert {facts_of(state="Levitating").state for _ in range(3)} == {State.UNKNOWN}
    assert sum("Levitating" in record.getMessage() for record in caplog.records) == 1


def test_addresses_are_all_of_its_nics_and_its_static_nat_in_an_order_that_does_not_change() -> None:
    nics = [
        {"ipaddress": "10.0.0.9", "networkname": "b", "macaddress": "02:00"},
        {
            "ipaddress": "10.0.0.3",
            "ip6address": "2001:db8::1",
            "networkname": "a",
            "secondaryip": [{"id": "s", "ipaddress": "10.0.0.4"}],
        },
    ]
    one, other = facts_of(nic=nics, publicip="198.51.100.7"), facts_of(nic=nics[::-1], publicip="198.51.100.7")
    assert one.digest == other.digest
    assert one.addresses == (
        Address("198.51.100.7", 4, "floating"),
        Address("10.0.0.3", 4, "fixed", "a"),
        Address("10.0.0.4", 4, "fixed", "a"),
        Address("2001:db8::1", 6, "fixed", "a"),
        Address("10.0.0.9", 4, "fixed", "b", "02:00"),
    )
    assert facts_of(ipaddress="10.1.1.1").addresses == (Address("10.1.1.1", 4),)  # 2.x


def test_people_see_the_name_that_people_gave_and_dates_have_their_zone() -> None:
    facts = facts_of(displayname="Shop", created="2012-06-05T08:47:54+0200", keypair="k", isoname="debian.iso")
    assert (facts.name, facts.key_name, facts.image) == ("Shop", "k", "debian.iso")
    assert facts.created_at == datetime(2012, 6, 5, 6, 47, 54, tzinfo=UTC)
    assert facts_of(created="yesterday").created_at is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text("a1.:", max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("a1.:", max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = ["id", "name", "displayname", "state", "nic", "publicip", "created", "details", "cpunumber", "keypair", "tags"]


@given(st.dictionaries(st.sampled_from(KEYS), json_values))
def test_no_row_can_raise_anything_but_a_fault(held: dict[str, Any]) -> None:
    assert isinstance(rows.tags(held), dict)
    try:
        found = rows.facts(held)
    except Unexpected:
        return
    assert found is None or found.digest


def test_a_page_without_rows_is_empty_however_it_is_written() -> None:
    assert listed({}) == listed({"count": 12}) == listed({"count": 0, "virtualmachine": []}) == []
