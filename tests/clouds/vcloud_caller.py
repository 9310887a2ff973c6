"""Calls to a simulated cell by hand, without any client of ours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import requests
from lxml import etree

from console.demo.vcloud import Cloud, Site

V1 = "http://www.vmware.com/vcloud/v1"
V15 = "http://www.vmware.com/vcloud/v1.5"
OVF = "http://schemas.dmtf.org/ovf/envelope/1"
RASD = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
GENERATIONS = ("1.0", "1.5", "5.1", "38.1")


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **by: float) -> None:
        self.now += timedelta(**by)


def basic(cloud: Cloud) -> tuple[str, str]:
    return f"{cloud.username}@{cloud.org}", cloud.password


class Caller:
    """A signed-in session in one version; paths are below the API's root, or whole addresses."""

    def __init__(self, site: Site, version: str | None = None) -> None:
        self.site = site
        self.version = version or site.cloud.generation
        old = self.version == "1.0"
        self.root = f"{site.url}/v1.0" if old else site.url
        self.ns = V1 if old else V15
        self.http = requests.Session()
        self.http.headers["Accept"] = f"application/*+xml;version={self.version}"
        login = f"{self.root}/{'login' if old else 'sessions'}"
        if float(self.version) >= 33:
            login = f"{site.root}/cloudapi/1.0.0/sessions"
        accept = {"Accept": f"application/json;version={self.version}"} if float(self.version) >= 33 else {}
        reply = self.http.post(login, auth=basic(site.cloud), headers=accept, timeout=10)
        assert reply.status_code == 200, reply.text
        if "X-VMWARE-VCLOUD-ACCESS-TOKEN" in reply.headers:
            self.http.headers["Authorization"] = f"Bearer {reply.headers['X-VMWARE-VCLOUD-ACCESS-TOKEN']}"
        else:
            self.http.headers["x-vcloud-authorization"] = reply.headers["x-vcloud-authorization"]

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def call(self, method: str, path: str, media: str = "", body: str | bytes = b"") -> requests.Response:
        url = path if path.startswith("http") else f"{self.root}/{path}"
        headers = {"Content-Type": f"application/vnd.vmware.vcloud.{media}+xml"} if media else {}
        return self.http.request(method, url, data=body or None, headers=headers, timeout=10)

    def get(self, path: str, status: int = 200) -> etree._Element:
        reply = self.call("GET", path)
        assert reply.status_code == status, reply.text
        return etree.fromstring(reply.content)

    def post(self, path: str, media: str = "", body: str = "", status: int = 202) -> etree._Element:
        reply = self.call("POST", path, media, body)
        assert reply.status_code == status, reply.text
        return etree.fromstring(reply.content)

    def put(self, path: str, media: str, body: str, status: int = 202) -> etree._Element:
        reply = self.call("PUT", path, media, body)
        assert reply.status_code == status, reply.text
        return etree.fromstring(reply.content)

    def outcome(self, task: etree._Element) -> etree._Element:
        """The task as it is now."""
        found = task if etree.QName(task).localname == "Task" else next(task.iter(f"{{{self.ns}}}Task"))
        return self.get(found.get("href", ""))

    def link(self, document: etree._Element, rel: str) -> str | None:
        """The address behind a direct link."""
        links = document.iterfind(f"{{{self.ns}}}Link")
        return next((one.get("href") for one in links if one.get("rel") == rel), None)

    def names(self, document: etree._Element) -> set[str]:
        """The rels of its direct links."""
        return {one.get("rel", "") for one in document.iterfind(f"{{{self.ns}}}Link")}

    # bodies

    def instantiate(self, name: str, template: str, network: str, deploy: str = "false") -> str:
        config = (
            f'<NetworkConfig networkName="net"><Configuration><ParentNetwork href="{network}"/>'
            "<FenceMode>bridged</FenceMode></Configuration></NetworkConfig>"
        )
        inside = f"<NetworkConfigSection><ovf:Info/>{config}</NetworkConfigSection>"
        return (
            f'<InstantiateVAppTemplateParams xmlns="{self.ns}" xmlns:ovf="{OVF}" name="{name}" deploy="{deploy}" '
            f'powerOn="{deploy}"><InstantiationParams>{inside}</InstantiationParams><Source href="{template}"/>'
            "</InstantiateVAppTemplateParams>"
        )

    def recompose(self, *, add: str = "", delete: str = "") -> str:
        inner = f'<SourcedItem><Source href="{add}" name="second"/></SourcedItem>' if add else ""
        inner += f'<DeleteItem href="{delete}"/>' if delete else ""
        return f'<RecomposeVAppParams xmlns="{self.ns}">{inner}</RecomposeVAppParams>'

    def undeploy(self, action: str) -> str:
        if self.version == "1.0":
            return f'<UndeployVAppParams xmlns="{self.ns}" saveState="{str(action == "suspend").lower()}"/>'
        inner = f"<UndeployPowerAction>{action}</UndeployPowerAction>"
        return f'<UndeployVAppParams xmlns="{self.ns}">{inner}</UndeployVAppParams>'

    def item(self, kind: int, amount: int) -> str:
        return (
            f'<Item xmlns="{self.ns}" xmlns:rasd="{RASD}"><rasd:ResourceType>{kind}</rasd:ResourceType>'
            f"<rasd:VirtualQuantity>{amount}</rasd:VirtualQuantity></Item>"
        )
