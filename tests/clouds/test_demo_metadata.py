"""The metadata services of simulated clouds: each instance sees its own, as its platform shows it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from console.demo import cloudstack, openstack, vcloud, vmtoolsd
from console.demo.launching import launch
from console.demo.metadata import NOVA_CACHE, Residents, serve
from servers.agents.program import channels


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def residents(clock: Clock) -> Residents:
    return Residents(clock)


@pytest.fixture
def service(residents: Residents) -> Iterator[str]:
    with serve(residents) as place:
        yield place


def get(service: str, source: str, path: str) -> tuple[int, bytes]:
    host, _, port = service.partition(":")
    line = HTTPConnection(host, int(port), timeout=5, source_address=(source, 0))
    line.request("GET", path)
    reply = line.getresponse()
    found = reply.status, reply.read()
    line.close()
    return found


def test_each_address_sees_its_own_instance_and_a_stranger_nothing(service: str, residents: Residents) -> None:
    cloud = openstack.Cloud.sized(2)
    one, other = (launch(cloud, residents, name, f"127.0.0.{last}") for name, last in (("one", 91), ("other", 92)))
    path = "/openstack/latest/meta_data.json"
    assert json.loads(get(service, one.address, path)[1])["uuid"] == one.external_id
    assert json.loads(get(service, other.address, path)[1])["uuid"] == other.external_id
    assert get(service, "127.0.0.93", path)[0] == 404
    residents.drop(one.address)
    assert get(service, one.address, path)[0] == 404


def test_novas_metadata_is_live_and_at_most_fifteen_seconds_old(
    service: str, residents: Residents, clock: Clock
) -> None:
    cloud = openstack.Cloud.sized(1)
    one = launch(cloud, residents, "one", "127.0.0.91", user_data=b"#!/bin/sh\n")
    path = "/openstack/latest/meta_data.json"

    def meta() -> object:
        return json.loads(get(service, one.address, path)[1]).get("meta")

    assert meta() is None
    cloud.update(one.external_id, metadata={"muster-claim": "nonce"})
    clock.now += NOVA_CACHE - 1
    assert meta() is None
    clock.now += 1
    assert meta() == {"muster-claim": "nonce"}
    assert get(service, one.address, "/openstack/latest/user_data") == (200, b"#!/bin/sh\n")


def test_a_virtual_router_shows_user_data_and_the_instances_id(service: str, residents: Residents) -> None:
    cloud = cloudstack.Cloud.sized(1)
    one = launch(cloud, residents, "one", "127.0.0.91", user_data=b"#cloud-config\n")
    assert get(service, one.address, "/latest/user-data") == (200, b"#cloud-config\n")
    assert get(service, one.address, "/latest/meta-data/instance-id") == (200, one.external_id.encode())
    assert get(service, one.address, "/latest/nothing")[0] == 404


def test_the_stand_in_of_vmtoolsd_answers_as_the_real_one(service: str, residents: Residents, tmp_path: Path) -> None:
    cloud = vcloud.Cloud.sized(1, generation="38.1")
    one = launch(cloud, residents, "one", "127.0.0.91")
    cloud.vms[one.told].extra["guestinfo.muster.claim"] = "nonce"
    program = vmtoolsd.put(tmp_path, service, one.address)

    def ask(*arguments: str) -> tuple[int, str, str]:
        done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)  # noqa: S603 - ours
        return done.returncode, done.stdout, done.stderr

    assert ask("--cmd", "info-get guestinfo.muster.claim") == (0, "nonce\n", "")
    assert ask("--cmd", "info-get guestinfo.other") == (1, "", "No value found\n")
    assert "vCloud_computerName" in ask("--cmd", "info-get guestinfo.ovfEnv")[1]
    assert ask("--cmd", "info-set a b")[0] == 1


def test_what_is_launched_is_listed_with_its_address(residents: Residents) -> None:
    for cloud in (openstack.Cloud.sized(1), cloudstack.Cloud.sized(1), vcloud.Cloud.sized(1, generation="38.1")):
        one = launch(cloud, residents, "fresh", "127.0.0.91")
        found = residents.at(one.address)
        assert found is not None and found.cloud is cloud and one.mac


def test_the_agents_own_channels_read_them(
    service: str, residents: Residents, clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From 127.0.0.1, since the agent chooses no address to ask from."""
    openstack_cloud, cloudstack_cloud = openstack.Cloud.sized(1), cloudstack.Cloud.sized(1)
    one = launch(openstack_cloud, residents, "one", "127.0.0.1")
    openstack_cloud.update(one.external_id, metadata={"muster-claim": "first"})
    found = channels.OpenStack(str(tmp_path), service)
    assert (found.instance_id(), found.nonce()) == (one.external_id, "first")
    two = launch(cloudstack_cloud, residents, "two", "127.0.0.1", user_data=b"#!/bin/sh\n# muster-claim: second\n")
    router = channels.CloudStack(str(tmp_path), service)
    assert (router.instance_id(), router.nonce()) == (two.external_id, "second")
    three = launch(vcloud.Cloud.sized(1, generation="38.1"), residents, "three", "127.0.0.1")
    at = residents.at("127.0.0.1")
    assert at is not None
    at.cloud.vms[three.told].extra["guestinfo.muster.claim"] = "third"
    monkeypatch.setenv("PATH", str(vmtoolsd.put(tmp_path / "bin", service).parent), prepend=":")
    assert channels.VCloud(str(tmp_path), service).nonce() == "third"
