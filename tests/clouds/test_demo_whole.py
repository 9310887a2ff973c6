"""The whole demo: a small cloud of every kind beside the lively one, each with a memory; the rows that show them."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from accounts import clouds
from accounts.models import CloudAccount
from console.demo import cloudstack_keep, places, seed, vcloud_keep
from console.demo.running import CannotStart, Demo
from console.lib.outbound import Transport
from console.models import User
from providers.models import Customer, Provider
from servers import sync
from tests.processes import ROOT, environment, wait

KINDS = {
    ("openstack", "essex"),
    ("openstack", "diablo"),
    ("cloudstack", "3.x"),
    ("cloudstack", "4.18"),
    ("vcloud", "1.0"),
    ("vcloud", "1.5"),
    ("vcloud", "33"),
}


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    running = Demo(tmp_path, servers=5, machines=1, whole=True)
    running.start()
    try:
        yield running
    finally:
        running.stop()


def driver(branch: Mapping[str, Any]) -> clouds.Driver:
    approved = Transport(networks=["127.0.0.0/8"], allow_http=True)
    return clouds.open(branch["platform"], url=branch["url"], credentials=branch["credentials"], transport=approved)


def seen(branch: Mapping[str, Any]) -> dict[str, str]:
    """External id -> name of every server that the driver lists there."""
    return {server.external_id: server.name for page in driver(branch).servers() for server in page}


def test_every_kind_of_cloud_answers_and_no_two_servers_of_them_are_alike(demo: Demo) -> None:
    branches = demo.described()["branches"]
    found = {(one["platform"], driver(one).check().generation) for one in branches}
    assert found == KINDS
    listed = [seen(one) for one in branches]
    assert all(12 <= len(one) <= 40 for one in listed)
    names = [name for one in listed for name in one.values()]
    assert len(set(names)) == len(names)
    ports = [urlsplit(one["url"]).port for one in branches]
    assert len(set(ports)) == len(ports)


def test_each_cloud_shows_several_states_and_an_address_of_nearly_every_server(demo: Demo) -> None:
    for one in demo.described()["branches"]:
        rows = [server for page in driver(one).servers() for server in page]
        assert len({row.state for row in rows}) >= 2, one["slug"]
        assert sum(bool(row.addresses) for row in rows) >= len(rows) - 1, one["slug"]


def test_after_a_restart_every_cloud_stands_where_it_stood_with_the_same_servers(tmp_path: Path) -> None:
    first = Demo(tmp_path, servers=5, machines=1, whole=True)
    before = first.start()["branches"]
    ids = [seen(one) for one in before]
    first.stop()
    second = Demo(tmp_path, servers=5, machines=1, whole=True)
    try:
        after = second.start()["branches"]
        assert after == before
        assert [seen(one) for one in after] == ids
    finally:
        second.stop()


def test_what_was_made_removed_and_stopped_is_so_after_a_restart(tmp_path: Path) -> None:
    first = Demo(tmp_path, servers=5, machines=1, whole=True)
    first.start()
    assert first.branches is not None
    made: dict[str, str] = {}
    for one in first.branches.all:
        cloud: Any = one.cloud
        made[one.slug] = cloud.add("made-by-hand").id
    stack, cell = (one.cloud for one in first.branches.all if one.slug in ("cloudstack-4", "vcd-38"))
    assert isinstance(stack, places.cloudstack.Cloud) and isinstance(cell, places.vcloud_cloud.Cloud)
    machine = stack.get(made["cloudstack-4"])
    stack.begin("stopVirtualMachine", lambda: stack.touch(machine, "Stopped") or {}, machine, meanwhile="Stopping")
    gone = next(vm for vm in cell.vms.values() if vm.name == "lab-1")
    cell.remove(gone.id)
    first.stop()

    second = Demo(tmp_path, servers=5, machines=1, whole=True)
    try:
        found = second.start()["branches"]
        for one in found:
            assert "made-by-hand" in seen(one).values(), one["slug"]
        (director,) = (one for one in found if one["slug"] == "vcd-38")
        assert "lab-1" not in seen(director).values()
        (porto,) = (one for one in found if one["slug"] == "cloudstack-4")
        (row,) = (row for page in driver(porto).servers() for row in page if row.name == "made-by-hand")
        assert row.raw_state == "Stopped", "its job was under way when the cloud was ended"
    finally:
        second.stop()


def test_a_change_is_on_disk_soon_so_that_a_killed_demo_loses_nothing(tmp_path: Path) -> None:
    def start() -> subprocess.Popen[bytes]:
        command = [sys.executable, "manage.py", "demo_cloud", "--home", str(tmp_path)]
        return subprocess.Popen(command, cwd=ROOT, env=environment(tmp_path), stdout=subprocess.DEVNULL)

    def branch() -> dict[str, Any]:
        wait(site.exists, 60, "the demo's clouds answer")
        found = json.loads(site.read_text())
        (porto,) = (one for one in found["branches"] if one["slug"] == "cloudstack-4")
        return dict(porto)

    site = tmp_path / "demo" / "site.json"
    process = start()
    try:
        porto = branch()
        acting: Any = driver(porto)
        (victim,) = (id_ for id_, name in seen(porto).items() if name == "ceph-1")
        acting.rename(victim, "ceph-renamed")
        kept = tmp_path / "demo" / "cloudstack-4.json"
        wait(lambda: "ceph-renamed" in kept.read_text(), 10, "the change is written down")
        process.send_signal(signal.SIGKILL)
        process.wait()
        site.unlink()
        process = start()
        assert seen(branch())[victim] == "ceph-renamed"
    finally:
        process.terminate()
        process.wait(60)


def test_a_cloud_whose_port_was_taken_moves_and_one_whose_state_is_broken_says_so(tmp_path: Path) -> None:
    first = Demo(tmp_path, servers=5, machines=1, whole=True)
    (before,) = (one for one in first.start()["branches"] if one["slug"] == "vcd-38")
    first.stop()
    with socket.create_server(("127.0.0.1", urlsplit(before["url"]).port or 0)):
        second = Demo(tmp_path, servers=5, machines=1, whole=True)
        (after,) = (one for one in second.start()["branches"] if one["slug"] == "vcd-38")
        second.stop()
    assert after["url"] != before["url"]
    assert after["credentials"] == before["credentials"]

    (tmp_path / "demo" / "vcd-38.json").write_text("{")
    third = Demo(tmp_path, servers=5, machines=1, whole=True)
    with pytest.raises(CannotStart, match="vcd-38.json is not readable .* Delete it"):
        third.start()
    third.release()


@pytest.mark.parametrize("place", places.PLACES[2:], ids=lambda place: place.slug)
def test_what_is_written_down_is_all_that_there_is(place: places.Place) -> None:
    cloud = place.make("a-secret")
    kept = json.loads(json.dumps(_dumped(cloud)))
    again = _dumped(_loaded(cloud, kept))
    assert again == kept


def _dumped(cloud: Any) -> dict[str, Any]:
    return (cloudstack_keep if isinstance(cloud, places.cloudstack.Cloud) else vcloud_keep).dump(cloud)


def _loaded(cloud: Any, kept: dict[str, Any]) -> Any:
    return (cloudstack_keep if isinstance(cloud, places.cloudstack.Cloud) else vcloud_keep).load(kept, "on")


@pytest.mark.django_db(transaction=True)
def test_one_person_s_list_has_the_servers_of_every_kind_and_a_second_seeding_changes_nothing(
    demo: Demo, tmp_path: Path, settings: Any, client: Any
) -> None:
    settings.MUSTER_HOME, settings.DEMO_NETWORKS = tmp_path, ["127.0.0.0/8"]
    seed.plant()
    accounts = list(CloudAccount.objects.select_related("endpoint__provider", "customer"))
    assert len(accounts) == 8
    for account in accounts:
        run = sync.now(account)
        assert run.state == "done" and run.seen, (account, run.outcome)
    seed.plant()
    assert sorted(CloudAccount.objects.values_list("pk", "credentials_version", "pending_version")) == sorted(
        (account.pk, 1, 0) for account in accounts
    )
    assert (Provider.objects.count(), Customer.objects.count(), User.objects.count()) == (2, 2, 2)

    client.post(urlsplit(seed.links_for_trial()[0][1]).path)
    for name in ("tracker", "ns1", "lis-proxy-1", "ingress-1", "erp-1", "jboss-1", "sap-hana-1", "web-1"):
        assert f">{name}<" in client.get("/servers/", {"q": f"name:{name}"}).content.decode(), name
