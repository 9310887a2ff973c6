"""Sync of 10,000 servers, against the raw download and JSON parse of the same pages in the same run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import requests

from tests.bench.results import Result, median, timed

COUNT = int(os.environ.get("BENCH_SERVERS", "10000"))


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


def run() -> Iterator[Result]:
    """New, unchanged, 1 % changed and all changed, each as a whole sync (sign in, list, compare, write, hint)."""
    from servers import sync
    from servers.models import Server
    from tests.factories import AccountFactory

    with prepared(COUNT) as root:
        floor = median(lambda: download(root))
        account = AccountFactory(
            endpoint__url=f"{root}/v3", endpoint__networks=["127.0.0.0/8"], endpoint__allow_http=True
        )
        account.close_pending({"username": "u", "password": "p", "project": "p"}, 1)
        account.promote_pending()
        account.save()

        def whole() -> None:
            sync.now(account)

        def report(name: str, seconds: float) -> Result:
            assert Server.objects.filter(account=account).count() == COUNT
            return Result(
                f"sync {COUNT} servers, {name}",
                seconds,
                "s",
                floor,
                "baseline: raw download + JSON parse of the same pages",
            )

        yield report("all new", timed(whole))
        yield report("nothing changed", median(whole))
        steps = iter(range(1, 10))

        def one_percent() -> float:
            change(root, COUNT // 100 if next(steps) % 2 else 0)
            return timed(whole)

        yield report("1 % changed", sorted(one_percent() for _ in range(5))[2])
        change(root, COUNT)
        yield report("all changed", timed(whole))
