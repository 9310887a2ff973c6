"""The simulated CloudStack is driven by its own library, and by hand where the library hides the wire."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
import requests
from cs import CloudStackApiException

from console.demo.cloudstack import ApiError, Cloud, serve
from tests.clouds.cloudstack_caller import ask, client, order, refused, signed
from tests.clouds.demo_caller import Clock


@pytest.mark.parametrize("method", ["get", "post"])
def test_cs_deploys_stops_starts_and_destroys_with_its_own_polling(method: str) -> None:
    with serve(Cloud.sized(2)) as site:
        site.cloud.settle = timedelta(seconds=0.02)
        caller = client(site, method=method)
        made = caller.deployVirtualMachine(**order(site, name="fred"), fetch_result=True)["virtualmachine"]
        assert (made["name"], made["state"]) == ("fred", "Running")
        states = [
            caller.stopVirtualMachine(id=made["id"], fetch_result=True)["virtualmachine"]["state"],
            caller.startVirtualMachine(id=made["id"], fetch_result=True)["virtualmachine"]["state"],
            caller.rebootVirtualMachine(id=made["id"], fetch_result=True)["virtualmachine"]["state"],
            caller.destroyVirtualMachine(id=made["id"], fetch_result=True)["virtualmachine"]["state"],
        ]
        assert states == ["Stopped", "Running", "Running", "Destroyed"]
        assert len(caller.listVirtualMachines(fetch_list=True)) == 2


def test_a_job_is_pending_until_the_clock_says_so_and_the_machine_is_between_states() -> None:
    clock = Clock()
    with serve(Cloud.sized(1)) as site:
        site.cloud.clock, site.cloud.settle = clock, timedelta(seconds=30)
        job = ask(site, "deployVirtualMachine", **order(site, name="fred"))
        pending = ask(site, "queryAsyncJobResult", jobid=job["jobid"])
        assert (pending["jobstatus"], "jobresult" in pending) == (0, False)
        row = ask(site, "listVirtualMachines", id=job["id"])["virtualmachine"][0]
        assert (row["state"], row["jobid"], row["jobstatus"]) == ("Starting", job["jobid"], 0)
        clock.now += timedelta(seconds=30)
        done = ask(site, "queryAsyncJobResult", jobid=job["jobid"])
        assert (done["jobstatus"], done["jobresult"]["virtualmachine"]["state"]) == (1, "Running")
        assert "jobid" not in ask(site, "listVirtualMachines", id=job["id"])["virtualmachine"][0]
        assert [one["jobid"] for one in ask(site, "listAsyncJobs")["asyncjobs"]] == [job["jobid"]]


def test_a_job_that_fails_says_code_and_words_and_the_machine_is_as_before() -> None:
    with serve(Cloud.sized(1)) as site:
        (machine,) = site.cloud.machines
        site.cloud.failures["stopVirtualMachine"] = ApiError(530, "Unable to stop vm: the agent is not there")
        site.cloud.failures["deployVirtualMachine"] = ApiError(533, "Unable to create a deployment for VM[User|fred]")
        with pytest.raises(CloudStackApiException) as caught:
            client(site).stopVirtualMachine(id=machine, fetch_result=True)
        assert caught.value.error == {"errorcode": 530, "errortext": "Unable to stop vm: the agent is not there"}
        assert site.cloud.get(machine).state == "Running"
        made = ask(site, "deployVirtualMachine", **order(site))
        assert ask(site, "queryAsyncJobResult", jobid=made["jobid"])["jobresultcode"] == 533
        assert site.cloud.get(made["id"]).state == "Error"


def test_what_a_state_does_not_allow_fails_in_the_job() -> None:
    with serve(Cloud.sized(1)) as site:
        (machine,) = site.cloud.machines
        job = ask(site, "startVirtualMachine", id=machine)["jobid"]
        failed = ask(site, "queryAsyncJobResult", jobid=job)
        assert (failed["jobstatus"], failed["jobresultcode"]) == (2, 431)
        assert failed["jobresult"]["errortext"].endswith("is already running")
        ask(site, "stopVirtualMachine", id=machine)
        job = ask(site, "rebootVirtualMachine", id=machine)["jobid"]
        assert ask(site, "queryAsyncJobResult", jobid=job)["jobresult"]["errorcode"] == 530


def test_expunge_removes_at_once_and_otherwise_the_delay_does() -> None:
    clock = Clock()
    with serve(Cloud.sized(2, version="4.2.0")) as site:
        site.cloud.clock = clock
        first, second = site.cloud.machines
        ask(site, "destroyVirtualMachine", id=first, expunge="true")
        assert refused(site, "listVirtualMachines", id=first)[0] == 431
        ask(site, "destroyVirtualMachine", id=second)
        assert ask(site, "listVirtualMachines")["virtualmachine"][0]["state"] == "Destroyed"
        assert ask(site, "listVirtualMachines", state="Present") == {}
        assert ask(site, "recoverVirtualMachine", id=second)["virtualmachine"]["state"] == "Stopped"
        ask(site, "destroyVirtualMachine", id=second)
        clock.now += timedelta(days=1)
        assert ask(site, "listVirtualMachines") == {}


def test_later_clouds_hide_a_destroyed_machine_and_may_forbid_to_expunge() -> None:
    with serve(Cloud.sized(1)) as site:
        (machine,) = site.cloud.machines
        site.cloud.users_expunge = False
        assert refused(site, "destroyVirtualMachine", id=machine, expunge="true")[0] == 531
        ask(site, "destroyVirtualMachine", id=machine)
        assert ask(site, "listVirtualMachines", listall="true") == {}


def test_an_order_is_checked_before_a_job_is_made() -> None:
    with serve(Cloud.sized(1)) as site:
        good = order(site)
        for name in good:
            words = refused(site, "deployVirtualMachine", **{key: value for key, value in good.items() if key != name})[
                2
            ]
            assert words == f"Unable to execute API command deployvirtualmachine due to missing parameter {name}"
            assert refused(site, "deployVirtualMachine", **good | {name: "nobody"})[0] == 431
        for wrong in ({"name": "1st"}, {"name": "a_b"}, {"name": "vm-00000"}, {"keypair": "lost"}, {"networkids": "x"}):
            assert refused(site, "deployVirtualMachine", **good | wrong)[0] == 431
        assert len(site.cloud.machines) == 1


def test_a_first_password_is_told_once_and_a_key_and_networks_are_taken() -> None:
    with serve(Cloud.sized(0)) as site:
        windows = next(one.id for one in site.cloud.templates.values() if one.password)
        nets = [one.id for one in site.cloud.networks.values() if one.name in ("guest-1", "backend")]
        wanted = order(site, templateid=windows, keypair="ops", networkids=",".join(nets), startvm="false")
        made = ask(site, "deployVirtualMachine", **wanted)
        row = ask(site, "queryAsyncJobResult", jobid=made["jobid"])["jobresult"]["virtualmachine"]
        assert (row["password"], row["state"], row["keypairs"]) == ("fB7mKq2w", "Stopped", "ops")
        assert [(one["networkid"], one["isdefault"]) for one in row["nic"]] == [(nets[0], True), (nets[1], False)]
        assert "password" not in ask(site, "listVirtualMachines", id=made["id"])["virtualmachine"][0]


def test_user_data_is_base64_short_in_a_get_and_readable_from_4_4_on() -> None:
    with serve(Cloud.sized(1)) as site:
        (machine,) = site.cloud.machines
        long = base64.b64encode(b"x" * 3000).decode()
        assert refused(site, "updateVirtualMachine", id=machine, userdata="no base64!")[0] == 431
        assert refused(site, "updateVirtualMachine", id=machine, userdata=long)[2].endswith("an http GET request")
        client(site, method="post").updateVirtualMachine(id=machine, userdata=long)
        said = ask(site, "getVirtualMachineUserData", virtualmachineid=machine)["virtualmachineuserdata"]
        assert said == {"userdata": long, "virtualmachineid": machine}


def test_size_changes_when_stopped_and_scales_when_the_machine_can() -> None:
    with serve(Cloud.sized(1)) as site:
        (machine,) = site.cloud.machines
        large = next(one.id for one in site.cloud.offerings.values() if one.cpus == 4)
        custom = next(one.id for one in site.cloud.offerings.values() if one.customized)
        code, cs_code, words = refused(site, "changeServiceForVirtualMachine", id=machine, serviceofferingid=large)
        assert (code, cs_code) == (431, 4350)
        assert words.endswith("in state Running; make sure the virtual machine is stopped")
        job = ask(site, "scaleVirtualMachine", id=machine, serviceofferingid=large)["jobid"]
        assert ask(site, "queryAsyncJobResult", jobid=job)["jobstatus"] == 2
        site.cloud.get(machine).scalable = True
        job = ask(site, "scaleVirtualMachine", id=machine, serviceofferingid=large)["jobid"]
        assert ask(site, "queryAsyncJobResult", jobid=job)["jobresult"]["virtualmachine"]["memory"] == 8192
        ask(site, "stopVirtualMachine", id=machine)
        assert refused(site, "changeServiceForVirtualMachine", id=machine, serviceofferingid=custom)[0] == 431
        row = client(site).changeServiceForVirtualMachine(
            id=machine, serviceofferingid=custom, details={"cpuNumber": 3, "memory": 3072}
        )["virtualmachine"]
        assert (row["cpunumber"], row["memory"]) == (3, 3072)


def test_tags_are_set_once_each_and_deleted_by_key() -> None:
    with serve(Cloud.sized(2)) as site:
        machine = list(site.cloud.machines)[1]
        caller = client(site)
        about = {"resourceids": [machine], "resourcetype": "UserVm", "fetch_result": True}
        assert caller.createTags(tags=[{"key": "env", "value": "prod"}], **about) == {"success": True}
        with pytest.raises(CloudStackApiException, match="already on resource"):
            caller.createTags(tags=[{"key": "env", "value": "test"}], **about)
        (tag,) = ask(site, "listVirtualMachines", id=machine)["virtualmachine"][0]["tags"]
        assert (tag["key"], tag["value"]) == ("env", "prod")
        caller.deleteTags(tags=[{"key": "env"}], **about)
        assert ask(site, "listVirtualMachines", id=machine)["virtualmachine"][0]["tags"] == []


def test_snapshots_are_made_reverted_to_when_stopped_and_deleted() -> None:
    with serve(Cloud.sized(1)) as site:
        (machine,) = site.cloud.machines
        caller = client(site, fetch_result=True)
        made = caller.createVMSnapshot(virtualmachineid=machine, name="before")["vmsnapshot"]
        assert (made["displayname"], made["state"], made["current"], made["type"]) == ("before", "Ready", True, "Disk")
        second = caller.createVMSnapshot(virtualmachineid=machine, name="after")["vmsnapshot"]
        assert second["parent"] == made["id"]
        with pytest.raises(CloudStackApiException, match="revert not allowed"):
            caller.revertToVMSnapshot(vmsnapshotid=made["id"])
        caller.stopVirtualMachine(id=machine)
        caller.revertToVMSnapshot(vmsnapshotid=made["id"])
        current = {one["displayname"]: one["current"] for one in caller.listVMSnapshot(fetch_list=True)}
        assert current == {"before": True, "after": False}
        assert caller.deleteVMSnapshot(vmsnapshotid=made["id"]) == {"success": True}
        assert [one["id"] for one in caller.listVMSnapshot(virtualmachineid=machine)["vmSnapshot"]] == [second["id"]]


def test_an_old_cloud_snapshots_the_root_disk() -> None:
    with serve(Cloud.sized(1, version="3.0.2")) as site:
        (machine,) = site.cloud.machines
        (volume,) = ask(site, "listVolumes", virtualmachineid=machine, type="ROOT")["volume"]
        made = client(site).createSnapshot(volumeid=volume["id"], fetch_result=True)["snapshot"]
        assert (made["state"], made["volumeid"]) == ("BackedUp", volume["id"])
        client(site).deleteSnapshot(id=made["id"], fetch_result=True)
        assert ask(site, "listSnapshots", volumeid=volume["id"]) == {}


def test_keys_are_made_registered_and_deleted() -> None:
    with serve(Cloud.sized(0)) as site:
        caller = client(site)
        assert "PRIVATE KEY" in caller.createSSHKeyPair(name="made")["keypair"]["privatekey"]
        line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFUb1m0xkP1Wv2Wb4Nn5mZ1oWw3nqk1nqkqk1nqkqk1n ops@example.com"
        assert len(caller.registerSSHKeyPair(name="mine", publickey=line)["keypair"]["fingerprint"]) == 47
        assert refused(site, "registerSSHKeyPair", name="bad", publickey="nonsense")[2] == "Public key is invalid"
        assert refused(site, "registerSSHKeyPair", name="mine", publickey=line)[0] == 431
        assert caller.deleteSSHKeyPair(name="mine") == {"success": True}
        assert [one["name"] for one in caller.listSSHKeyPairs(fetch_list=True)] == ["ops", "made"]


def test_a_console_is_an_endpoint_from_4_18_on_and_a_signed_page_before() -> None:
    with serve(Cloud.sized(4)) as site, requests.Session() as session:
        machine, stopped = list(site.cloud.machines)[0], list(site.cloud.machines)[3]
        said = ask(site, "createConsoleEndpoint", virtualmachineid=machine)["consoleendpoint"]
        assert said["success"] is True
        assert said["url"].startswith("http://127.0.0.1:")
        assert ask(site, "createConsoleEndpoint", virtualmachineid=stopped)["consoleendpoint"]["success"] is False
        page = site.url.replace("/client/api", "/client/console")
        params = signed(site, "ignored", cmd="access", vm=machine)
        assert "<frameset>" in session.get(page, params=params, timeout=10).text
        assert "Access denied" in session.get(page, params=params | {"vm": stopped}, timeout=10).text
        assert session.get(page, params=signed(site, "ignored", cmd="access", vm=stopped), timeout=10).text == ""


def test_events_tell_what_happened_since_a_time_and_from_4_17_on_to_whom() -> None:
    clock = Clock()
    for version, known in (("4.16.0.0", False), ("4.17.0.0", True)):
        with serve(Cloud.sized(2, version=version)) as site:
            site.cloud.clock = clock
            machine, other = site.cloud.machines
            ask(site, "stopVirtualMachine", id=machine)
            clock.now += timedelta(minutes=5)
            since = clock.now.strftime("%Y-%m-%d %H:%M:%S")
            ask(site, "startVirtualMachine", id=machine)
            ask(site, "stopVirtualMachine", id=other)
            events = ask(site, "listEvents", startdate=since)["event"]
            kinds = [(one["type"], one["state"]) for one in events]
            assert kinds == [
                ("VM.STOP", "Completed"),
                ("VM.STOP", "Scheduled"),
                ("VM.START", "Completed"),
                ("VM.START", "Scheduled"),
            ]
            assert events[0]["parentid"] == events[1]["id"]
            assert [("resourceid" in one) for one in events] == [known] * 4
            mine = ask(site, "listEvents", startdate=since, resourceid=machine, resourcetype="VirtualMachine")["event"]
            assert len(mine) == (2 if known else 4)
            assert ask(site, "listEvents", type="VM.STOP", startdate="2026-11-22")["count"] == 4


def test_what_a_cloud_signs_and_dates_is_in_cloudstacks_form() -> None:
    with serve(Cloud.sized(0)) as site:
        site.cloud.add("dated", created=datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC))
        assert ask(site, "listVirtualMachines")["virtualmachine"][0]["created"] == "2026-02-03T04:05:06+0000"
