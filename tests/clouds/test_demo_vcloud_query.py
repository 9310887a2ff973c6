"""The query service of the simulated cells, and what goes wrong on their wire."""

from __future__ import annotations

from datetime import timedelta

import pytest
import requests
from lxml import etree

from console.demo.vcloud import Cloud, serve
from tests.clouds.vcloud_caller import GENERATIONS, Caller, Clock


def records(page: etree._Element, name: str = "VMRecord") -> list[etree._Element]:
    return list(page.iter(f"{{*}}{name}"))


@pytest.mark.parametrize("count", [0, 1, 128, 129, 300])
def test_pages_are_cut_to_128_and_each_machine_comes_once(count: int) -> None:
    with serve(Cloud.sized(count, generation="1.5")) as site, Caller(site) as caller:
        url, names = "query?type=vm&pageSize=500&filter=isVAppTemplate==false&sortAsc=name", []
        while url:
            page = caller.get(url)
            assert (page.get("pageSize"), page.get("total")) == ("128", str(count))
            names += [one.get("name") for one in records(page)]
            url = caller.link(page, "nextPage") or ""
        assert names == sorted(vm.name for vm in site.cloud.vms.values())


def test_records_have_the_attributes_of_their_version() -> None:
    with serve(Cloud.sized(1, generation="38.1")) as site, Caller(site) as caller:
        modern = records(caller.get("query?type=vm"))[0]
    with serve(Cloud.sized(1, generation="1.5")) as site, Caller(site) as caller:
        old = records(caller.get("query?type=vm"))[0]
    added = {"ipAddress", "network", "owner", "ownerName", "storageProfileName"}
    assert set(modern.attrib) - set(old.attrib) == added | {"gcStatus", "vmToolsStatus", "dateCreated"}


def test_machines_of_templates_are_listed_too_unless_filtered() -> None:
    with serve(Cloud.sized(2, generation="1.5")) as site, Caller(site) as caller:
        assert len(records(caller.get("query?type=vm"))) == 4
        assert len(records(caller.get("query?type=vm&filter=isVAppTemplate==false"))) == 2


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ("name==SRV-00001", ["srv-00001"]),
        ("name==*0000*;numberOfCpus=gt=1", ["srv-00002", "srv-00003"]),
        ("(name==srv-00001,name==srv-00003);status==POWERED_ON", ["srv-00001", "srv-00003"]),
        ("name!=srv-00001;isVAppTemplate==false;memoryMB=le=2048", ["srv-00002"]),
        ("name==nothing", []),
    ],
)
def test_filters_narrow(wanted: str, names: list[str]) -> None:
    with serve(Cloud.sized(3, generation="1.5")) as site, Caller(site) as caller:
        found = caller.get(f"query?type=vm&sortAsc=name&filter={wanted}")
        assert [one.get("name") for one in records(found)] == names


def test_a_filter_that_is_none_is_refused() -> None:
    with serve(Cloud.sized(1, generation="1.5")) as site, Caller(site) as caller:
        for wanted in ("name", "(name==a", "name==a)", "numberOfCpus=gt=x"):
            assert caller.get(f"query?type=vm&filter={wanted}", status=400).get("minorErrorCode") == "BAD_REQUEST"


def test_tasks_and_events_tell_what_changed_since_a_moment() -> None:
    clock = Clock()
    with serve(Cloud.sized(3, generation="1.5")) as site, Caller(site) as caller:
        site.cloud.clock, site.cloud.settle = clock, timedelta(seconds=5)
        site.cloud.sessions.update(dict.fromkeys(site.cloud.sessions, clock.now))
        first, second = list(site.cloud.vms.values())[:2]
        caller.post(f"vApp/vm-{first.id}/power/action/reset")
        clock.forward(minutes=5)
        caller.get("org/")
        since = (clock.now + timedelta(seconds=1)).isoformat().replace("+", "%2B")
        clock.forward(minutes=5)
        caller.post(f"vApp/vm-{second.id}/power/action/reset")
        clock.forward(minutes=1)
        found = records(caller.get(f"query?type=task&filter=endDate=gt={since}"), "TaskRecord")
        assert [one.get("object", "").rpartition("-")[2] for one in found] == [second.id.rpartition("-")[2]]
        told = records(caller.get(f"query?type=event&filter=timeStamp=ge={since}"), "EventRecord")
        assert {one.get("entityName") for one in told} == {second.name}


def test_a_modern_cell_tells_records_as_json() -> None:
    with serve(Cloud.sized(2, generation="38.1")) as site, Caller(site) as caller:
        caller.http.headers["Accept"] = "application/*+json;version=38.1"
        value = caller.call("GET", "query?type=vm&filter=isVAppTemplate==false").json()
    assert (value["total"], [one["numberOfCpus"] for one in value["record"]]) == (2, [1, 2])


# --- mishaps


@pytest.mark.parametrize("generation", GENERATIONS)
@pytest.mark.parametrize(
    ("kind", "status"),
    [("unauthorized", 401), ("forbidden", 403), ("over_limit", 400), ("too_many", 429), ("unavailable", 503),
     ("broken", 500), ("rubbish", 200), ("wrong_shape", 200), ("html", 200), ("redirect", 302), ("entities", 200)],
)  # fmt: skip
def test_a_mishap_befalls_a_listing_and_then_no_more(generation: str, kind: str, status: int) -> None:
    with serve(Cloud.sized(1, generation=generation)) as site, Caller(site) as caller:
        vapp = next(iter(site.cloud.vapps))
        url = f"{caller.root}/" + (f"vApp/vapp-{vapp}" if generation == "1.0" else "query?type=vm")
        site.faults.inject(kind, after=1, retry_after=7)
        replies = [caller.http.get(url, timeout=10, allow_redirects=False) for _ in range(3)]
    assert [one.status_code for one in replies] == [200, status, 200]
    if kind in ("over_limit", "too_many", "unavailable"):
        assert replies[1].headers["Retry-After"] == "7"
    if kind == "entities":
        assert b"<!DOCTYPE" in replies[1].content
        assert b"<!ENTITY" in replies[1].content


def test_a_truncated_listing_ends_before_its_length_and_a_bomb_has_the_size_asked_for() -> None:
    with serve(Cloud.sized(1, generation="1.5")) as site, Caller(site) as caller:
        site.faults.inject("truncated")
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            caller.call("GET", "query?type=vm")
        site.faults.inject("bomb", size=3_000_000)
        assert len(caller.call("GET", "query?type=vm").content) == 3_000_000


def test_login_urls_can_point_elsewhere() -> None:
    with serve(Cloud("1.5")) as site:
        site.faults.inject("elsewhere", location="http://198.51.100.7/api")
        first, second = (requests.get(f"{site.url}/versions", timeout=10).text for _ in range(2))
    assert "http://198.51.100.7/api/sessions" in first
    assert "198.51.100.7" not in second


def test_tokens_can_be_revoked_between_pages() -> None:
    with serve(Cloud.sized(200, generation="38.1")) as site, Caller(site) as caller:
        page = caller.get("query?type=vm&pageSize=128")
        site.cloud.revoke_tokens()
        assert caller.call("GET", caller.link(page, "nextPage") or "").status_code == 401
