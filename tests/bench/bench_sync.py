"""Sync at scale, against the raw download and JSON parse of the same pages, and against openstacksdk."""

from __future__ import annotations

import gc
import json
import os
import resource
import statistics
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil
import requests

from tests.bench.results import Result, median, timed

if TYPE_CHECKING:
    from accounts.models import CloudAccount  # Django is set up when a benchmark runs

COUNT = int(os.environ.get("BENCH_SERVERS", "10000"))
ACCOUNTS = 200
LARGE = 5 * COUNT


@contextmanager
def prepared(count: int) -> Iterator[str]:
    """The prepared cloud as a process of its own; yields its root."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.prepared", str(count)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.kill()
        process.wait()


def download(root: str) -> int:
    """The floor: every page over one connection, parsed by the standard library, and nothing else."""
    seen, marker = 0, ""
    with requests.Session() as session:
        while True:
            page = json.loads(
                session.get(f"{root}/v2.1/servers/detail?limit=1000&marker={marker}", timeout=30).content
            )["servers"]
            if not page:
                return seen
            seen, marker = seen + len(page), page[-1]["id"]


def change(root: str, count: int) -> None:
    urllib.request.urlopen(
        urllib.request.Request(f"{root}/change/{count}", method="POST", data=b""), timeout=30
    ).close()


def account_of(root: str, **fields: object) -> CloudAccount:
    """An account of the prepared cloud, with credentials that passed."""
    from tests.factories import AccountFactory

    where = {} if "endpoint" in fields else {
        "endpoint__url": f"{root}/v3", "endpoint__networks": ["127.0.0.0/8"], "endpoint__allow_http": True,
    }  # fmt: skip
    account: CloudAccount = AccountFactory(**where, **fields)
    account.close_pending({"username": "u", "password": "p", "project": "p"}, 1)
    account.promote_pending()
    account.save()
    return account


def run() -> Iterator[Result]:
    """Whole syncs (sign in, list, compare, write, hint), the loop that they replace, many accounts, and memory.

    This process is like a worker that has run for a while: every module is loaded, by a sync of one server, and out of
    the garbage collector's way (console/celery.py), for the baseline too.
    """
    from servers import sync

    with prepared(1) as root:
        sync.now(account_of(root))
    gc.collect()
    gc.freeze()
    yield from whole_syncs()
    yield from against_the_sdk()
    yield from many_accounts()
    yield memory()


def whole_syncs() -> Iterator[Result]:
    """New, unchanged, 1 % changed and all changed."""
    from servers import sync
    from servers.models import Server

    with prepared(COUNT) as root:
        account = account_of(root)
        floors = [median(lambda: download(root))]

        def whole() -> None:
            sync.now(account)

        def first() -> float:
            """The first sync of an account."""
            nonlocal account
            account = account_of(root, endpoint=account.endpoint, customer=account.customer)
            return timed(whole)

        def report(name: str, seconds: float) -> Result:
            assert Server.objects.filter(account=account).count() == COUNT
            floors.append(median(lambda: download(root)))
            return Result(
                f"sync {COUNT} servers, {name}",
                seconds,
                "s",
                (floors[-1] + floors[-2]) / 2,
                "baseline: raw download + JSON parse of the same pages, before and after",
            )

        yield report("all new", statistics.median(first() for _ in range(5)))
        yield report("nothing changed", median(whole))
        steps = iter(range(1, 10))

        def one_percent() -> float:
            change(root, COUNT // 100 if next(steps) % 2 else 0)
            return timed(whole)

        yield report("1 % changed", statistics.median(one_percent() for _ in range(5)))
        change(root, COUNT)
        yield report("all changed", timed(whole))


def against_the_sdk() -> Iterator[Result]:
    """The obvious way: openstacksdk's list, and update_or_create for each. Both all new, then both unchanged."""
    import openstack

    from servers import sync
    from servers.models import Server

    def loop(account: CloudAccount, root: str) -> None:
        cloud = openstack.connect(
            load_yaml_config=False, load_envvars=False, auth_url=f"{root}/v3", username="u", password="p",
            project_name="p", user_domain_id="default", project_domain_id="default", region_name="RegionOne",
        )  # fmt: skip
        for server in cloud.compute.servers(limit=1000):
            addresses = [one for network in server.addresses.values() for one in network]
            Server.objects.update_or_create(
                account=account, external_id=server.id,
                defaults={
                    "customer_id": account.customer_id, "name": server.name, "state": "running",
                    "raw_state": server.status, "addresses": addresses, "ips": [one["addr"] for one in addresses],
                    "size": str(server.flavor.id), "cloud_created_at": server.created_at, "digest": "",
                },
            )  # fmt: skip

    with prepared(COUNT) as root:
        theirs, ours = account_of(root), account_of(root)
        for name in ("all new", "nothing changed"):
            slow = timed(lambda: loop(theirs, root))
            quick = timed(lambda: sync.now(ours))
            assert Server.objects.filter(account=theirs).count() == COUNT
            assert Server.objects.filter(account=ours).count() == COUNT
            yield Result(
                f"sync {COUNT} servers, {name}, times faster than the sdk",
                slow / quick, "times", detail=f"openstacksdk + update_or_create {slow:.2f} s, ours {quick:.3f} s",
            )  # fmt: skip


def many_accounts() -> Iterator[Result]:
    """One round over ACCOUNTS accounts of 500 servers, 1 % changed, in this one process, as a worker does it."""
    from django.utils import timezone

    from accounts.models import CloudAccount, SyncRun
    from accounts.pacing import EVERY
    from console.lib.jobs.rows import JobState
    from servers import tasks, turns

    with prepared(500) as root:
        first = account_of(root)
        accounts = [first, *(account_of(root, endpoint=first.endpoint, customer=first.customer)
                             for _ in range(ACCOUNTS - 1))]  # fmt: skip
        mine = CloudAccount.objects.filter(pk__in=[account.pk for account in accounts])

        def round_of_all() -> None:
            mine.update(next_sync_at=timezone.now())
            turns.due(timezone.now())
            waiting = SyncRun.objects.filter(account__in=mine, state=JobState.QUEUED)
            while found := list(waiting.values_list("pk", flat=True)):
                for pk in found:
                    tasks.sync_account(str(pk))

        new = timed(round_of_all)
        change(root, 5)
        busy = timed(round_of_all)
        done = SyncRun.objects.filter(account__in=mine, state=JobState.DONE).count()
        assert done == 2 * ACCOUNTS, done
    yield Result(
        f"{ACCOUNTS} accounts × 500 servers, one worker, idle", 100 * (1 - busy / EVERY), "%",
        detail=f"a round takes {busy:.1f} s of {EVERY:.0f} s (the first, all new, {new:.1f} s)",
    )  # fmt: skip


def memory() -> Result:
    """The peak of a first sync of LARGE servers in a process of its own, over what it held before."""
    from django.db import connections

    from servers import sync

    with prepared(LARGE) as root:
        account = account_of(root)
        connections.close_all()
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            before = psutil.Process().memory_info().rss
            sync.now(account)
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
            os.write(writer, str((peak - before) / 2**20).encode())
            os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as told:
            grown = float(told.read())
        os.waitpid(child, 0)
    return Result(f"sync {LARGE} servers, all new, peak memory", grown, "MiB", detail="over the idle process")
