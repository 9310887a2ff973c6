"""A provider's calls: a bulk import against the single calls that it replaces, and how long single calls take.

A real web process answers over real HTTP with keep-alive; the import is worked by the code that a worker runs. One
webhook listens to everything, and every customer gets a mail, in both ways.
"""

from __future__ import annotations

import http.client
import json
import os
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

from tests.bench.bench_install import web
from tests.bench.results import Result, timed

COUNT = int(os.environ.get("BENCH_CUSTOMERS", "10000"))
SINGLE = 500  # customers by single calls
CONNECTIONS = 4  # of a program that does not wait for one call before it makes the next
WANTED = 30.0  # milliseconds, of 95 calls in 100
CREDENTIALS = {"username": "ada", "password": "correct horse battery", "project": "engines"}


class Program:
    """A provider's program: one connection, kept."""

    def __init__(self, site: str, key: str) -> None:
        self.link = http.client.HTTPConnection(urlsplit(site).netloc, timeout=120)
        self.headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self.close = self.link.close

    def __call__(self, method: str, path: str, body: Any, *expected: int) -> float:
        """Milliseconds from the first byte sent to the last one read. The answer must be one of `expected`."""
        text = json.dumps(body).encode()
        started = time.perf_counter()
        self.link.request(method, f"/api/provider/v1/{path}", text, self.headers)
        reply = self.link.getresponse()
        told = reply.read()
        taken = 1000 * (time.perf_counter() - started)
        assert reply.status in expected, f"{reply.status} {told[:500]!r}"
        return taken

    def person(self, name: str, *expected: int, **fields: str) -> float:
        return self("PUT", f"customers/{name}", person(name) | fields, *expected)

    def account(self, name: str) -> float:
        return self("PUT", f"customers/{name}/accounts/main", account(), 202)

    def both(self, name: str) -> None:
        self.person(name, 201)
        self.account(name)


def person(name: str) -> dict[str, str]:
    return {
        "email": f"{name}@orchard.example", "first_name": "Ada", "last_name": name, "organization": f"Orchard {name}",
    }  # fmt: skip


def account() -> dict[str, Any]:
    return {"endpoint": "nova", "name": "Main", "version": 1, "credentials": CREDENTIALS}


def run() -> Iterator[Result]:
    """The baseline first, on an empty database; single calls again when all are there."""
    from console.lib import audit
    from providers import keys, webhooks
    from tests.factories import EndpointFactory, ProviderFactory

    provider = ProviderFactory(calls_per_minute=1_000_000)
    EndpointFactory(provider=provider, slug="nova")
    webhooks.add(provider, "http://127.0.0.1:9/", [], audit.SYSTEM)
    _, key = keys.issue(provider, actor=audit.SYSTEM)
    with web() as site, closing(Program(site, key)) as program:
        for number in range(100):
            program.both(f"warm-{number}")
        yield from bulk(provider, program, site, key)
        yield from single(provider, program)


def bulk(provider: Any, program: Program, site: str, key: str) -> Iterator[Result]:
    """From the call to the end of the last line, against the same customers one after the other."""
    alone = timed(lambda: [program.both(f"alone-{number}") for number in range(SINGLE)])
    beside = timed(lambda: together(site, key))
    lines = [
        {"external_id": f"c-{number}", **person(f"c-{number}"), "accounts": [{"account_id": "main", **account()}]}
        for number in range(COUNT)
    ]
    sent = program("POST", "imports", {"customers": lines}, 202) / 1000
    worked = timed(lambda: work(provider))
    assert provider.customers.filter(external_id__startswith="c-").count() == COUNT
    for words, seconds in (("one after the other", alone), (f"over {CONNECTIONS} connections", beside)):
        yield Result(
            f"import of {COUNT} customers, × single, {words}",
            seconds * COUNT / SINGLE / (sent + worked), "times", 10.0,
            f"the call {sent:.1f} s + the work {worked:.1f} s; {SINGLE} × (customer PUT + account PUT) took "
            f"{seconds:.1f} s and is scaled; baseline: what is asked of calls one after the other",
        )  # fmt: skip


def together(site: str, key: str) -> None:
    def some(which: int) -> None:
        with closing(Program(site, key)) as program:
            for number in range(which, SINGLE, CONNECTIONS):
                program.both(f"beside-{number}")

    threads = [threading.Thread(target=some, args=(which,)) for which in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def work(provider: Any) -> None:
    """As a worker does, once."""
    from accounts import tasks
    from accounts.models import Import

    batch = Import.objects.get(provider=provider)
    tasks.run(str(batch.pk))
    batch.refresh_from_db()
    assert batch.outcome == f"{COUNT} lines: {COUNT} created.", batch.outcome


def single(provider: Any, program: Program) -> Iterator[Result]:
    """What 95 of 100 callers wait at most, with COUNT customers there; and what the provider's own log says of it."""
    from providers.models import ApiCall

    names = [f"single-{number}" for number in range(SINGLE)]
    ways = {
        "customer PUT, made": lambda name: program.person(name, 201),
        "customer PUT, unchanged": lambda name: program.person(name, 200),
        "customer PUT, updated": lambda name: program.person(name, 200, organization="Orchard Ltd"),
        "account PUT, made": program.account,
        "account PUT, the same again": program.account,
    }
    for words, call in ways.items():
        ApiCall.objects.all().delete()
        taken = sorted(call(name) for name in names)
        logged = sorted(ApiCall.objects.values_list("milliseconds", flat=True))
        assert len(logged) == SINGLE
        yield Result(
            f"{words}, p95", percentile(taken, 95), "ms", WANTED,
            f"{SINGLE} calls beside {COUNT} customers, as the caller sees them (median {statistics.median(taken):.1f}, "
            f"worst {taken[-1]:.1f}); the API log says {percentile(logged, 95)}; baseline: what is asked",
        )  # fmt: skip


def percentile(values: list[Any], percent: int) -> Any:
    """Of sorted values."""
    return values[min(len(values) - 1, len(values) * percent // 100)]
