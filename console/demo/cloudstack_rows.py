"""How CloudStack writes its things, by version. Keys that have no value are left out, as Gson does it.

Held to the recorded replies of 2.2 to 4.3; what later versions added is from the source of 4.x.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from console.demo.cloudstack_cloud import Cloud
from console.demo.cloudstack_things import (
    DiskSnapshot,
    Event,
    Job,
    Machine,
    Net,
    Nic,
    Offering,
    Snapshot,
    Template,
    Zone,
)

Row = dict[str, Any]

DETAILS: Final = frozenset(
    {
        "all",
        "group",
        "nics",
        "stats",
        "secgrp",
        "tmpl",
        "servoff",
        "diskoff",
        "iso",
        "volume",
        "min",
        "affgrp",
        "backoff",
    }
)


def moment(when: datetime) -> str:
    """yyyy-MM-dd'T'HH:mm:ssZ: an offset without a colon."""
    return when.strftime("%Y-%m-%dT%H:%M:%S%z")


def ident(cloud: Cloud, value: str) -> str | int:
    """2.x writes its ids as numbers."""
    return int(value) if cloud.release < (3, 0) and value.isdigit() else value


def _filled(row: Mapping[str, Any]) -> Row:
    return {key: value for key, value in row.items() if value not in ("", None)}


def owner(cloud: Cloud, project: str = "") -> Row:
    """Who it belongs to: an account, or a project in its place; and the domain."""
    who: Row = {"account": cloud.account}
    if project:
        who = {"projectid": ident(cloud, project), "project": cloud.projects[project]}
    return who | {"domainid": ident(cloud, cloud.domain_id), "domain": cloud.domain}


def machine_json(cloud: Cloud, machine: Machine, details: frozenset[str]) -> str:
    """The machine as JSON text, kept until it changes."""
    key = ",".join(sorted(details))
    kept = machine.rendered  # a change while this is written puts a new one in its place
    ready = kept.get(key)
    if ready is None:
        ready = kept[key] = json.dumps(machine_row(cloud, machine, details))
    return ready


def machine_row(cloud: Cloud, machine: Machine, details: frozenset[str] = frozenset({"all"})) -> Row:
    """A machine as listVirtualMachines and jobs write it, with what `details` asks for."""
    modern = cloud.release >= (4, 2)

    def asked(word: str) -> bool:
        return "all" in details or word in details

    row: Row = {"id": ident(cloud, machine.id), "name": machine.name, "displayname": machine.displayname}
    row |= owner(cloud, machine.project)
    row |= {"created": moment(machine.created), "state": machine.state, "haenable": machine.haenable}
    if cloud.release >= (4, 15) and machine.updated is not None:
        row["lastupdated"] = moment(machine.updated)
    if asked("group") and machine.group:
        row["group"] = machine.group
    row |= {"zoneid": ident(cloud, machine.zone), "zonename": cloud.zones[machine.zone].name}
    if asked("tmpl"):
        row |= _template_of(cloud, machine)
    if asked("servoff"):
        row |= _size_of(cloud, machine)
    if asked("stats") and machine.state == "Running":
        row |= {"cpuused": f"{machine.number % 90 / 7:.2f}%", "networkkbsread": 2, "networkkbswrite": 2}
        if modern:
            row |= {"diskkbsread": 0, "diskkbswrite": 6, "diskioread": 0, "diskiowrite": 2}
    row["guestosid"] = _os(cloud)
    if asked("volume") or not modern:
        row |= {"rootdeviceid": 0, "rootdevicetype": "ROOT" if cloud.release >= (4, 0) else "NetworkFilesystem"}
    row["securitygroup"] = []
    if machine.job:
        row |= {"jobid": ident(cloud, machine.job), "jobstatus": 0}
    row["nic"] = [nic_row(cloud, one) for one in machine.nics] if asked("nics") else []
    row["hypervisor"] = machine.hypervisor
    if machine.public_ip:
        row |= {"publicipid": f"ip-{machine.number}", "publicip": machine.public_ip}
    if cloud.release >= (3, 0) or machine.tags:
        row["tags"] = [_tag(cloud, machine, key, value) for key, value in machine.tags.items()]
    if machine.keypair:
        row["keypairs" if cloud.release >= (4, 17) else "keypair"] = machine.keypair
    if modern:
        row |= {"affinitygroup": [], "displayvm": True, "isdynamicallyscalable": machine.scalable}
        row |= _details_of(cloud, machine)
    return row


def _template_of(cloud: Cloud, machine: Machine) -> Row:
    template = cloud.templates.get(machine.template)
    if template is None:
        return {"passwordenabled": False}
    return {
        "templateid": ident(cloud, template.id),
        "templatename": template.name,
        "templatedisplaytext": template.name,
        "passwordenabled": template.password,
    }


def _size_of(cloud: Cloud, machine: Machine) -> Row:
    offering = cloud.offerings[machine.offering]
    return {
        "serviceofferingid": ident(cloud, offering.id),
        "serviceofferingname": offering.name,
        "cpunumber": offering.cpus if offering.cpus is not None else int(machine.details.get("cpuNumber", "1")),
        "cpuspeed": offering.speed,
        "memory": offering.memory if offering.memory is not None else int(machine.details.get("memory", "512")),
    }


def _os(cloud: Cloud) -> str | int:
    return 12 if cloud.release < (3, 0) else "b8506c91-6d8e-4086-8659-f6296a7b71ac"


def _details_of(cloud: Cloud, machine: Machine) -> Row:
    extra: Row = {"ostypeid": 12 if cloud.release < (4, 9) else _os(cloud)}
    if cloud.release >= (4, 10):
        extra["osdisplayname"] = "Debian GNU/Linux 12 (64-bit)"
    if machine.details:
        extra["details"] = machine.details
    if cloud.release >= (4, 16):
        extra |= {"userid": cloud.user_id, "username": cloud.account, "hasannotation": False, "vmtype": "UserVm"}
    if cloud.release >= (4, 20):
        extra["arch"] = "x86_64"
    return extra


def _tag(cloud: Cloud, machine: Machine, key: str, value: str) -> Row:
    bare = {"key": key, "value": value}
    if cloud.release < (4, 0):
        return bare
    about = {"resourcetype": "UserVm", "resourceid": machine.id}
    return bare | about | owner(cloud, machine.project)


def nic_row(cloud: Cloud, nic: Nic) -> Row:
    """An interface, as it stands in `nic`."""
    network = cloud.networks[nic.network]
    addressed = bool(nic.ip)
    row: Row = {"id": ident(cloud, nic.id), "networkid": ident(cloud, nic.network)}
    if cloud.release >= (4, 0):
        row["networkname"] = network.name
    if addressed:
        row |= {"netmask": "255.255.255.0", "gateway": f"{network.prefix}.1", "ipaddress": nic.ip}
    if addressed and cloud.release >= (4, 2):
        vlan = f"vlan://{2900 + int(network.prefix.split('.')[1])}"
        row |= {"isolationuri": vlan, "broadcasturi": vlan}
    if addressed:
        row["traffictype"] = "Guest"
    row |= {"type": "Virtual" if cloud.release < (3, 0) else network.kind, "isdefault": nic.default}
    row["macaddress"] = nic.mac
    if nic.ip6:
        row |= {"ip6address": nic.ip6, "ip6gateway": "2001:db8:30::1", "ip6cidr": "2001:db8:30::/64"}
    if cloud.release >= (4, 2):
        row["secondaryip"] = [{"id": f"{nic.id}-{index}", "ipaddress": ip} for index, ip in enumerate(nic.secondary)]
    return row


def zone_row(cloud: Cloud, zone: Zone) -> Row:
    basic = zone.network_type == "Basic"
    row: Row = {"id": ident(cloud, zone.id), "name": zone.name, "networktype": zone.network_type}
    row["securitygroupsenabled"] = basic
    if cloud.release >= (3, 0):
        row |= {"allocationstate": "Enabled", "dhcpprovider": "VirtualRouter", "localstorageenabled": False}
        row["zonetoken"] = f"6f8b{zone.name.encode().hex():0>28.28}"
    if cloud.release >= (4, 0):
        row["tags"] = []
    return row


def offering_row(cloud: Cloud, offering: Offering) -> Row:
    row: Row = {"id": ident(cloud, offering.id), "name": offering.name, "displaytext": offering.name}
    if not offering.customized:
        row |= {"cpunumber": offering.cpus, "cpuspeed": offering.speed, "memory": offering.memory}
    row |= {"created": "2011-06-01T03:38:05+0000", "storagetype": "shared", "offerha": False}
    if cloud.release < (4, 13):
        row |= {"domainid": ident(cloud, cloud.domain_id), "domain": cloud.domain}
    if cloud.release >= (3, 0):
        row |= {"limitcpuuse": False, "isvolatile": False, "issystem": False, "defaultuse": False}
    if cloud.release >= (4, 3):
        row["iscustomized"] = offering.customized
    return row


def template_row(cloud: Cloud, template: Template, zone: str) -> Row:
    """A template in one zone: as many rows as zones."""
    row: Row = {
        "id": ident(cloud, template.id),
        "name": template.name,
        "displaytext": template.name,
        "ispublic": not template.mine,
        "created": "2011-06-01T01:25:12+0000",
        "isready": template.ready,
        "passwordenabled": template.password,
        "format": "QCOW2" if template.hypervisor == "KVM" else "VHD",
        "isfeatured": template.featured,
        "crossZones": len(template.zones) > 1,
        "ostypeid": _os(cloud),
        "ostypename": "Debian GNU/Linux 12 (64-bit)",
        "account": cloud.account if template.mine else "admin",
        "zoneid": ident(cloud, zone),
        "zonename": cloud.zones[zone].name,
        "size": template.size,
        "templatetype": "USER",
        "hypervisor": template.hypervisor,
        "domain": cloud.domain,
        "domainid": ident(cloud, cloud.domain_id),
        "isextractable": False,
    }
    if cloud.release >= (3, 0):
        row["checksum"] = f"{template.size:032x}"
    if cloud.release >= (4, 0):
        row |= {"sshkeyenabled": False, "tags": []}
    if cloud.release >= (4, 2):
        row["isdynamicallyscalable"] = False
    return row


def network_row(cloud: Cloud, net: Net) -> Row:
    row: Row = {
        "id": ident(cloud, net.id),
        "name": net.name,
        "displaytext": net.name,
        "broadcastdomaintype": "Vlan",
        "traffictype": "Guest",
        "zoneid": ident(cloud, net.zone),
        "zonename": cloud.zones[net.zone].name,
        "networkofferingid": ident(cloud, cloud.domain_id),
        "networkofferingname": "DefaultIsolatedNetworkOfferingWithSourceNatService",
        "networkofferingdisplaytext": "Offering for isolated networks with source NAT",
        "networkofferingavailability": "Optional",
        "issystem": False,
        "state": "Implemented",
        "related": ident(cloud, net.id),
        "dns1": "192.0.2.53",
        "dns2": "192.0.2.54",
        "type": net.kind,
        "acltype": "Account" if net.kind == "Isolated" else "Domain",
        "subdomainaccess": net.kind != "Isolated",
        "networkdomain": "cs1cloud.internal",
        "physicalnetworkid": ident(cloud, cloud.account_id),
        "restartrequired": False,
        "specifyipranges": net.kind != "Isolated",
        "canusefordeploy": True,
        "service": [{"name": "UserData"}, {"name": "Dhcp"}, {"name": "SourceNat"}],
        "tags": [],
    }
    if net.kind == "Isolated":
        row |= {"gateway": f"{net.prefix}.1", "netmask": "255.255.255.0", "cidr": f"{net.prefix}.0/24"}
        row |= owner(cloud, net.project)
    return row | {"domain": cloud.domain, "domainid": ident(cloud, cloud.domain_id)}


def snapshot_row(cloud: Cloud, snapshot: Snapshot) -> Row:
    """A snapshot of a machine."""
    machine = cloud.machines[snapshot.machine]
    row = {
        "id": snapshot.id,
        "name": snapshot.name,
        "state": snapshot.state,
        "displayname": snapshot.displayname,
        "zoneid": machine.zone,
        "virtualmachineid": snapshot.machine,
        "type": snapshot.kind,
        "created": moment(snapshot.created),
        "current": snapshot.current,
        "parent": snapshot.parent,
        "parentName": cloud.snapshots[snapshot.parent].displayname if snapshot.parent in cloud.snapshots else "",
    }
    if cloud.release >= (4, 11):
        row |= {"virtualmachinename": machine.name, "hypervisor": machine.hypervisor, "zonename": ""}
        row["zonename"] = cloud.zones[machine.zone].name
    return _filled(row) | owner(cloud, machine.project)


def disk_snapshot_row(cloud: Cloud, snapshot: DiskSnapshot) -> Row:
    return {
        "id": ident(cloud, snapshot.id),
        "account": cloud.account,
        "domainid": ident(cloud, cloud.domain_id),
        "domain": cloud.domain,
        "snapshottype": "MANUAL",
        "volumeid": ident(cloud, snapshot.volume),
        "volumename": f"ROOT-{snapshot.volume[-4:]}",
        "volumetype": "ROOT",
        "created": moment(snapshot.created),
        "name": snapshot.name,
        "intervaltype": "MANUAL",
        "state": snapshot.state,
    }


def event_row(cloud: Cloud, event: Event) -> Row:
    """An event; only 4.17 and later say which machine it is about."""
    row = {
        "id": ident(cloud, event.id),
        "username": cloud.account,
        "type": event.type,
        "level": event.level,
        "description": event.words,
        "created": moment(event.created),
        "state": event.state,
        "parentid": event.parent,
    } | owner(cloud)
    if cloud.release >= (4, 17):
        row |= {"resourceid": event.machine, "resourcetype": "VirtualMachine", "resourcename": event.machine_name}
        row["archived"] = False
    return _filled(row)


def job_row(cloud: Cloud, job: Job) -> Row:
    """A job as queryAsyncJobResult says it; only one that ended has a result."""
    package = "org.apache.cloudstack.api.command.user.vm" if cloud.release >= (4, 1) else "com.cloud.api.commands"
    row: Row = {
        "accountid": ident(cloud, cloud.account_id),
        "userid": ident(cloud, cloud.user_id),
        "cmd": f"{package}.{job.command[0].upper()}{job.command[1:].replace('VirtualMachine', 'VM')}Cmd",
        "jobstatus": job.status,
        "jobprocstatus": 0,
        "jobresultcode": job.code,
    }
    if job.result is not None:
        row |= {"jobresulttype": "object", "jobresult": job.result}
    if job.machine:
        row |= {"jobinstancetype": "VirtualMachine", "jobinstanceid": ident(cloud, job.machine)}
    row["created"] = moment(job.created)
    if job.completed is not None and cloud.release >= (4, 14):
        row["completed"] = moment(job.completed)
    return row | {"jobid": ident(cloud, job.id)}
