"""The documents of an organisation: Session, OrgList, Org, Vdc, Catalog, templates, networks, tasks and errors.

Shapes: the fixtures of jclouds' recordings (vcloud-1.0-jclouds, vcloud-1.5-jclouds) and the XSDs of the 1.5 namespace.
"""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import quote

from console.demo.vcloud_cloud import Cloud
from console.demo.vcloud_things import Network, Task, Template, Trouble, VApp, Vm
from console.demo.vcloud_xml import Dialect, declared, el, joined, media, text


def versions(cloud: Cloud, base: str) -> bytes:
    """/api/versions: what is offered, and where each signs in."""
    oldest = cloud.versions[0]
    infos = []
    for version in cloud.versions:
        login = f"{base}/api/v1.0/login" if version == "1.0" else f"{base}/api/sessions"
        mapping = el(
            "MediaTypeMapping",
            None,
            text("MediaType", media("vApp")),
            text("ComplexTypeName", "VAppType"),
            text("SchemaLocation", f"{base}/api/{'v1.0' if version == '1.0' else 'v1.5'}/schema/master.xsd"),
        )
        deprecated = (version == oldest) if cloud.modern else None
        infos.append(
            el("VersionInfo", {"deprecated": deprecated}, text("Version", version), text("LoginUrl", login), mapping)
        )
    return declared(el("SupportedVersions", {"xmlns": "http://www.vmware.com/vcloud/versions"}, *infos))


def session(d: Dialect, cloud: Cloud) -> bytes:
    """The session, and where to go on from it."""
    links = [
        d.link("down", "org/", "orgList"),
        d.link("down", "query", "query.queryList"),
    ]
    if d.since("5.1"):
        links.insert(0, d.link("down", f"org/{cloud.org_id}", "org", cloud.org))
    attributes: dict[str, object] = {"user": cloud.username, "org": cloud.org}
    if d.since("30.0"):
        attributes |= {"userId": f"urn:vcloud:user:{cloud.user_id}", "roles": "Organization Administrator"}
    attributes |= {"type": media("session"), "href": d.href("session/")}
    return d.document("Session", attributes, *links)


def org_list(d: Dialect, cloud: Cloud) -> bytes:
    """The organisations that the session sees: its own."""
    inner = d.ref("Org", f"org/{cloud.org_id}", "org", cloud.org)
    return d.document("OrgList", {"type": media("orgList"), "href": d.href("org/")}, inner)


def org(d: Dialect, cloud: Cloud) -> bytes:
    """The organisation: links to its vDC, tasks, catalog and networks."""
    attributes = {
        "name": cloud.org,
        "id": d.urn("org", cloud.org_id),
        "type": media("org"),
        "href": d.href(f"org/{cloud.org_id}"),
    }
    return d.document(
        "Org",
        attributes,
        *_parts(d, cloud),
        el("Description"),
        text("FullName", cloud.org),
    )


def _parts(d: Dialect, cloud: Cloud) -> list[str]:
    tasks = d.link("down", f"tasksList/{cloud.org_id}", "tasksList")
    if d.since("33.0"):  # pyvcloud reads vDCs and catalogs from query links from then on
        wanted = ("orgVdc", "catalog", "orgVdcNetwork")
        return [tasks, *(d.link("down", f"query?type={one}&format=records", "query.records", one) for one in wanted)]
    kind = "orgNetwork" if d.since("1.5") else "network"
    return [
        d.link("down", f"vdc/{cloud.vdc_id}", "vdc", f"{cloud.org}-vdc"),
        tasks,
        d.link("down", f"catalog/{cloud.catalog_id}", "catalog", "Public"),
        *(d.link("down", f"network/{one.id}", kind, one.name) for one in cloud.networks.values()),
    ]


def vdc(d: Dialect, cloud: Cloud) -> bytes:
    """The virtual data centre: what can be made here, and everything that is in it."""
    path = f"vdc/{cloud.vdc_id}"
    adds = ("instantiateVAppTemplate", "composeVApp")
    entities = [d.ref("ResourceEntity", f"vApp/vapp-{one.id}", "vApp", one.name) for one in cloud.vapps.values()]
    entities += [
        d.ref("ResourceEntity", f"vAppTemplate/vappTemplate-{one.id}", "vAppTemplate", one.name)
        for one in cloud.templates.values()
    ]
    networks = (d.ref("Network", f"network/{one.id}", "network", one.name) for one in cloud.networks.values())
    hardware = joined(text("SupportedHardwareVersion", one) for one in ("vmx-04", "vmx-07", "vmx-08"))
    profile = d.ref("VdcStorageProfile", f"vdcStorageProfile/{cloud.storage_id}", "vdcStorageProfile", "*")
    return d.document(
        "Vdc",
        {
            "status": 1,
            "name": f"{cloud.org}-vdc",
            "id": d.urn("vdc", cloud.vdc_id),
            "type": media("vdc"),
            "href": d.href(path),
        },
        d.link("up", f"org/{cloud.org_id}", "org"),
        *(d.link("add", f"{path}/action/{one}", f"{one}Params") for one in adds),
        el("Description"),
        text("AllocationModel", "AllocationVApp"),
        el("StorageCapacity", None, _capacity("MB", sum(vm.disk_mb for vm in cloud.vms.values()))),
        el("ComputeCapacity", None, el("Cpu", None, _capacity("MHz", 0)), el("Memory", None, _capacity("MB", 0))),
        el("ResourceEntities", None, *entities),
        el("AvailableNetworks", None, *networks),
        el("Capabilities", None, el("SupportedHardwareVersions", None, hardware)) if d.since("1.5") else "",
        text("NicQuota", 0),
        text("NetworkQuota", 10),
        text("VmQuota", 0),
        text("IsEnabled", True),
        el("VdcStorageProfiles", None, profile) if d.since("5.1") else "",
    )


def _capacity(units: str, used: int) -> str:
    amounts = (("Allocated", 0), ("Limit", 0), ("Used", used), ("Overhead", 0))
    return text("Units", units) + joined(text(name, value) for name, value in amounts)


def storage_profile(d: Dialect, cloud: Cloud) -> bytes:
    """The one storage profile of the vDC (5.1 and later)."""
    return d.document(
        "VdcStorageProfile",
        {
            "name": "*",
            "id": d.urn("vdcstorageProfile", cloud.storage_id),
            "type": media("vdcStorageProfile"),
            "href": d.href(f"vdcStorageProfile/{cloud.storage_id}"),
        },
        d.link("up", f"vdc/{cloud.vdc_id}", "vdc"),
        text("Enabled", True),
        text("Units", "MB"),
        text("Limit", 0),
        text("Default", True),
    )


def network(d: Dialect, cloud: Cloud, one: Network) -> bytes:
    """An organisation network."""
    kind = "orgNetwork" if d.since("1.5") else "network"
    return d.document(
        "OrgNetwork",
        {
            "name": one.name,
            "id": d.urn("network", one.id),
            "type": media(kind),
            "href": d.href(f"network/{one.id}"),
        },
        d.link("up", f"org/{cloud.org_id}", "org"),
        el("Description"),
        el("Configuration", None, scope(d, one), text("FenceMode", one.fence)),
    )


def scope(d: Dialect, one: Network, *, inherited: bool = False) -> str:
    """The addresses of a network; 5.1 and later wrap them in a list."""
    start = one.gateway.removesuffix("1")
    ranges = el("IpRange", None, text("StartAddress", f"{start}2"), text("EndAddress", f"{start}254"))
    found = el(
        "IpScope",
        None,
        text("IsInherited", inherited),
        text("Gateway", one.gateway),
        text("Netmask", "255.255.255.0"),
        text("Dns1", one.gateway),
        text("IsEnabled", True) if d.since("5.1") else "",
        el("IpRanges", None, ranges),
    )
    return el("IpScopes", None, found) if d.since("5.1") else found


def catalog(d: Dialect, cloud: Cloud) -> bytes:
    """The catalog: one item for each template."""
    items = (
        d.ref("CatalogItem", f"catalogItem/{one.item_id}", "catalogItem", one.name) for one in cloud.templates.values()
    )
    return d.document(
        "Catalog",
        {
            "name": "Public",
            "id": d.urn("catalog", cloud.catalog_id),
            "type": media("catalog"),
            "href": d.href(f"catalog/{cloud.catalog_id}"),
        },
        d.link("up", f"org/{cloud.org_id}", "org"),
        el("Description") if d.since("1.5") else "",
        el("CatalogItems", None, *items),
        text("IsPublished", False),
    )


def catalog_item(d: Dialect, cloud: Cloud, one: Template) -> bytes:
    """A catalog item: the way to its template."""
    return d.document(
        "CatalogItem",
        {
            "name": one.name,
            "id": d.urn("catalogitem", one.item_id),
            "type": media("catalogItem"),
            "href": d.href(f"catalogItem/{one.item_id}"),
        },
        d.link("up", f"catalog/{cloud.catalog_id}", "catalog"),
        el("Description"),
        d.ref("Entity", f"vAppTemplate/vappTemplate-{one.id}", "vAppTemplate", one.name),
    )


def task(d: Dialect, cloud: Cloud, one: Task, name: str = "Task", *, whole: bool = True) -> str:
    """A task, as an element (with namespaces when it is the `whole` document)."""
    path, prefix = f"task/{one.id}", "vm" if one.kind == "vm" else "vapp"
    attributes: dict[str, object] = {
        "status": one.status,
        "startTime": one.started,
        "operationName": one.name if d.since("1.5") else None,
        "operation": one.operation,
        "expiryTime": one.started + timedelta(days=90),
        "endTime": one.ended,
        "name": "task" if d.since("1.5") else None,
        "id": d.urn("task", one.id),
        "type": media("task"),
        "href": d.href(path),
    }
    inner = [
        "" if one.over else d.link("task:cancel", f"{path}/action/cancel"),
        d.ref("Owner", f"vApp/{prefix}-{one.owner_id}", one.kind, one.owner_name),
    ]
    if one.status == "error":
        inner.append(el("Error", {"minorErrorCode": one.minor, "message": one.words, "majorErrorCode": 400}))
    if d.since("1.5"):
        user = {"type": "application/vnd.vmware.admin.user+xml", "name": cloud.username}
        inner.append(el("User", {**user, "href": d.href(f"admin/user/{cloud.user_id}")}))
        inner.append(d.ref("Organization", f"org/{cloud.org_id}", "org", cloud.org))
        if not one.over:
            inner.append(text("Progress", 50 if one.status == "running" else 0))
    return el(name, {**(d.spaces if whole else {}), **attributes}, *inner)


def tasks_list(d: Dialect, cloud: Cloud) -> bytes:
    """The newest tasks of the organisation."""
    path = f"tasksList/{cloud.org_id}"
    return d.document(
        "TasksList",
        {"name": "Tasks Lists" if d.since("1.5") else None, "type": media("tasksList"), "href": d.href(path)},
        *(task(d, cloud, one, whole=False) for one in cloud.recent()),
    )


def error(d: Dialect, trouble: Trouble) -> bytes:
    """An Error document."""
    attributes = {
        "minorErrorCode": trouble.minor,
        "message": trouble.words,
        "majorErrorCode": trouble.status,
    }
    return declared(el("Error", {"xmlns": d.ns, **attributes}))


def owner(d: Dialect, cloud: Cloud, *, path: str | None = None) -> str:
    """The owner of a vApp: an element, or with its path a whole document's content."""
    user = {"type": "application/vnd.vmware.admin.user+xml", "name": cloud.username}
    inner = el("User", {**user, "href": d.href(f"admin/user/{cloud.user_id}")})
    if path is None:
        return el("Owner", {"type": media("owner")}, inner)
    return d.document("Owner", {"type": media("owner"), "href": d.href(path)}, inner).decode()


def metadata(d: Dialect, thing: VApp | Vm, path: str) -> bytes:
    """All metadata of a thing."""
    entries = (
        el(
            "MetadataEntry",
            {"type": media("metadata.value"), "href": d.href(f"{path}/metadata/{quote(key, safe='')}")},
            d.link("up", f"{path}/metadata", "metadata"),
            text("Key", key),
            typed(d, value),
        )
        for key, value in thing.metadata.items()
    )
    kind = "vm" if isinstance(thing, Vm) else "vApp"
    attributes = {"type": media("metadata"), "href": d.href(f"{path}/metadata")}
    return d.document("Metadata", attributes, d.link("up", path, kind), *entries)


def metadata_value(d: Dialect, value: str, path: str, key: str) -> bytes:
    """One value."""
    attributes = {"type": media("metadata.value"), "href": d.href(f"{path}/metadata/{quote(key, safe='')}")}
    return d.document("MetadataValue", attributes, d.link("up", f"{path}/metadata", "metadata"), typed(d, value))


def typed(d: Dialect, value: str) -> str:
    """A metadata value: plain in 1.5, typed from 5.1 on."""
    if not d.since("5.1"):
        return text("Value", value)
    return el("TypedValue", {"xsi:type": "MetadataStringValue"}, text("Value", value))
