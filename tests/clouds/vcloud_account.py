"""What the vCloud tests share: accounts at replayed and at simulated cells, and replies made by hand."""

from __future__ import annotations

from typing import Any

from accounts.clouds import ServerFacts
from accounts.clouds.acting import ActingDriver
from accounts.clouds.operations import Phase, Progress, Task
from accounts.clouds.vcloud import VCloud
from console.lib.outbound import Transport
from tests.clouds.replay import Replay, Reply

USER = {"username": "adrian", "org": "JClouds", "password": "s3cret-word"}
V10 = "http://www.vmware.com/vcloud/v1"
V15 = "http://www.vmware.com/vcloud/v1.5"
TYPE = "application/vnd.vmware.vcloud."


def opened(url: str, credentials: dict[str, str] | None = None, **kwargs: Any) -> VCloud:
    transport = Transport(["127.0.0.1/32"], allow_http=True)
    return VCloud(url=url, credentials=credentials or USER, transport=transport, **kwargs)


def listed(driver: ActingDriver) -> list[ServerFacts]:
    return [facts for page in driver.servers() for facts in page]


def said(body: str | bytes, status: int = 200, **headers: str) -> Reply:
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return Reply(status, body.encode() if isinstance(body, str) else body, {"Content-Type": "text/xml"} | named)


def error(status: int, code: str, words: str) -> Reply:
    body = f'<Error xmlns="{V15}" majorErrorCode="{status}" minorErrorCode="{code}" message="{words}"/>'
    return said(body, status)


def versions(replay: Replay, *offered: str) -> None:
    """/api/versions; "5.1-" is a deprecated one, and "38.0" and later sign in at /cloudapi."""
    infos = ""
    for number in offered:
        bare = number.rstrip("-")
        login = f"{replay.url}/api/v1.0/login" if bare == "1.0" else f"{replay.url}/api/sessions"
        old = ' deprecated="true"' if number.endswith("-") else ""
        infos += f"<VersionInfo{old}><Version>{bare}</Version><LoginUrl>{login}</LoginUrl></VersionInfo>"
    body = f'<SupportedVersions xmlns="http://www.vmware.com/vcloud/versions">{infos}</SupportedVersions>'
    replay.say("GET", "/api/versions", said(body))


def old_cell(replay: Replay, *vapps: str) -> None:
    """A 1.0 cell with one organisation, one data centre and these vApps in it, by the end of their address."""
    versions(replay, "1.0")
    root = f"{replay.url}/api/v1.0"
    orgs = f'<OrgList xmlns="{V10}"><Org type="{TYPE}org+xml" name="o" href="{root}/org/1"/></OrgList>'
    replay.say("POST", "/api/v1.0/login", said(orgs, x_vcloud_authorization="token-1"))
    link = f'<Link rel="down" type="{TYPE}vdc+xml" name="vdc-a" href="{root}/vdc/1"/>'
    replay.say("GET", "/api/v1.0/org/1", said(f'<Org xmlns="{V10}" name="o">{link}</Org>'))
    inside = "".join(f'<ResourceEntity type="{TYPE}vApp+xml" href="{root}/vApp/{vapp}"/>' for vapp in vapps)
    vdc = f'<Vdc xmlns="{V10}" name="vdc-a"><ResourceEntities>{inside}</ResourceEntities></Vdc>'
    replay.say("GET", "/api/v1.0/vdc/1", said(vdc))


def new_cell(replay: Replay, version: str = "1.5") -> None:
    """A cell since 1.5 with a session, one organisation and one data centre."""
    versions(replay, version)
    root = f"{replay.url}/api"
    session = (
        f'<Session xmlns="{V15}" user="adrian" org="o" href="{root}/session/">'
        f'<Link rel="down" type="{TYPE}orgList+xml" href="{root}/org/"/>'
        f'<Link rel="down" type="{TYPE}query.queryList+xml" href="{root}/query"/></Session>'
    )
    replay.say("POST", "/api/sessions", said(session, x_vcloud_authorization="token-1"))
    replay.say("GET", "/api/session", said(session))
    replay.say("GET", "/api/org", said(f'<OrgList xmlns="{V15}"><Org href="{root}/org/1"/></OrgList>'))
    link = f'<Link rel="down" type="{TYPE}vdc+xml" name="vdc-a" href="{root}/vdc/1"/>'
    replay.say("GET", "/api/org/1", said(f'<Org xmlns="{V15}" name="o">{link}</Org>'))


def record(replay: Replay, name: str, **more: str) -> str:
    attributes = {
        "name": name,
        "href": f"{replay.url}/api/vApp/vm-{name}",
        "vdc": f"{replay.url}/api/vdc/1",
        "status": "POWERED_ON",
        "isVAppTemplate": "false",
        "isDeployed": "true",
        "numberOfCpus": "2",
        "memoryMB": "1024",
    } | more
    return "<VMRecord " + " ".join(f'{key}="{value}"' for key, value in attributes.items()) + "/>"


def page(*records: str, total: int, following: str = "") -> Reply:
    link = f'<Link rel="nextPage" type="{TYPE}query.records+xml" href="{following}"/>' if following else ""
    return said(f'<QueryResultRecords xmlns="{V15}" total="{total}" pageSize="128">{link}{"".join(records)}'
                "</QueryResultRecords>")  # fmt: skip


def ended(driver: ActingDriver, task: Task, looks: int = 20) -> Progress:
    """The progress once it is over; the simulated cells end a task at the next request."""
    for _ in range(looks):
        progress = driver.task(task)
        if progress.phase is not Phase.RUNNING:
            return progress
    raise AssertionError(f"still running after {looks} looks: {progress}")


def asked(replay: Replay, path: str) -> int:
    return sum(1 for call in replay.asked if call[1] == path)


def vm(replay: Replay, *links: str, root: str = "/api", space: str = V15, attributes: str = 'status="4"') -> str:
    """A Vm document with these links, each a rel, to /do/{rel}."""
    offered = "".join(f'<Link rel="{rel}" href="{replay.url}/do/{rel}"/>' for rel in links)
    return f'<Vm xmlns="{space}" name="a" href="{replay.url}{root}/vApp/vm-a" {attributes}>{offered}</Vm>'


TASK = f'<Task xmlns="{V15}" status="running" startTime="2026-11-22T10:00:00Z" href="{{}}/api/task/1"/>'
