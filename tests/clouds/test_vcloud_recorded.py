"""Reading what live vCloud cells answered (../shared/fixtures, read in place)."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.clouds import Address, ServerFacts, State
from accounts.clouds import vcloud_listing as listing
from accounts.clouds import vcloud_offers as offers
from accounts.clouds import vcloud_orders as orders
from accounts.clouds import vcloud_replies as replies
from accounts.clouds import vcloud_rows as rows
from accounts.clouds import vcloud_tasks as tasks
from accounts.clouds import vcloud_xml as xml
from console.lib.faults import Fault, Unexpected
from tests.shared import shared

# jclouds' own settings, with a DOCTYPE; and sections cut out of documents that declare their prefixes further up.
UNSOUND = {
    "log4j.xml",
    "guestCustomization.xml",
    "networkconnectionsection.xml",
    "os.xml",
    "virtualhardwaresection.xml",
}
OLD, NEW = "vcloud-1.0-jclouds", "vcloud-1.5-jclouds"


def recorded(*path: str) -> xml.Element:
    return xml.parse(shared("fixtures", *path).read_bytes())


def only(*path: str) -> ServerFacts:
    [vm] = rows.machines(recorded(*path))
    return rows.facts(vm, "")


def test_a_1_5_server_is_read_with_both_of_its_cards() -> None:
    assert only(NEW, "vapp", "vApp.xml") == only(NEW, "vm", "vm.xml")
    assert only(NEW, "vm", "vm.xml") == ServerFacts(
        external_id="vm-dea05479-d7c1-4710-ba1a-a1a18cd0d455",
        name="ubuntu",
        state=State.RUNNING,
        raw_state="POWERED_ON",
        addresses=(
            Address("192.168.10.2", 4, "fixed", "Routed01-Cloudsoft", "00:50:56:0a:02:13"),
            Address("173.240.104.172", 4, "fixed", "internet01-Cloudsoft", "00:50:56:0a:02:14"),
        ),
        cpus=1,
        memory_mb=1024,
        disk_gb=8,
        created_at=datetime(2012, 11, 15, 12, 6, 35, 120000, tzinfo=timezone(-timedelta(hours=5))),
    )


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("vapp-rhel-off-static.xml", ("vm-2087535248", "RHEL5", State.STOPPED, "174.47.101.164", 1, 384, 30)),
        ("vapp-win-off-static.xml", ("vm-904484461", "Windows2008R2", State.STOPPED, "174.47.101.165", 1, 4096, 40)),
        ("vapp-ubuntu-off-dhcp.xml", ("vm-2093098975", "Ubuntu1004", State.STOPPED, "", 1, 512, 30)),
        ("vapp-pool.xml", ("vm-1", "my-app", State.RUNNING, "172.16.7.230", 1, 2048, 15)),
    ],
)
def test_servers_of_a_1_0_cell_are_read_from_their_vapp(name: str, expected: tuple[object, ...]) -> None:
    facts = only(OLD, name)
    address = facts.addresses[0].ip if facts.addresses else ""
    read = (facts.external_id, facts.name, facts.state, address, facts.cpus, facts.memory_mb, facts.disk_gb)
    assert read == expected


def test_a_server_alone_says_the_same_as_in_its_vapp() -> None:
    assert only(OLD, "vm-rhel-off-static.xml") == only(OLD, "vapp-rhel-off-static.xml")


def test_a_card_on_no_network_has_no_network_name() -> None:
    assert only(OLD, "vapp-none.xml").addresses == ()
    card = b"""<Vm href="/vm-1" status="4"><NetworkConnectionSection><NetworkConnection network="none">
        <IpAddress>10.0.0.1</IpAddress></NetworkConnection></NetworkConnectionSection></Vm>"""
    assert rows.facts(xml.parse(card), "").addresses == (Address("10.0.0.1", 4, "fixed", ""),)


def test_an_address_behind_nat_is_the_one_to_reach_a_server_by() -> None:
    card = b"""<Vm href="/vm-1" status="4"><NetworkConnectionSection><NetworkConnection network="lan">
        <IpAddress>10.0.0.1</IpAddress><ExternalIpAddress>203.0.113.5</ExternalIpAddress>
        </NetworkConnection></NetworkConnectionSection></Vm>"""
    found = rows.facts(xml.parse(card), "").addresses
    assert [(address.ip, address.kind) for address in found] == [("10.0.0.1", "fixed"), ("203.0.113.5", "floating")]


def test_a_vapp_that_is_being_made_has_no_servers_yet_and_a_task() -> None:
    vapp = recorded(OLD, "instantiatedvapp.xml")
    assert list(rows.machines(vapp)) == []
    assert rows.busy(vapp)
    assert tasks.taken(vapp) == (
        "https://zone01.bluelock.com/api/v1.0/task/fee48ffc-8ba2-452e-a57f-ada0cd2eda31",
        "2012-07-11T20:37:49.521-04:00",
    )
    assert rows.busy(recorded(OLD, "vapp-unresolved.xml"))


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ((OLD, "org-1.0.xml"), ["ExampleVdc01"]),  # written without any namespace
        ((OLD, "org1.0-vcd15.xml"), ["orgVDC-jclouds-Tier1-PAYG"]),
        ((NEW, "org", "org.xml"), ["Cluster01-JClouds"]),
    ],
)
def test_the_data_centres_of_an_organisation_are_links(path: tuple[str, ...], names: list[str]) -> None:
    assert [name for name, _ in xml.links(recorded(*path), "down", "vdc")] == names


def test_a_data_centre_lists_vapps_beside_templates_and_media() -> None:
    assert listing._vapps(recorded(NEW, "vdc", "vdc.xml")) == [
        "https://mycloud.greenhousedata.com/api/vApp/vapp-e2a4ab74-ea62-4afa-8bb7-0c11259044fb"
    ]
    assert listing._vapps(recorded(OLD, "vdc1.0-vcd15.xml")) == []
    assert [name for _, name in offers._available(recorded(OLD, "vdc-1.0.xml"))] == ["isolation01", "internet01"]


def test_catalogs_and_their_items_lead_to_templates() -> None:
    assert len(offers._items(recorded(OLD, "catalog.xml"))) == 23
    for name in ("catalogItem-carrenza-with-default-namespace.xml", "catalogItem-carrenza-with-vcloud-namespace.xml"):
        image = offers._entity(recorded(OLD, name))
        assert image is not None
        assert image.name == "ubuntu10.10x64"
        assert image.id == "vappTemplate-123766ea-2b55-482c-8adf-735ab1952834"


def test_records_are_read_by_attribute_and_count_themselves() -> None:
    found = recorded(NEW, "query", "allCatalogs.xml")
    assert [record.get("name", "") for record in listing._records(found)] == ["QunyingTestCatalog", "Public", "test"]
    assert found.get("total") == "3"


def test_the_session_of_1_5_leads_to_organisations_and_queries() -> None:
    session = recorded(NEW, "session.xml")
    assert xml.link(session, "down", "orgList") == "https://vcloudbeta.bluelock.com/api/org/"
    assert xml.link(session, "down", "query.queryList") == "https://vcloudbeta.bluelock.com/api/query"


@pytest.mark.parametrize(
    "path", [(OLD, "task-vcd15.xml"), (OLD, "task-1.0.xml"), (NEW, "task", "task.xml"), (NEW, "vm", "vmRebootTask.xml")]
)
def test_a_task_is_found_by_its_address(path: tuple[str, ...]) -> None:
    task = recorded(*path)
    assert tasks.taken(task)[0] == task.get("href")
    assert not tasks.failure(task).startswith("<")


def test_a_failed_task_speaks_in_the_cells_own_words() -> None:
    assert tasks.failure(recorded(OLD, "task-error.xml")) == "Error processing job"


@pytest.mark.parametrize("name", ["error403.xml", "error400.xml"])
def test_recorded_errors_are_told_by_code_and_words(name: str) -> None:
    found = replies.error(shared("fixtures", NEW, "task", name).read_bytes())
    assert found.code in ("ACCESS_TO_RESOURCE_IS_FORBIDDEN", "BAD_REQUEST")
    assert found.words.startswith(("No access to entity", "validation error"))


def test_a_cpu_item_that_was_read_goes_back_with_another_quantity_only() -> None:
    item = recorded(OLD, "cpuItem.xml")
    sent = xml.parse(orders.quantity(item, 4).body)  # type: ignore[arg-type]
    assert xml.text(sent, "VirtualQuantity") == "4"
    assert xml.text(sent, "ElementName") == "4 virtual CPU(s)"
    assert [xml.name_of(child) for child in sent] == [
        xml.name_of(child) for child in recorded(OLD, "cpuItem.xml") if xml.name_of(child) != "Link"
    ]


def test_metadata_is_read_plain_and_typed() -> None:
    assert tasks.entries(recorded(NEW, "vapptemplate", "metadata.xml")) == {"key": "value"}
    typed = b"<Metadata><MetadataEntry><Key>k</Key><TypedValue><Value>v</Value></TypedValue></MetadataEntry></Metadata>"
    assert tasks.entries(xml.parse(typed)) == {"k": "v"}


def every() -> list[Path]:
    found = [*shared("fixtures", OLD).glob("*.xml"), *shared("fixtures", NEW).rglob("*.xml")]
    return sorted(path for path in found if path.stat().st_size)


def test_every_recorded_document_can_be_read_whatever_its_namespaces() -> None:
    documents = every()
    assert len(documents) > 100
    for path in documents:
        if path.name in UNSOUND:
            with pytest.raises(Unexpected):
                xml.parse(path.read_bytes())
            continue
        root = xml.parse(path.read_bytes())
        assert xml.name_of(root)
        for vm in rows.machines(root) if xml.name_of(root) in ("Vm", "VApp", "VAppTemplate") else ():
            # A Vm inside a template has no power, yet reads like any other.
            assert rows.facts(vm, "").external_id


# --- hostile documents


@pytest.mark.parametrize(
    "document",
    [
        b'<!DOCTYPE x [<!ENTITY a "b">]><Vm>&a;</Vm>',
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><Vm/>',
        '<!DOCTYPE x [<!ENTITY a "b">]><Vm>&a;</Vm>'.encode("utf-16"),
        b"<Vm>" * 5000 + b"</Vm>" * 5000,
        b"<Vm><Link",
        b"",
        b'<?xml version="1.0" encoding="nonsense"?><Vm/>',
        b"<Vm a='\xff'/>",
        b"{}",
    ],
    ids=["entity", "external", "utf-16", "deep", "cut", "empty", "encoding", "bytes", "json"],
)
def test_a_hostile_or_broken_document_is_a_fault(document: bytes) -> None:
    with pytest.raises(Unexpected):
        xml.parse(document)


def test_an_external_entity_is_never_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("hunter2")
    with pytest.raises(Unexpected) as caught:
        xml.parse(f'<!DOCTYPE x [<!ENTITY a SYSTEM "file://{secret}">]><Vm name="&a;">&a;</Vm>'.encode())
    assert "hunter2" not in str(caught.value)


def read(document: bytes) -> None:
    """All that a driver does with a page."""
    root = xml.parse(document)
    replies.error(document)
    for vm in rows.machines(root):
        facts = rows.facts(vm, "")
        assert len(facts.raw_state) <= 80
        assert len(facts.name) <= 255
        assert all(number is None or 0 <= number < 2**31 for number in (facts.cpus, facts.memory_mb, facts.disk_gb))
    for record in listing._records(root):
        assert len(rows.record_facts(record, {}, None).name) <= 255
    rows.all_details(root)
    tasks.taken(root)
    tasks.entries(root)
    tasks.failure(root)
    listing._vapps(root)
    offers._available(root)


@settings(max_examples=150)
@given(data=st.data())
def test_a_mutated_document_is_read_or_is_a_fault_and_nothing_else(data: st.DataObject) -> None:
    samples = [(OLD, "vapp-pool.xml"), (NEW, "vm", "vm.xml"), (NEW, "query", "allCatalogs.xml"), (OLD, "task-1.0.xml")]
    document = bytearray(shared("fixtures", *data.draw(st.sampled_from(samples))).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(document) - 1))
        end = start + data.draw(st.integers(0, 40))
        document[start:end] = data.draw(
            st.binary(max_size=12) | st.sampled_from([b"9" * 5000, b'"', b"<a>", b"-1", b""])
        )
    with suppress(Fault):
        read(bytes(document))


@settings(max_examples=100)
@given(
    st.dictionaries(
        st.sampled_from(["href", "status", "name", "ipAddress", "networkName", "memoryMB", "dateCreated", "vdc"]),
        st.text(max_size=300),
    )
)
def test_any_record_is_facts_or_a_fault(record: dict[str, str]) -> None:
    try:
        facts = rows.record_facts(record, {}, None)
    except Unexpected:
        return
    assert facts.digest
    assert len(facts.region) <= 255


def test_dates_without_a_zone_or_beyond_the_calendar_are_unknown() -> None:
    assert xml.moment("2012-11-15T12:06:35") is None
    assert xml.moment("99999-01-01T00:00:00Z") is None
    assert xml.moment("2012-11-15T12:06:35Z") == datetime(2012, 11, 15, 12, 6, 35, tzinfo=UTC)
