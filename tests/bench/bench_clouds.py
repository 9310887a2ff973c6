"""Whole syncs of CloudStack and vCloud against the raw download and parse of the same pages, and vCloud 1.0's walk."""

from __future__ import annotations

import gc
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree

import requests

from console.demo.vcloud import ORG, PASSWORD, USERNAME
from tests.bench.results import Result, median, timed

if TYPE_CHECKING:
    from accounts.models import CloudAccount  # Django is set up when a benchmark runs

COUNT: Final = int(os.environ.get("BENCH_SERVERS", "10000"))
VAPPS: Final = 500
DELAY: Final = 20  # milliseconds until the far side answers a call of the walk
RUNS: Final = 5


@contextmanager
def prepared(*arguments: object) -> Iterator[str]:
    """The prepared cloud as a process of its own; yields its root."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.prepared_clouds", *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.kill()
        process.wait()


def change(root: str, state: str) -> None:
    """`state` is N/STEP: see prepared_clouds."""
    requests.post(f"{root}/change/{state}", timeout=60).raise_for_status()


def run() -> Iterator[Result]:
    """As bench_sync: this process is as lean as a worker, for the baselines too."""
    gc.collect()
    gc.freeze()
    yield from listed("cloudstack", "CloudStack", cloudstack_pages)
    yield from listed("1.5", "vCloud 1.5", vcloud_pages)
    yield walked()


def listed(generation: str, name: str, download: Callable[..., None]) -> Iterator[Result]:
    """Whole syncs (sign in, list, compare, write, hint) of COUNT servers, against `download`."""
    from servers import sync
    from servers.models import Server

    with prepared(generation, COUNT) as root:
        account = account_of(root, generation)

        def against(what: str, *states: str) -> Iterator[Result]:
            """The medians of syncs that find the cloud in one state and then in the other, and of downloads between."""
            for state in states:  # each page is made by the simulator once
                change(root, state)
                download(root)
                sync.now(account)
            pairs: list[tuple[float, ...]] = []
            for turn in range(RUNS + 1):
                change(root, states[turn % len(states)])
                seconds = timed(lambda: sync.now(account))
                documents = told(root)
                bare = timed(lambda: download(root))
                pairs.append((seconds, bare, timed(partial(download, root, documents))))
            assert Server.objects.filter(account=account, missing_since=None).count() == COUNT
            ours, bare, floor = map(statistics.median, zip(*pairs[1:], strict=True))
            said = f"baseline: raw download of the same pages + {download.__doc__}"
            yield Result(f"sync {COUNT} {name} servers, {what}", 1000 * ours, "ms", 1000 * bare, said)
            if documents:  # the pages tell no addresses (CLOUDS.md 2.2)
                said += f", and of the {len(documents)} documents of vApps that must be read"
                yield Result("the same, against all that is read", 1000 * ours, "ms", 1000 * floor, said)

        one_percent = COUNT // 100
        yield from against("nothing changed", "0/1")
        yield from against("1 % changed", f"{one_percent}/1", "0/1")
        if generation == "1.5":
            yield from against("1 % changed, each in another vApp", f"{one_percent}/100", "0/1")


def told(root: str) -> list[str]:
    """The documents that were read since the last change, by path."""
    return requests.get(f"{root}/told", timeout=60).text.split()


def cloudstack_pages(root: str, documents: Iterable[str] = ()) -> None:
    """json of the standard library"""
    seen = page = 0
    with requests.Session() as session:
        while True:
            page += 1
            asked = {
                "command": "listVirtualMachines", "response": "json", "page": str(page), "pagesize": "500",
                "details": "nics,servoff,tmpl,iso", "listall": "true", "isrecursive": "true",
            }  # fmt: skip
            reply = session.get(f"{root}/client/api", params=asked, timeout=60)
            rows = json.loads(reply.content)["listvirtualmachinesresponse"].get("virtualmachine")
            if not rows:
                assert seen == COUNT, seen
                return
            seen += len(rows)


def vcloud_pages(root: str, documents: Iterable[str] = ()) -> None:
    """xml.etree of the standard library"""
    seen = 0
    address = f"{root}/api/query?type=vm&format=records&page=1&pageSize=128&filter=isVAppTemplate==false"
    with signed_in(root, "1.5") as session:
        while address:
            page = ElementTree.fromstring(session.get(address, timeout=60).content)  # noqa: S314  # our own pages
            seen += sum(child.tag.endswith("VMRecord") for child in page)
            links = [child.attrib for child in page if child.tag.endswith("}Link")]
            address = next((link["href"] for link in links if link["rel"] == "nextPage"), "")
        for path in documents:
            ElementTree.fromstring(session.get(root + path, timeout=60).content)  # noqa: S314  # as above
    assert seen == COUNT, seen


def walked() -> Result:
    """The list of a vCloud 1.0 account, which has no query service: a document for each vApp."""
    from accounts import opening

    with prepared("1.0", 2 * VAPPS, DELAY) as root:
        account = account_of(root, "1.0")

        def ours() -> None:
            driver = opening.driver(account, credentials("1.0"))
            assert sum(len(page) for page in driver.servers()) == 2 * VAPPS

        quick = median(ours, runs=3)
        return Result(
            f"list vCloud 1.0, {VAPPS} vApps, times faster than serial", timed(lambda: serial(root)) / quick, "times",
            detail=f"ours {quick:.2f} s; baseline: the same documents one by one, {DELAY} ms a call, with xml.etree",
        )  # fmt: skip


def serial(root: str) -> None:
    """The baseline: the same walk over one connection, parsed by the standard library, and nothing else."""
    with signed_in(root, "1.0") as session:

        def read(address: str) -> ElementTree.Element:
            return ElementTree.fromstring(session.get(address, timeout=60).content)  # noqa: S314  # our own pages

        def below(document: ElementTree.Element, kind: str) -> list[str]:
            return [found.attrib["href"] for found in document.iter() if found.get("type", "").endswith(f".{kind}+xml")]

        (org,) = below(read(f"{root}/api/v1.0/org/"), "org")
        (vdc,) = set(below(read(org), "vdc"))
        vapps = [read(vapp) for vapp in below(read(vdc), "vApp")]
        assert len(vapps) == VAPPS, len(vapps)


@contextmanager
def signed_in(root: str, version: str) -> Iterator[requests.Session]:
    """A plain session of requests, with a token of the cell."""
    with requests.Session() as session:
        session.headers["Accept"] = "*/*" if version == "1.0" else f"application/*+xml;version={version}"
        login = f"{root}/api/v1.0/login" if version == "1.0" else f"{root}/api/sessions"
        reply = session.post(login, auth=(f"{USERNAME}@{ORG}", PASSWORD), timeout=60)
        session.headers["x-vcloud-authorization"] = reply.headers["x-vcloud-authorization"]
        yield session


def credentials(generation: str) -> dict[str, str]:
    """Of the simulated clouds."""
    if generation == "cloudstack":
        return {"api_key": "key", "secret_key": "secret"}
    return {"username": USERNAME, "org": ORG, "password": PASSWORD}


def account_of(root: str, generation: str) -> CloudAccount:
    """An account of the prepared cloud, with credentials that passed, at a cloud that allows many calls."""
    from accounts import pacing
    from accounts.clouds.operations import Rate
    from tests.factories import AccountFactory

    stack = generation == "cloudstack"
    account: CloudAccount = AccountFactory(
        endpoint__platform="cloudstack" if stack else "vcloud",
        endpoint__url=f"{root}/client/api" if stack else f"{root}/api",
        endpoint__version="" if stack else generation, endpoint__networks=["127.0.0.0/8"], endpoint__allow_http=True,
    )  # fmt: skip
    account.close_pending(credentials(generation), 1)
    account.promote_pending()
    account.save()
    pacing.learn(account.pk, (Rate(1_000_000, 60.0),))
    return account
