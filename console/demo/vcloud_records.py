"""What the query service knows of each type: records and their attributes.

Attributes and the version that added them: queryRecordView.xsd.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from console.demo.vcloud_cloud import Cloud
from console.demo.vcloud_things import WORDS, Task, Vm
from console.demo.vcloud_xml import Dialect

Row = dict[str, object]
Found = tuple[str, str, Row]
FORMATS = ("references", "records", "idrecords")


@dataclass(frozen=True, slots=True)
class Kind:
    """A type that may be asked for. `rows` gives each thing's path below the API's root, URN kind, and attributes."""

    element: str
    short: str
    rows: Callable[[Dialect, Cloud], Iterable[tuple[str, str, Row]]]
    formats: tuple[str, ...] = FORMATS
    since: str = "1.5"


def _vms(d: Dialect, cloud: Cloud) -> Iterable[tuple[str, str, Row]]:
    for vm in cloud.vms.values():
        yield f"vApp/vm-{vm.id}", "vm", _vm(d, cloud, vm)
    for template in cloud.templates.values():
        for seed in template.machines:
            yield (
                f"vAppTemplate/vm-{seed.id}",
                "vm",
                {
                    "name": seed.name,
                    "containerName": template.name,
                    "container": d.href(f"vAppTemplate/vappTemplate-{template.id}"),
                    "vdc": d.href(f"vdc/{cloud.vdc_id}"),
                    "isVAppTemplate": True,
                    "isDeleted": False,
                    "guestOs": seed.guest_os,
                    "numberOfCpus": seed.cpus,
                    "memoryMB": seed.memory_mb,
                    "status": WORDS[template.status],
                    "isBusy": False,
                    "isDeployed": False,
                    "isPublished": False,
                    "catalogName": "Public",
                    "hardwareVersion": 7,
                    "isInMaintenanceMode": False,
                },
            )


def _vm(d: Dialect, cloud: Cloud, vm: Vm) -> Row:
    primary = vm.nics[0] if vm.nics else None
    row: Row = {
        "name": vm.name,
        "containerName": vm.vapp.name,
        "container": d.href(f"vApp/vapp-{vm.vapp.id}"),
        "vdc": d.href(f"vdc/{cloud.vdc_id}"),
        "isVAppTemplate": False,
        "isDeleted": False,
        "guestOs": vm.guest_os,
        "numberOfCpus": vm.cpus,
        "memoryMB": vm.memory_mb,
        "status": vm.word,
        "networkName": primary.network if primary else None,
        "isBusy": vm.vapp.task is not None and not vm.vapp.task.over or vm.task is not None and not vm.task.over,
        "isDeployed": vm.deployed,
        "isPublished": False,
        "hardwareVersion": 7,
        "isInMaintenanceMode": False,
    }
    if d.since("5.1"):
        row["storageProfileName"] = "*"
    if d.since("5.7"):
        row |= {"ownerName": cloud.username, "owner": d.href(f"admin/user/{cloud.user_id}")}
        found = next((one for one in cloud.networks.values() if primary and one.name == primary.network), None)
        row |= {
            "network": d.href(f"network/{found.id}") if found else None,
            "ipAddress": primary.ip if primary else None,
        }
    if d.since("13.0"):
        row["gcStatus"] = "GC_COMPLETE" if vm.status == 4 else "GC_PENDING"
    if d.since("29.0"):
        row["vmToolsStatus"] = "RUNNING" if vm.tools and vm.status == 4 else "NOT_RUNNING"
    if d.since("35.0"):
        row["dateCreated"] = vm.created
    return row


def _vapps(d: Dialect, cloud: Cloud) -> Iterable[tuple[str, str, Row]]:
    for one in cloud.vapps.values():
        yield (
            f"vApp/vapp-{one.id}",
            "vapp",
            {
                "name": one.name,
                "vdc": d.href(f"vdc/{cloud.vdc_id}"),
                "vdcName": f"{cloud.org}-vdc",
                "isPublic": False,
                "isEnabled": True,
                "isBusy": one.working is not None,
                "creationDate": one.created,
                "status": WORDS[one.status],
                "ownerName": cloud.username,
                "isDeployed": one.deployed,
                "isInMaintenanceMode": False,
            },
        )


def _templates(d: Dialect, cloud: Cloud) -> Iterable[tuple[str, str, Row]]:
    for one in cloud.templates.values():
        yield (
            f"vAppTemplate/vappTemplate-{one.id}",
            "vapptemplate",
            {
                "ownerName": cloud.username,
                "catalogName": "Public",
                "isPublished": False,
                "name": one.name,
                "vdc": d.href(f"vdc/{cloud.vdc_id}"),
                "vdcName": f"{cloud.org}-vdc",
                "org": d.href(f"org/{cloud.org_id}"),
                "creationDate": one.created,
                "isBusy": False,
                "isGoldMaster": False,
                "isEnabled": True,
                "status": "RESOLVED" if one.status == 8 else WORDS[one.status],
                "isDeployed": False,
            },
        )


def _networks(d: Dialect, cloud: Cloud) -> Iterable[tuple[str, str, Row]]:
    for one in cloud.networks.values():
        yield (
            f"network/{one.id}",
            "network",
            {
                "name": one.name,
                "org": d.href(f"org/{cloud.org_id}"),
                "isIpScopeInherited": False,
                "gateway": one.gateway,
                "netmask": "255.255.255.0",
                "dns1": one.gateway,
                "isBusy": False,
            },
        )


def _vdc_networks(d: Dialect, cloud: Cloud) -> Iterable[tuple[str, str, Row]]:
    for one in cloud.networks.values():
        yield (
            f"network/{one.id}",
            "network",
            {
                "name": one.name,
                "defaultGateway": one.gateway,
                "netmask": "255.255.255.0",
                "dns1": one.gateway,
                "vdc": d.href(f"vdc/{cloud.vdc_id}"),
                "vdcName": f"{cloud.org}-vdc",
                "isBusy": False,
                "isShared": False,
            },
        )


def _catalogs(d: Dialect, cloud: Cloud) -> Iterable[Found]:
    yield (
        f"catalog/{cloud.catalog_id}",
        "catalog",
        {
            "ownerName": cloud.username,
            "owner": d.href(f"admin/user/{cloud.user_id}"),
            "orgName": cloud.org,
            "numberOfVAppTemplates": len(cloud.templates),
            "numberOfMedia": 0,
            "name": "Public",
            "isShared": True,
            "isPublished": False,
            "creationDate": cloud.opened,
        },
    )


def _vdcs(d: Dialect, cloud: Cloud) -> Iterable[tuple[str, str, Row]]:
    yield (
        f"vdc/{cloud.vdc_id}",
        "vdc",
        {
            "name": f"{cloud.org}-vdc",
            "isEnabled": True,
            "orgName": cloud.org,
            "numberOfVApps": len(cloud.vapps),
            "numberOfVAppTemplates": len(cloud.templates),
            "isBusy": False,
            "status": "READY",
        },
    )


def _tasks(d: Dialect, cloud: Cloud) -> Iterable[tuple[str, str, Row]]:
    for one in cloud.tasks.values():
        yield f"task/{one.id}", "task", _task(d, cloud, one)


def _task(d: Dialect, cloud: Cloud, one: Task) -> Row:
    prefix = "vm" if one.kind == "vm" else "vapp"
    return {
        "org": d.href(f"org/{cloud.org_id}"),
        "orgName": cloud.org,
        "name": one.name,
        "startDate": one.started,
        "endDate": one.ended,
        "status": one.status,
        "ownerName": cloud.username,
        "object": d.href(f"vApp/{prefix}-{one.owner_id}"),
        "objectType": one.kind,
        "objectName": one.owner_name,
    }


def _events(d: Dialect, cloud: Cloud) -> Iterable[tuple[str, str, Row]]:
    for one in cloud.events:
        yield (
            f"event/{one.id}",
            "event",
            {
                "eventType": one.type,
                "timeStamp": one.at,
                "eventStatus": int(one.good),
                "userName": cloud.username,
                "orgName": cloud.org,
                "entityType": one.kind,
                "entityName": one.entity_name,
                "entity": d.href(f"vApp/{one.kind}-{one.entity_id}"),
            },
        )


KINDS: dict[str, Kind] = {
    "vm": Kind("VM", "vm", _vms),
    "vApp": Kind("VApp", "vApp", _vapps),
    "vAppTemplate": Kind("VAppTemplate", "vAppTemplate", _templates),
    "orgNetwork": Kind("OrgNetwork", "orgNetwork", _networks),
    "orgVdcNetwork": Kind("OrgVdcNetwork", "orgVdcNetwork", _vdc_networks, FORMATS[1:], "5.1"),
    "orgVdc": Kind("OrgVdc", "vdc", _vdcs),
    "catalog": Kind("Catalog", "catalog", _catalogs),
    "task": Kind("Task", "task", _tasks),
    "event": Kind("Event", "event", _events, FORMATS[1:]),
}
