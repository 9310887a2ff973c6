"""CloudStack's commands that only read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from console.demo.cloudstack_calls import Answer, Call, Command, Listed
from console.demo.cloudstack_rows import (
    DETAILS,
    disk_snapshot_row,
    event_row,
    ident,
    job_row,
    machine_json,
    moment,
    network_row,
    offering_row,
    owner,
    snapshot_row,
    template_row,
    zone_row,
)
from console.demo.cloudstack_things import GONE, ApiError, Event, Machine, invalid

FILTERS = frozenset({"featured", "self", "selfexecutable", "sharedexecutable", "executable", "community", "all"})


def _of(call: Call, noun: str, rows: Iterable[dict[str, Any]]) -> Listed:
    return call.page(noun, rows, json.dumps)


def _named(call: Call, name: str, id: str = "") -> bool:
    if call.text("name") and call.text("name") != name:
        return False
    if call.text("id") and call.text("id") != id:
        return False
    return call.text("keyword").lower() in name.lower()


def list_machines(call: Call) -> Answer:
    """Machines of the account; those of projects only with projectid (an id, or -1 for all of them)."""
    details = frozenset(call.listed("details")) or frozenset({"all"})
    if details - DETAILS:
        raise invalid(f"The details parameter contains a non permitted value. The allowed values are {sorted(DETAILS)}")
    wanted = set(call.listed("ids"))
    for name, values in (("id", [call.text("id")] if call.text("id") else []), ("ids", sorted(wanted))):
        if name == "ids" and call.cloud.release < (4, 4):
            wanted = set()
            continue
        seen = {one.id for one in call.cloud.present()} if values else set()
        for value in values:
            if value not in seen:
                raise call.unknown(name, value)
    kept = [one for one in call.cloud.present() if _wanted(call, one) and (not wanted or one.id in wanted)]
    return call.page("virtualmachine", kept, lambda one: machine_json(call.cloud, one, details))


def _wanted(call: Call, machine: Machine) -> bool:
    project, state, zone = call.text("projectid"), call.text("state"), call.text("zoneid")
    if not _named(call, machine.name, machine.id) and not (
        call.text("keyword") and call.text("keyword").lower() in machine.displayname.lower()
    ):
        return False
    if (project == "-1" and not machine.project) or (project not in ("", "-1") and machine.project != project):
        return False
    if not project and machine.project and not call.text("id") and not call.text("ids"):
        return False
    if zone and machine.zone != zone:
        return False
    return not state or (machine.state not in GONE if state.lower() == "present" else machine.state == state)


def list_zones(call: Call) -> Answer:
    rows = [zone_row(call.cloud, one) for one in call.cloud.zones.values() if _named(call, one.name, one.id)]
    return _of(call, "zone", rows)


def list_offerings(call: Call) -> Answer:
    rows = [offering_row(call.cloud, one) for one in call.cloud.offerings.values() if _named(call, one.name, one.id)]
    return _of(call, "serviceoffering", rows)


def list_templates(call: Call) -> Answer:
    """A row for each zone that a template is in."""
    wanted = call.need("templatefilter")
    if wanted not in FILTERS:
        raise invalid(f"Please specify a valid template filter: {wanted}")
    rows = [
        template_row(call.cloud, one, zone)
        for one in call.cloud.templates.values()
        for zone in one.zones
        if call.text("zoneid") in ("", zone)
        and _named(call, one.name, one.id)
        and (one.featured or wanted != "featured")
        and (one.mine or wanted not in ("self", "selfexecutable"))
        and (one.ready or not wanted.endswith("executable"))
    ]
    return _of(call, "template", rows)


def list_networks(call: Call) -> Answer:
    """Networks of the account; those of projects only with projectid."""
    project, zone = call.text("projectid"), call.text("zoneid")
    rows = [
        network_row(call.cloud, one)
        for one in call.cloud.networks.values()
        if _named(call, one.name, one.id)
        and zone in ("", one.zone)
        and (bool(one.project) if project == "-1" else one.project == project)
    ]
    return _of(call, "network", rows)


def list_projects(call: Call) -> Answer:
    rows = [
        {"id": ident(call.cloud, id), "name": name, "displaytext": name}
        | owner(call.cloud)
        | {"state": "Active", "tags": [], "vmtotal": sum(one.project == id for one in call.cloud.present())}
        for id, name in call.cloud.projects.items()
        if _named(call, name, id)
    ]
    return _of(call, "project", rows)


def list_key_pairs(call: Call) -> Answer:
    rows = []
    for name, (id, fingerprint) in call.cloud.keypairs.items():
        if call.text("name") in ("", name) and call.text("fingerprint") in ("", fingerprint):
            row: dict[str, Any] = {"name": name, "fingerprint": fingerprint}
            if call.cloud.release >= (4, 3):
                row |= owner(call.cloud)
            rows.append(row | ({"id": id} if call.cloud.release >= (4, 16) else {}))
    return _of(call, "sshkeypair", rows)


def list_capabilities(call: Call) -> Answer:
    """The one place where a cloud says its version."""
    cloud = call.cloud
    said: dict[str, Any] = {
        "securitygroupsenabled": any(one.network_type == "Basic" for one in cloud.zones.values()),
        "cloudstackversion": cloud.version,
        "userpublictemplateenabled": True,
        "supportELB": "false",
    }
    if cloud.release >= (3, 0):
        said |= {"projectinviterequired": False, "allowusercreateprojects": True, "customdiskofferingmaxsize": 1024}
    if cloud.release >= (4, 2):
        said |= {"regionsecondaryenabled": False, "kvmsnapshotenabled": True}
    if cloud.release >= (4, 6):
        said |= {"allowuserviewdestroyedvm": False, "allowuserexpungerecovervm": cloud.users_expunge}
    if cloud.release >= (4, 11):
        said["dynamicrolesenabled"] = True
    if cloud.rate is not None and cloud.release >= (4, 1):
        said |= {"apilimitinterval": int(cloud.rate[1]), "apilimitmax": cloud.rate[0]}
    return {"capability": said}


def list_events(call: Call) -> Answer:
    """Newest first. resourceid and resourcetype are known from 4.17 on; before that they are ignored."""
    since, until = _day(call, "startdate"), _day(call, "enddate")
    kind, level, machine = call.text("type"), call.text("level"), call.text("resourceid")
    if machine and call.cloud.release < (4, 17):
        machine = ""
    with call.cloud.lock:
        call.cloud.advance()
        rows = [
            one
            for one in reversed(call.cloud.events)
            if (since is None or one.created >= since)
            and (until is None or one.created <= until)
            and kind in ("", one.type)
            and level in ("", one.level)
            and machine in ("", one.machine)
        ]

    def said(one: Event) -> str:
        return json.dumps(event_row(call.cloud, one))

    return call.page("event", rows, said)


def _day(call: Call, name: str) -> datetime | None:
    """yyyy-MM-dd, or with HH:mm:ss after a space (or a T, from 4.13 on): the server's own time zone, here UTC."""
    value = call.text(name)
    if not value:
        return None
    forms = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d"] + (["%Y-%m-%dT%H:%M:%S"] if call.cloud.release >= (4, 13) else [])
    for form in forms:
        try:
            return datetime.strptime(value, form).replace(tzinfo=UTC)
        except ValueError:
            continue
    raise ApiError(
        431,
        f"Unable to parse date {value} for command {call.command.lower()},"
        " please pass dates in the format mentioned in the api documentation",
    )


def query_job(call: Call) -> Answer:
    """How a job stands."""
    with call.cloud.lock:
        call.cloud.advance()
        return job_row(call.cloud, call.found("jobid", call.cloud.jobs))


def list_jobs(call: Call) -> Answer:
    """Jobs of the account, for whoever lost a job id."""
    since = _job_day(call)
    with call.cloud.lock:
        call.cloud.advance()
        rows = [job_row(call.cloud, one) for one in call.cloud.jobs.values() if since is None or one.created >= since]
    return _of(call, "asyncjobs", rows)


def _job_day(call: Call) -> datetime | None:
    value = call.text("startdate")
    try:
        return datetime.strptime(value, "%Y-%m-%dT%H:%M:%S%z") if value else None
    except ValueError:
        return _day(call, "startdate")


def list_snapshots(call: Call) -> Answer:
    """Snapshots of machines."""
    machine, one_id = call.text("virtualmachineid"), call.text("vmsnapshotid")
    with call.cloud.lock:
        call.cloud.advance()
        rows = [
            snapshot_row(call.cloud, one)
            for one in call.cloud.snapshots.values()
            if machine in ("", one.machine) and one_id in ("", one.id)
        ]
    return _of(call, "vmSnapshot", rows)


def list_volumes(call: Call) -> Answer:
    """Root volumes: a machine has no other disk here."""
    cloud, rows = call.cloud, []
    for one in cloud.present():
        if call.text("virtualmachineid") not in ("", one.id) or call.text("type") not in ("", "ROOT"):
            continue
        template = cloud.templates.get(one.template)
        row = {"id": ident(cloud, one.id), "name": f"ROOT-{one.number}", "zoneid": ident(cloud, one.zone)}
        row |= {"zonename": cloud.zones[one.zone].name, "type": "ROOT", "deviceid": 0}
        row |= {"virtualmachineid": ident(cloud, one.id), "vmname": one.name, "vmdisplayname": one.displayname}
        row |= {"vmstate": one.state, "size": template.size if template else 0, "created": moment(one.created)}
        row |= {"state": "Ready"} | owner(cloud, one.project) | {"storagetype": "shared", "hypervisor": one.hypervisor}
        offering = cloud.offerings[one.offering]
        row |= {"destroyed": False, "serviceofferingid": ident(cloud, offering.id)}
        row |= {"serviceofferingname": offering.name, "serviceofferingdisplaytext": offering.name}
        rows.append(row | {"storage": "primary-1", "isextractable": False})
    return _of(call, "volume", rows)


def list_disk_snapshots(call: Call) -> Answer:
    with call.cloud.lock:
        call.cloud.advance()
        rows = [
            disk_snapshot_row(call.cloud, one)
            for one in call.cloud.disk_snapshots.values()
            if call.text("volumeid") in ("", one.volume) and call.text("id") in ("", one.id)
        ]
    return _of(call, "snapshot", rows)


def _none(noun: str) -> Callable[[Call], Answer]:
    return lambda call: _of(call, noun, [])


COMMANDS = (
    Command("listVirtualMachines", (2, 0), list_machines),
    Command("listZones", (2, 0), list_zones),
    Command("listServiceOfferings", (2, 0), list_offerings),
    Command("listTemplates", (2, 0), list_templates),
    Command("listIsos", (2, 0), _none("iso")),
    Command("listSecurityGroups", (2, 0), _none("securitygroup")),
    Command("listNetworks", (2, 2), list_networks),
    Command("listProjects", (3, 0), list_projects),
    Command("listSSHKeyPairs", (2, 2), list_key_pairs),
    Command("listCapabilities", (2, 0), list_capabilities),
    Command("listEvents", (2, 0), list_events),
    Command("queryAsyncJobResult", (2, 0), query_job),
    Command("listAsyncJobs", (2, 0), list_jobs),
    Command("listVolumes", (2, 0), list_volumes),
    Command("listSnapshots", (2, 0), list_disk_snapshots),
    Command("listVMSnapshot", (4, 2), list_snapshots),
)
