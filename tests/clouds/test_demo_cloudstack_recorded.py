"""What a simulated CloudStack says has the keys and JSON types of what real ones said (apache/libcloud's fixtures)."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from console.demo.cloudstack import Cloud, Site, serve
from tests.clouds.cloudstack_caller import ask, order, say
from tests.shared import shared

OF_THE_PLACE = {
    # What these hosts had and this one has not: keys of an account's limits, of a hypervisor or of a domain.
    "listProjects": re.compile(r".*(available|limit|total|vmrunning)$"),
    "listTemplates": re.compile(r"(bootable|accountid|status|checksum|hostid|hostname|sourcetemplateid|removed)$"),
    "listNetworks": re.compile(r"(acltype|broadcasturi|vlan)$"),
}


def recorded(name: str) -> Any:
    """The value under the one key of a recorded reply."""
    (value,) = json.loads(shared("fixtures", "cloudstack-libcloud", f"{name}.json").read_text()).values()
    return value


def differences(real: Any, ours: Any, skip: re.Pattern[str] | None, path: str = "") -> list[str]:
    """Keys that real replies have and ours have not, and values of another JSON type."""
    if type(real) is not type(ours):
        return [f"{path}: {type(real).__name__} there, {type(ours).__name__} here"]
    if isinstance(real, list):
        return differences(real[0], ours[0], skip, f"{path}[0]") if real and ours else []
    found = []
    for key in real if isinstance(real, dict) else ():
        if skip is not None and skip.match(key):
            continue
        if key not in ours:
            found.append(f"{path}.{key} is not said here")
        else:
            found += differences(real[key], ours[key], skip, f"{path}.{key}")
    return found


def cloud(version: str) -> Cloud:
    """An account whose first machine has what the recorded ones have."""
    made = Cloud.sized(3, version=version)
    first = next(iter(made.machines.values()))
    first.keypair = "ops"
    first.tags = {"testkey": "testvalue"}
    return made


@pytest.mark.parametrize(
    ("name", "version", "params"),
    [
        ("listVirtualMachines_default", "2.2.14", {}),
        ("listVirtualMachines_noipaddress", "2.2.14", {}),
        ("listZones_default", "2.2.14", {}),
        ("listServiceOfferings_default", "2.2.14", {}),
        ("listTemplates_default", "2.2.14", {"templatefilter": "executable"}),
        ("listTemplates_notemplates", "4.1.0", {"templatefilter": "executable", "name": "none"}),
        ("listNetworks_default", "4.0.2", {"name": "backend"}),
        ("listProjects_default", "4.2.0", {}),
        ("listSSHKeyPairs_default", "4.0.2", {}),
        ("listSSHKeyPairs_no_keys", "4.0.2", {"name": "none"}),
        ("listVolumes_default", "4.1.0", {}),
    ],
)
def test_a_list_has_the_keys_and_types_of_a_recorded_one(name: str, version: str, params: dict[str, str]) -> None:
    command = name.partition("_")[0]
    real = recorded(name)
    with serve(cloud(version)) as site:
        ours = ask(site, command, **params)
    assert differences(real, ours, OF_THE_PLACE.get(command)) == []
    assert bool(real) == bool(ours)


@pytest.mark.parametrize(
    ("answer", "job", "version", "change"),
    [
        ("deployVirtualMachine_default", "queryAsyncJobResult_17164", "2.2.14", {}),
        (None, "queryAsyncJobResult_1149366", "2.2.14", {"windows": "yes"}),
        (None, "queryAsyncJobResult_11116", "3.0.2", {"windows": "yes", "keypair": "ops"}),
        (None, "queryAsyncJobResult_11117", "4.3.0", {"windows": "yes", "projectid": "yes"}),
    ],
)
def test_a_deployment_and_its_job_are_as_recorded(
    answer: str | None, job: str, version: str, change: dict[str, str]
) -> None:
    with serve(cloud(version)) as site:
        wanted = order(site) | change
        if wanted.pop("windows", ""):
            wanted["templateid"] = next(one.id for one in site.cloud.templates.values() if one.password)
        if change.get("projectid"):
            wanted["projectid"] = next(iter(site.cloud.projects))
        made = ask(site, "deployVirtualMachine", **wanted)
        if answer:
            assert differences(recorded(answer), made, None) == []
        done, real = ask(site, "queryAsyncJobResult", jobid=str(made["jobid"])), recorded(job)
        assert differences(real, done, None) == []
        assert real.get("cmd", done["cmd"]) == done["cmd"]


def _machine(site: Site) -> str:
    return next(iter(site.cloud.machines))


@pytest.mark.parametrize(
    ("command", "job"),
    [
        ("stopVirtualMachine", "17199"),
        ("rebootVirtualMachine", "17165"),
        ("destroyVirtualMachine", "17166"),
    ],
)
def test_power_commands_and_their_jobs_are_as_recorded(command: str, job: str) -> None:
    with serve(cloud("2.2.14")) as site:
        begun = ask(site, command, id=_machine(site))
        assert differences(recorded(f"{command}_default"), begun, None) == []
        done = ask(site, "queryAsyncJobResult", jobid=str(begun["jobid"]))
        stats = re.compile(r"(cpuused|networkkbs.*)$")  # recorded of a machine that was still counted as running
        assert differences(recorded(f"queryAsyncJobResult_{job}"), done, stats) == []


def test_tags_and_their_job_are_as_recorded() -> None:
    with serve(cloud("4.0.2")) as site:
        about = {"resourceids": _machine(site), "resourcetype": "UserVm", "tags[0].key": "env"}
        for command, more in (("createTags", {"tags[0].value": "prod"}), ("deleteTags", {})):
            begun = ask(site, command, **about, **more)
            assert differences(recorded(f"{command}_default"), begun, None) == []
            done = ask(site, "queryAsyncJobResult", jobid=begun["jobid"])
            assert differences(recorded(f"queryAsyncJobResult_{command.lower()}job"), done, None) == []


def test_keys_are_answered_as_recorded() -> None:
    line = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQ== me@example.com"
    with serve(cloud("4.0.2")) as site:
        made = ask(site, "createSSHKeyPair", name="made")
        assert differences(recorded("createSSHKeyPair_default"), made, None) == []
        mine = ask(site, "registerSSHKeyPair", name="mine", publickey=line)
        assert differences(recorded("registerSSHKeyPair_default"), mine, None) == []
        wrong = say(site, "registerSSHKeyPair", name="bad", publickey="x").json()["registersshkeypairresponse"]
        assert differences(recorded("registerSSHKeyPair_error"), wrong, None) == []
        assert wrong["errortext"] == recorded("registerSSHKeyPair_error")["errortext"]
        gone = ask(site, "deleteSSHKeyPair", name="mine")
        assert gone == recorded("deleteSSHKeyPair_default")


def test_snapshots_of_disks_are_as_recorded() -> None:
    with serve(cloud("2.2.14")) as site:
        begun = ask(site, "createSnapshot", volumeid=_machine(site))
        assert differences(recorded("createSnapshot_default"), begun, None) == []
        counted = re.compile("count$")  # other lists of that age have none, and none is what ours say
        assert differences(recorded("listSnapshots_default"), ask(site, "listSnapshots"), counted) == []
        done = ask(site, "queryAsyncJobResult", jobid=str(begun["jobid"]))
        real = recorded("queryAsyncJobResult_1300001")
        real["jobresult"]["snapshot"]["volumeid"] = 1  # the one recorded id that somebody made up later: a UUID in 2.x
        assert differences(real, done, None) == []
        begun = ask(site, "deleteSnapshot", id=str(begun["id"]))
        assert differences(recorded("deleteSnapshot_default"), begun, None) == []
        done = ask(site, "queryAsyncJobResult", jobid=str(begun["jobid"]))
        assert differences(recorded("queryAsyncJobResult_1300002"), done, None) == []


def test_a_difference_is_seen() -> None:
    assert differences({"id": 1, "nic": [{"ip": "x"}]}, {"id": "1", "nic": [{}]}, None) == [
        ".id: int there, str here",
        ".nic[0].ip is not said here",
    ]
