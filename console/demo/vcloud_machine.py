"""The documents of vApps, machines and templates, and their sections.

Shapes: vapp-rhel-off-static.xml (1.0), vm.xml and vApp.xml (1.5 and 5.1) of the fixtures, and vApp.xsd.
"""

from __future__ import annotations

from console.demo.vcloud_cloud import Cloud
from console.demo.vcloud_hardware import hardware, operating_system
from console.demo.vcloud_shapes import owner, scope, task
from console.demo.vcloud_things import OFF, ON, SUSPENDED, Seedling, Task, Template, VApp, Vm
from console.demo.vcloud_xml import Dialect, el, media, text


def section(d: Dialect, name: str, path: str, info: str, *inner: str, whole: bool = False) -> str:
    """A vCloud section; `whole`: it is a document of its own."""
    short = name[0].lower() + name[1:]
    attributes = {"type": media(short), "href": d.href(path), "ovf:required": False}
    return el(name, {**(d.spaces if whole else {}), **attributes}, text("ovf:Info", info), *inner)


def _links(d: Dialect, thing: VApp | Vm, path: str, states: set[int]) -> list[str]:
    """What can be done to it now: the links that a client follows."""
    if isinstance(thing, VApp) and not (thing.resolved and thing.vms):
        return []
    power = [
        rel
        for rel, needed in (
            ("powerOff", {ON, SUSPENDED}),
            ("powerOn", {OFF, SUSPENDED}),
            ("reboot", {ON}),
            ("reset", {ON}),
            ("shutdown", {ON}),
            ("suspend", {ON}),
        )
        if states & needed
    ]
    links = [d.link(f"power:{rel}", f"{path}/power/action/{rel}") for rel in power]
    if SUSPENDED in states:
        links.append(d.link("discardState", f"{path}/action/discardSuspendedState"))
    if isinstance(thing, VApp) or not thing.deployed:
        links.append(d.link("deploy", f"{path}/action/deploy", "deployVAppParams"))
    if thing.deployed:
        links.append(d.link("undeploy", f"{path}/action/undeploy", "undeployVAppParams"))
    return links


def _snapshot_links(d: Dialect, path: str, has: bool) -> list[str]:
    links = [d.link("snapshot:create", f"{path}/action/createSnapshot", "createSnapshotParams")]
    if has:
        links.append(d.link("snapshot:revertToCurrent", f"{path}/action/revertToCurrentSnapshot"))
        links.append(d.link("snapshot:removeAll", f"{path}/action/removeAllSnapshots"))
    return links if d.since("5.1") else []


def _tasks(d: Dialect, cloud: Cloud, found: Task | None) -> str:
    return "" if found is None or found.over else el("Tasks", None, task(d, cloud, found, whole=False))


def vm(d: Dialect, cloud: Cloud, one: Vm, *, whole: bool = True) -> str:
    """A machine; `whole`: with the namespaces of a document. What does not change is kept in `one.rendered`."""
    key = f"{d.version} {d.base} {whole}"
    working = one.task is not None and not one.task.over
    if not working and key in one.rendered:
        return one.rendered[key]
    path = f"vApp/vm-{one.id}"
    attributes: dict[str, object] = {
        "nestedHypervisorEnabled": False if d.since("5.1") else None,
        "needsCustomization": (one.status == OFF and not one.deployed) if d.since("1.5") else None,
        "deployed": one.deployed,
        "status": one.status,
        "name": one.name,
        "id": d.urn("vm", one.id),
        "type": media("vm"),
        "href": d.href(path),
    }
    xml = el(
        "Vm",
        {**(d.spaces if whole else {}), **attributes},
        *([] if working else _links(d, one, path, {one.status})),
        *_ways(d, one, path),
        el("Description"),
        _tasks(d, cloud, one.task),
        hardware(d, one, path),
        operating_system(d, one, path),
        connections(d, one, path),
        customization(d, one, path),
        runtime(d, one, path) if d.since("1.5") else "",
        snapshots(d, one, path) if d.since("5.1") else "",
        spec(one) if d.since("29.0") else "",
        text("DateCreated", one.created) if d.since("5.1") else "",
        text("VAppScopedLocalId", one.id),
        capabilities(d, path) if d.since("5.1") else "",
        d.ref("StorageProfile", f"vdcStorageProfile/{cloud.storage_id}", "vdcStorageProfile", "*")
        if d.since("5.1")
        else "",
        policy(d, cloud, one) if d.since("33.0") else "",
    )
    if not working:
        one.rendered[key] = xml
    return xml


def _ways(d: Dialect, one: Vm, path: str) -> list[str]:
    links = [d.link("up", f"vApp/vapp-{one.vapp.id}", "vApp"), d.link("edit", path, "vm")]
    if not one.deployed and (d.version == "1.0" or d.since("5.1")):
        links.append(d.link("remove", path))
    if d.since("1.5"):
        links.append(d.link("down", f"{path}/metadata", "metadata"))
        links.append(d.link("down", f"{path}/productSections/", "productSections"))
    links.append(d.link("screen:thumbnail", f"{path}/screen"))
    if d.since("5.5"):
        links.append(d.link("screen:acquireMksTicket", f"{path}/screen/action/acquireMksTicket", "mksTicket"))
    else:
        links.append(d.link("screen:acquireTicket", f"{path}/screen/action/acquireTicket"))
    if d.since("5.1"):
        links.append(d.link("reconfigureVm", f"{path}/action/reconfigureVm", "vm", one.name))
    return links + _snapshot_links(d, path, one.snapshot is not None)


def vapp(d: Dialect, cloud: Cloud, one: VApp) -> bytes:
    """A vApp with all its machines in full: one call is enough for them all."""
    path = f"vApp/vapp-{one.id}"
    working = one.working
    links = [] if working else _links(d, one, path, {child.status for child in one.vms})
    links.append(d.link("up", f"vdc/{cloud.vdc_id}", "vdc"))
    if one.resolved and not working:
        links.append(d.link("edit", path, "vApp"))
        if not one.deployed:
            links.append(d.link("remove", path))
        if d.since("1.5") or not one.deployed:
            links.append(d.link("recompose", f"{path}/action/recomposeVApp", "recomposeVAppParams"))
    links.append(d.link("down", f"{path}/owner", "owner"))
    if d.since("1.5"):
        links.append(d.link("down", f"{path}/metadata", "metadata"))
    if one.resolved:
        links += _snapshot_links(d, path, any(child.snapshot for child in one.vms))
    children = [vm(d, cloud, child, whole=False) for child in one.vms]
    attributes = {
        "deployed": one.deployed,
        "status": one.status,
        "name": one.name,
        "id": d.urn("vapp", one.id),
        "type": media("vApp"),
        "href": d.href(path),
    }
    return d.document(
        "VApp",
        attributes,
        *links,
        text("Description", one.description),
        _tasks(d, cloud, one.task),
        *(_sections(d, cloud, one, path) if one.resolved else ()),
        text("DateCreated", one.created) if d.since("5.1") else "",
        owner(d, cloud) if d.since("1.5") else "",
        text("InMaintenanceMode", False) if d.since("1.5") else "",
        el("Children", None, *children) if children else "",
    )


def _sections(d: Dialect, cloud: Cloud, one: VApp, path: str) -> list[str]:
    found = [lease(d, path), startup(d, one, path), networks(d, one, path), configs(d, cloud, one, path)]
    return [*found, snapshots(d, one, path)] if d.since("5.1") else found


# --- sections


def lease(d: Dialect, path: str, *, whole: bool = False) -> str:
    """How long the vApp may run and be kept: for ever."""
    inner = text("DeploymentLeaseInSeconds", 0), text("StorageLeaseInSeconds", 0)
    return section(
        d, "LeaseSettingsSection", f"{path}/leaseSettingsSection/", "Lease settings section", *inner, whole=whole
    )


def startup(d: Dialect, one: VApp, path: str, *, whole: bool = False) -> str:
    """In which order its machines start."""
    items = (
        el(
            "ovf:Item",
            {
                "ovf:stopDelay": 0,
                "ovf:stopAction": "powerOff",
                "ovf:startDelay": 0,
                "ovf:startAction": "powerOn",
                "ovf:order": 0,
                "ovf:id": child.name,
            },
        )
        for child in one.vms
    )
    attributes: dict[str, object] = dict(d.spaces) if whole else {}
    attributes |= {"vcloud:href": d.href(f"{path}/startupSection/"), "vcloud:type": media("startupSection")}
    return el("ovf:StartupSection", attributes, text("ovf:Info", "VApp startup section"), *items)


def networks(d: Dialect, one: VApp, path: str, *, whole: bool = False) -> str:
    """The names of its networks."""
    attributes: dict[str, object] = dict(d.spaces) if whole else {}
    attributes |= {"vcloud:href": d.href(f"{path}/networkSection/"), "vcloud:type": media("networkSection")}
    found = (el("ovf:Network", {"ovf:name": name}, el("ovf:Description")) for name in one.networks)
    return el("ovf:NetworkSection", attributes, text("ovf:Info", "The list of logical networks"), *found)


def configs(d: Dialect, cloud: Cloud, one: VApp, path: str, *, whole: bool = False) -> str:
    """Its networks and what they are connected to."""
    found = []
    for name in one.networks:
        parent = next((each for each in cloud.networks.values() if each.name == name), None)
        configuration = [text("FenceMode", "isolated")]
        if parent is not None:
            above = d.ref("ParentNetwork", f"network/{parent.id}", "network", parent.name)
            configuration = [scope(d, parent, inherited=True), above, text("FenceMode", "bridged")]
        inner = el("Description"), el("Configuration", None, *configuration), text("IsDeployed", one.deployed)
        found.append(el("NetworkConfig", {"networkName": name}, *inner))
    info = "The configuration parameters for logical networks"
    return section(d, "NetworkConfigSection", f"{path}/networkConfigSection/", info, *found, whole=whole)


def connections(d: Dialect, one: Vm, path: str, *, whole: bool = False) -> str:
    """Its network cards and their addresses."""
    where = f"{path}/networkConnectionSection/"
    found = [text("PrimaryNetworkConnectionIndex", 0)] if one.nics else []
    for index, nic in enumerate(one.nics):
        attributes = {"network": nic.network, "needsCustomization": False if d.since("1.5") else None}
        found.append(
            el(
                "NetworkConnection",
                attributes,
                text("NetworkConnectionIndex", index),
                text("IpAddress", nic.ip) if nic.ip else "",
                text("ExternalIpAddress", nic.external_ip) if nic.external_ip else "",
                text("IsConnected", nic.connected),
                text("MACAddress", nic.mac) if nic.mac else "",
                text("IpAddressAllocationMode", nic.mode),
            )
        )
    found.append(d.link("edit", where, "networkConnectionSection"))
    info = "Specifies the available VM network connections"
    return section(d, "NetworkConnectionSection", where, info, *found, whole=whole)


def customization(d: Dialect, one: Vm, path: str, *, whole: bool = False) -> str:
    """What is done to the guest when it first starts."""
    where = f"{path}/guestCustomizationSection/"
    return section(
        d,
        "GuestCustomizationSection",
        where,
        "Specifies Guest OS Customization Settings",
        text("Enabled", True),
        text("ChangeSid", False),
        text("VirtualMachineId", one.id),
        text("JoinDomainEnabled", False),
        text("UseOrgSettings", False),
        text("AdminPasswordEnabled", True),
        text("AdminPasswordAuto", not one.password),
        text("AdminPassword", one.password) if one.password else "",
        text("ResetPasswordRequired", False),
        text("CustomizationScript", one.script) if one.script else "",
        text("ComputerName", one.computer_name),
        d.link("edit", where, "guestCustomizationSection"),
        whole=whole,
    )


def runtime(d: Dialect, one: Vm, path: str, *, whole: bool = False) -> str:
    """What is known of the running guest: the version of its tools."""
    attributes = {
        "vcloud:href": d.href(f"{path}/runtimeInfoSection"),
        "vcloud:type": media("virtualHardwareSection"),
        **(d.spaces if whole else {}),
    }
    tools = el("VMWareTools", {"version": "8295" if one.tools else ""})
    return el("RuntimeInfoSection", attributes, text("ovf:Info", "Specifies Runtime info"), tools)


def snapshots(d: Dialect, one: Vm | VApp, path: str, *, whole: bool = False) -> str:
    """The one snapshot, if any (5.1 and later)."""
    found = []
    for shot in [one.snapshot] if isinstance(one, Vm) and one.snapshot else []:
        found.append(el("Snapshot", {"size": shot.size, "poweredOn": shot.powered_on, "created": shot.created}))
    info = "Snapshot information section"
    return section(d, "SnapshotSection", f"{path}/snapshotSection", info, *found, whole=whole)


def spec(one: Vm) -> str:
    """The short form of the hardware that modern versions add."""
    return el(
        "VmSpecSection",
        {"Modified": False},
        text("ovf:Info", "Virtual Machine specification"),
        text("OsType", one.os_type),
        text("NumCpus", one.cpus),
        text("NumCoresPerSocket", 1),
        el("MemoryResourceMb", None, text("Configured", one.memory_mb)),
    )


def policy(d: Dialect, cloud: Cloud, one: Vm) -> str:
    """The policy that says how large it is (33 and later)."""
    id_ = one.policy or next(iter(cloud.policies))
    address = f"{d.base}/cloudapi/1.0.0/vdcComputePolicies/{id_}"
    return el("ComputePolicy", None, el("VmSizingPolicy", {"href": address, "id": id_, "name": cloud.policies[id_][0]}))


def capabilities(d: Dialect, path: str, *, whole: bool = False) -> str:
    """Nothing can be added while it runs."""
    attributes = {"type": media("vmCapabilitiesSection"), "href": d.href(f"{path}/vmCapabilities/")}
    inner = text("MemoryHotAddEnabled", False), text("CpuHotAddEnabled", False)
    return el("VmCapabilities", {**(d.spaces if whole else {}), **attributes}, *inner)


def products(d: Dialect, one: Vm, path: str) -> bytes:
    """The properties that the guest reads from its OVF environment (1.5 and later)."""
    found = (
        el("ovf:Property", {"ovf:key": key, "ovf:type": "string", "ovf:value": value, "ovf:userConfigurable": True})
        for key, value in one.products
    )
    inner = el("ovf:ProductSection", None, text("ovf:Info", "Information about the installed software"), *found)
    attributes = {"type": media("productSections"), "href": d.href(f"{path}/productSections/")}
    link = d.link("edit", f"{path}/productSections/", "productSections")
    return d.document("ProductSectionList", attributes, link, inner if one.products else "")


# --- templates


def template(d: Dialect, cloud: Cloud, one: Template) -> bytes:
    """A template with the machines that it makes."""
    path = f"vAppTemplate/vappTemplate-{one.id}"
    attributes = {
        "ovfDescriptorUploaded": True,
        "goldMaster": False if d.since("1.5") else None,
        "status": one.status,
        "name": one.name,
        "id": d.urn("vapptemplate", one.id),
        "type": media("vAppTemplate"),
        "href": d.href(path),
    }
    return d.document(
        "VAppTemplate",
        attributes,
        d.link("up", f"vdc/{cloud.vdc_id}", "vdc"),
        el("Description"),
        owner(d, cloud) if d.since("1.5") else "",
        el("Children", None, *(_seedling(d, one, seed) for seed in one.machines)),
        text("DateCreated", one.created) if d.since("5.1") else "",
    )


def _seedling(d: Dialect, one: Template, seed: Seedling, *, whole: bool = False) -> str:
    attributes = {
        "status": one.status,
        "name": seed.name,
        "id": d.urn("vm", seed.id),
        "type": media("vm"),
        "href": d.href(f"vAppTemplate/vm-{seed.id}"),
    }
    return el(
        "VAppTemplate" if whole else "Vm",
        {**(d.spaces if whole else {}), **attributes},
        d.link("up", f"vAppTemplate/vappTemplate-{one.id}", "vAppTemplate"),
        el("Description"),
        text("VAppScopedLocalId", seed.name),
    )


def seedling(d: Dialect, one: Template, seed: Seedling) -> str:
    """A machine of a template as a document of its own."""
    return _seedling(d, one, seed, whole=True)
