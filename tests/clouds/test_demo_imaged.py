"""The demo's instances of the provider's image: what is on their disks, what they read of themselves, their page."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest

from console.demo import imaged, processes
from console.demo.hostpage import HostPage
from console.demo.instances import Machine, Machines
from console.demo.keep import dump, load
from console.demo.openstack import Cloud
from servers.agents.images import helper
from tests.factories import ProviderFactory
from tests.processes import wait


@pytest.fixture
def pack(db: None) -> imaged.Pack:
    made = helper.build_for(ProviderFactory(), "tar").content
    return lambda: made


@pytest.fixture
def cloud() -> Cloud:
    return Cloud.lively(3)


@pytest.fixture
def machines(cloud: Cloud, tmp_path: Path, pack: imaged.Pack) -> Iterator[Machines]:
    with Machines(cloud, tmp_path, 1, pack=pack) as running:
        yield running


def launched(cloud: Cloud, name: str = "plum-1") -> str:
    one = cloud.add(name, status="BUILD", image=imaged.offered(cloud).id)
    cloud.begin(one, "ACTIVE", "scheduling")
    return one.id


def machine_of(machines: Machines, id: str) -> Machine | None:
    return next((one for one in machines.machines if one.id == id), None)


def key(machine: Machine) -> str:
    """Its agent's, once it has made one."""
    identity = machine.prefix / "var/lib/muster-agent/identity.json"

    def read() -> str:
        with suppress(FileNotFoundError):  # not yet, or the disk is being wiped
            return str(json.loads(identity.read_text())["key"])
        return ""

    found: str = wait(read, words="it has a key")
    return found


def test_it_boots_what_is_in_the_image_and_reads_its_own_metadata_alone(machines: Machines, cloud: Cloud) -> None:
    first, second = (machine_of(machines, launched(cloud, name)) for name in ("plum-1", "pear-1"))
    assert first and second and first.address != second.address
    assert key(first) != key(second)
    for one in (first, second):
        config = json.loads((one.prefix / "etc/muster-agent/config.json").read_text())
        with urllib.request.urlopen(f"http://{config['metadata']}/openstack/latest/meta_data.json", timeout=5) as reply:
            assert json.load(reply)["uuid"] == one.id
        listed = cloud.instances[one.id]
        assert [nic.addr for nics in listed.addresses.values() for nic in nics] == [one.address]
        assert listed.metadata["ssh_port"] == str(machines.port)


def test_stopped_started_and_after_a_restart_of_the_cloud_it_is_who_it_was(
    cloud: Cloud, tmp_path: Path, pack: imaged.Pack
) -> None:
    with Machines(cloud, tmp_path, 1, pack=pack) as first:
        machine = machine_of(first, id := launched(cloud))
        assert machine
        who = key(machine)
        cloud.act(id, "os-stop")
        wait(lambda: not processes.of_prefix(machine.prefix), 10, "nothing of it runs")
        cloud.act(id, "os-start")
        wait(lambda: processes.of_prefix(machine.prefix), 60, "it runs again")
        assert key(machine) == who
    back = load(json.loads(json.dumps(dump(cloud))))
    with Machines(back, tmp_path, 1, pack=pack) as again:
        found = machine_of(again, id)
        assert found and found.address == machine.address
        wait(lambda: processes.of_prefix(found.prefix), 60, "it runs again")
        assert key(found) == who


def test_rebuilt_it_is_somebody_new_and_deleted_it_leaves_nothing(machines: Machines, cloud: Cloud) -> None:
    machine = machine_of(machines, id := launched(cloud))
    assert machine
    who = key(machine)
    cloud.act(id, "rebuild")
    wait(lambda: key(machine) != who, 60, "it has another key")
    cloud.delete(id)
    wait(lambda: not machine.folder.exists() and machine_of(machines, id) is None, 60, "it is gone")
    assert not processes.of_prefix(machine.prefix)


def test_more_than_it_can_run_fail_in_words_and_have_room_once_one_is_deleted(machines: Machines, cloud: Cloud) -> None:
    ids = [launched(cloud, f"plum-{number}") for number in range(imaged.MOST + 1)]
    assert [cloud.instances[id].status for id in ids] == ["ACTIVE"] * imaged.MOST + ["ERROR"]
    assert "delete one first" in cloud.instances[ids[-1]].fault
    cloud.delete(ids[0])
    wait(lambda: machine_of(machines, ids[0]) is None, 60, "its place is free")
    assert machine_of(machines, launched(cloud, "pear-1"))


@pytest.fixture
def page(cloud: Cloud) -> Iterator[HostPage]:
    served = HostPage(cloud, 0, "http://console.example")
    served.start()
    yield served
    served.stop()


def fetched(url: str, host: str = "", **form: str) -> tuple[int, str]:
    data = urllib.parse.urlencode(form).encode() if form else None
    request = urllib.request.Request(url, data, {"Host": host} if host else {})
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as reply:
        return reply.code, reply.read().decode()


def test_the_hosts_page_launches_and_deletes_for_whoever_opened_it(page: HostPage, cloud: Cloud) -> None:
    cloud.settle = timedelta(minutes=1)
    status, text = fetched(page.url)
    assert status == 200 and "None was launched yet." in text
    secret = re.search(r'name="secret" value="([^"]+)"', text)
    assert secret
    status, text = fetched(f"{page.url}launch", secret=secret[1])
    assert status == 200 and "building" in text and 'http-equiv="refresh"' in text
    [one] = [each for each in cloud.instances.values() if each.image == imaged.offered(cloud).id]
    assert one.name in text
    assert "deleting" in fetched(f"{page.url}delete", secret=secret[1], id=one.id)[1]


def test_another_site_can_neither_press_its_buttons_nor_read_it(page: HostPage, cloud: Cloud) -> None:
    before = dict(cloud.instances)
    other = next(iter(before))
    secret = re.search(r'name="secret" value="([^"]+)"', fetched(page.url)[1])
    assert secret
    assert fetched(f"{page.url}launch", secret="guessed")[0] == 403
    assert fetched(f"{page.url}launch", id="x")[0] == 403
    assert fetched(page.url, host="rebound.example")[0] == 421
    assert fetched(f"{page.url}launch", host="rebound.example:80", secret=secret[1])[0] == 421
    fetched(f"{page.url}delete", secret=secret[1], id=other)  # not of its image: not its to delete
    assert cloud.instances == before and cloud.instances[other].task_state != "deleting"
