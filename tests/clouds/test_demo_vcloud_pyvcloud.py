"""pyvcloud, VMware's own client, drives the simulated cells: it was written for real ones, not for ours."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyvcloud.vcd.client import BasicLoginCredentials, Client, QueryResultFormat, TaskStatus
from pyvcloud.vcd.exceptions import VcdException
from pyvcloud.vcd.org import Org
from pyvcloud.vcd.vapp import VApp
from pyvcloud.vcd.vdc import VDC
from pyvcloud.vcd.vm import VM

from console.demo.vcloud import Cloud, Site, serve


@pytest.fixture
def log(tmp_path: Path) -> Iterator[str]:
    """Where pyvcloud writes; its handler is closed afterwards."""
    name = str(tmp_path / "pyvcloud.log")
    yield name
    logger = logging.getLogger(name)
    for handler in list(logger.handlers):
        handler.close()
        logger.removeHandler(handler)


def signed_in(site: Site, log: str, version: str) -> Client:
    client = Client(site.root, api_version=version, log_file=log)
    client.set_credentials(BasicLoginCredentials(site.cloud.username, site.cloud.org, site.cloud.password))
    return client


def done(client: Client, task: object) -> None:
    client.get_task_monitor().wait_for_status(task, timeout=10, poll_frequency=0.01,
                                              expected_target_statuses=[TaskStatus.SUCCESS])  # fmt: skip


@pytest.mark.parametrize("version", ["1.5", "5.1", "38.1"])
def test_pyvcloud_signs_in_lists_every_machine_and_switches_them(version: str, log: str) -> None:
    with serve(Cloud.sized(130, generation=version)) as site:
        client = signed_in(site, log, version)
        query = client.get_typed_query("vm", QueryResultFormat.RECORDS, page_size=128, qfilter="isVAppTemplate==false")
        found = {one.get("name"): one for one in query.execute()}
        assert set(found) == {vm.name for vm in site.cloud.vms.values()}
        vm = site.cloud.vms[found["srv-00001"].get("href").rpartition("/vm-")[2]]
        machine = VM(client, href=found["srv-00001"].get("href"))
        assert machine.get_power_state() == 4
        done(client, machine.power_off())
        machine.reload()
        assert (machine.get_power_state(), vm.deployed) == (8, True)
        done(client, machine.undeploy("powerOff"))
        assert (vm.status, vm.deployed) == (8, False)
        machine.reload()
        done(client, machine.power_on())
        machine.reload()
        assert machine.get_power_state() == 4
        client.logout()
        assert site.cloud.sessions == {}


def test_pyvcloud_walks_a_modern_cell_and_changes_hardware_and_snapshots(log: str) -> None:
    with serve(Cloud.sized(3, generation="38.1")) as site:
        client = signed_in(site, log, "38.1")
        org = Org(client, resource=client.get_org())
        vdc = VDC(client, resource=org.get_vdc(f"{site.cloud.org}-vdc"))
        home = VApp(client, resource=vdc.get_vapp("app-0001"))
        machine = VM(client, resource=home.get_vm("srv-00002"))
        assert machine.get_cpus()["num_cpus"] == 2
        done(client, machine.snapshot_create(memory=False, quiesce=False))
        machine.reload()
        done(client, machine.undeploy("powerOff"))
        machine.reload()
        done(client, machine.modify_cpu(4))
        machine.reload()
        done(client, machine.modify_memory(8192))
        machine.reload()
        assert (machine.get_cpus()["num_cpus"], machine.get_memory()) == (4, 8192)
        done(client, machine.snapshot_revert_to_current())
        machine.reload()
        assert machine.get_cpus()["num_cpus"] == 2
        client.logout()


def test_pyvcloud_instantiates_a_template_and_deletes_the_vapp(log: str) -> None:
    with serve(Cloud("38.1")) as site:
        client = signed_in(site, log, "38.1")
        vdc = VDC(client, resource=Org(client, resource=client.get_org()).get_vdc(f"{site.cloud.org}-vdc"))
        made = vdc.instantiate_vapp("web", "Public", "debian-12", deploy=False, power_on=False)
        done(client, made.Tasks.Task[0])
        vdc.reload()
        assert [vm.name for vm in site.cloud.vms.values()] == ["debian-12"]
        done(client, vdc.delete_vapp("web"))
        assert site.cloud.vapps == {}
        client.logout()


def test_pyvcloud_is_refused_with_a_wrong_password(log: str) -> None:
    with serve(Cloud("38.1")) as site:
        client = Client(site.root, api_version="38.1", log_file=log)
        with pytest.raises(VcdException):
            client.set_credentials(BasicLoginCredentials(site.cloud.username, site.cloud.org, "wrong"))
