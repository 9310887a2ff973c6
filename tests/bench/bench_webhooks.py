"""How fast events are queued, what listening costs a first sync, and what a dead endpoint costs a live one."""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Iterator
from typing import Any

from tests.bench.bench_sync import account_of, prepared
from tests.bench.results import Result, median, timed
from tests.receiver import Receiver, receiving

COUNT = int(os.environ.get("BENCH_WEBHOOKS", "5000"))
SINGLE = 500  # deeds of their own, each with its commit
ASKED = 1000.0  # a second
SENT = 100  # deliveries to the live endpoint, with and without a dead one beside it


def run() -> Iterator[Result]:
    """Queueing, a first sync that is listened to, and deliveries beside a tarpit of the same provider."""
    from console.lib import audit
    from providers import webhooks
    from tests.factories import ProviderFactory

    provider = ProviderFactory()
    with receiving() as site:
        webhook, _ = webhooks.add(provider, site.url, [], audit.SYSTEM)
        yield from queueing(provider)
        webhook.deliveries.all().delete()
        yield from a_dead_endpoint(provider, webhook, site)
    yield from a_first_sync()


def queueing(provider: Any) -> Iterator[Result]:
    """The baseline is what the issue asks for."""
    from django.db import transaction

    from providers import webhooks

    data = [{"external_id": f"c-{number}", "account_id": "main"} for number in range(COUNT)]

    def at_once() -> None:
        with transaction.atomic():
            webhooks.fire_many(provider, "server.discovered", data)

    def one_by_one() -> None:
        with transaction.atomic():
            for one in data[:SINGLE]:
                webhooks.fire(provider, "customer.created", one)

    def deeds(told: bool) -> None:
        for one in data[:SINGLE]:
            with transaction.atomic():
                type(provider).objects.filter(pk=provider.pk).update(support_url="")
                if told:
                    webhooks.fire(provider, "customer.created", one)

    yield Result(f"webhooks queued, {COUNT} events at once", COUNT / median(at_once, 3), "a second", ASKED)
    yield Result("webhooks queued, one event at a time", SINGLE / median(one_by_one, 3), "a second", ASKED)
    yield Result(
        "deeds with an event each, in one thread", SINGLE / median(lambda: deeds(True), 3), "a second",
        SINGLE / median(lambda: deeds(False), 3), "one update and its commit; baseline: the same, nothing is told",
    )  # fmt: skip


def a_first_sync() -> Iterator[Result]:
    """All servers are new; a webhook listens to each, or nobody does."""
    from console.lib import audit
    from providers import webhooks
    from servers import sync
    from servers.models import Server

    with prepared(COUNT) as root:
        quiet, heard = account_of(root), account_of(root)
        webhooks.add(heard.customer.provider, "http://127.0.0.1:9/", [], audit.SYSTEM)
        sync.now(account_of(root))  # warm
        alone, listened = timed(lambda: sync.now(quiet)), timed(lambda: sync.now(heard))
        assert Server.objects.filter(account=heard).count() == heard.customer.provider.events.count() == COUNT
    yield Result(
        f"first sync of {COUNT} servers with a webhook", listened, "s", alone, "baseline: the same, nobody listens"
    )


def a_dead_endpoint(provider: Any, webhook: Any, site: Receiver) -> Iterator[Result]:
    """Milliseconds from the event to the receiver, the middle and the worst one, while a tarpit holds its worker."""
    from django.db import connections

    from console.lib import audit
    from providers import delivering, webhooks

    def latencies() -> list[float]:
        taken = []
        for number in range(SENT):
            seen, started = len(site.calls), time.perf_counter()
            tell(provider, number)
            while len(site.calls) == seen:
                delivering.drain(webhook.pk)
            taken.append(1000 * (time.perf_counter() - started))
        return sorted(taken)

    latencies()
    alone = latencies()
    with receiving(held=True) as tarpit:
        dead, _ = webhooks.add(provider, tarpit.url, [], audit.SYSTEM)

        def stuck() -> None:
            try:
                delivering.drain(dead.pk)
            finally:
                connections.close_all()

        tell(provider, 0)
        holding = threading.Thread(target=stuck)
        holding.start()
        while not tarpit.calls:
            time.sleep(0.01)
        beside = latencies()
        tarpit.open.set()
        holding.join()
    for word, pick in (("median", statistics.median), ("worst", max)):
        yield Result(
            f"delivery beside a dead endpoint, {word}", pick(beside), "ms", pick(alone),
            f"{SENT} events, from the deed to the receiver; baseline: without the dead one",
        )  # fmt: skip


def tell(provider: Any, number: int) -> None:
    from django.db import transaction

    from providers import webhooks

    with transaction.atomic():
        webhooks.fire(provider, "customer.created", {"external_id": f"c-{number}"})
