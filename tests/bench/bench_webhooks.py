"""How fast events are queued, what listening costs a first sync, and what a dead endpoint costs a live one."""

from __future__ import annotations

import json
import os
import statistics
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg

from tests.bench.bench_sync import account_of, prepared
from tests.bench.results import Result, median, timed
from tests.receiver import Receiver, receiving

COUNT = int(os.environ.get("BENCH_WEBHOOKS", "5000"))
SINGLE = 500  # deeds of their own, each with its commit
ASKED = 1000.0  # a second
THREADS = 4  # of a web process
SENT = 100  # deliveries to the live endpoint, with and without a dead one beside it

_EVENT = "INSERT INTO providers_event (id, provider_id, type, data, at) VALUES (%s, %s, 'customer.created', %s, now())"
_DELIVERY = (
    "INSERT INTO providers_delivery (id, state, fence, worker, attempts, queued_at, due_at, expires_at, outcome, tries,"
    " webhook_id, event_id) VALUES (%s, 'queued', 0, '', 0, now(), now(), now(), '', '[]', %s, %s)"
)


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

    yield Result(f"webhooks queued, {COUNT} events at once", COUNT / median(at_once, 3), "a second", ASKED)
    yield Result("webhooks queued, one event at a time", SINGLE / median(one_by_one, 3), "a second", ASKED)
    yield from a_commit_each(provider)


def a_commit_each(provider: Any) -> Iterator[Result]:
    """Events that each come with a commit of their own, by turns with the bare INSERTs and the commit."""
    from django.db import connections

    def ours(count: int = SINGLE) -> None:
        for number in range(count):
            tell(provider, number)

    def together() -> None:
        def some() -> None:
            try:
                ours(SINGLE // THREADS)
            finally:
                connections.close_all()

        threads = [threading.Thread(target=some) for _ in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    with psycopg.connect(os.environ["DATABASE_URL"]) as link:
        turns = [(timed(ours), timed(lambda: bare(link, provider)), timed(together)) for _ in range(7)]
    alone, floor, beside = (statistics.median(column) for column in zip(*turns[1:], strict=True))
    words = "baseline: INSERT of the event, INSERT of its delivery and COMMIT in psycopg, one thread, by turns"
    yield Result("webhooks queued, a commit each", SINGLE / alone, "a second", SINGLE / floor, words)
    yield Result(f"webhooks queued, a commit each, {THREADS} threads", SINGLE / beside, "a second", ASKED)


def bare(link: psycopg.Connection[Any], provider: Any) -> None:
    """What a program that knew the webhook's id would do at least."""
    webhook = provider.webhooks.get().pk
    for number in range(SINGLE):
        event = uuid.uuid4()
        link.execute(_EVENT, [event, provider.pk, json.dumps({"external_id": f"c-{number}"})])
        link.execute(_DELIVERY, [uuid.uuid4(), webhook, event])
        link.commit()


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
