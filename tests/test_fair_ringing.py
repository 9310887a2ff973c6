"""Who asks for very much keeps nobody waiting: of one customer's actions few are on their way to the workers at a time.

The messages of a real broker are worked here in its order, one after the other, as a worker of one process does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from celery import Celery
from django.conf import settings
from django.db.models.functions import Now
from django.utils import timezone

from accounts.models import CloudAccount
from console.lib.jobs import sharing, sweeping
from console.models import User
from providers.models import Customer
from servers.actions import actions, tasks
from servers.actions.models import Action, ActionBatch
from servers.models import Server
from tests.acting import served
from tests.conftest import People
from tests.factories import CustomerFactory, MembershipFactory, ServerFactory
from tests.farclouds import account_at

BROKER = settings.REDIS_URL.rsplit("/", 1)[0] + "/7"  # of the same Valkey; nobody else's messages are in it
THOUSAND = actions.MOST

pytestmark = pytest.mark.django_db(transaction=True)


class Queue:
    """The queue of actions."""

    def __init__(self) -> None:
        self._there = redis.Redis.from_url(BROKER)

    def __len__(self) -> int:
        return int(self._there.llen("default"))  # type: ignore[arg-type]

    def empty(self) -> None:
        self._there.flushdb()

    def take(self) -> str | None:
        """The id in the oldest message."""
        found: Any = self._there.rpop("default")
        if found is None:
            return None
        headers = json.loads(found)["headers"]
        assert headers["task"] == actions.TASK
        return str(json.loads(headers["argsrepr"].replace("'", '"'))[0])

    def work(self, most: int = 10_000) -> list[Action]:
        """Work what is in it, and what that rings for; the rows in the order of their messages."""
        done: list[Action] = []
        while len(done) < most and (pk := self.take()):
            Action.objects.filter(pk=pk, state="waiting").update(due_at=Now())  # its moment has come
            tasks.run(pk)
            done.append(Action.objects.get(pk=pk))
        return done


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Iterator[Queue]:
    app = Celery("test", broker=BROKER, set_as_current=False)
    app.conf.task_default_queue = "default"
    monkeypatch.setattr("console.lib.jobs.bell.current_app", app)
    made = Queue()
    made.empty()
    yield made
    made.empty()
    app.close()


def start(customer: Customer, by: User, **which: Any) -> ActionBatch:
    chosen = Server.objects.filter(customer=customer, **which)
    return actions.start(chosen, kind="stop", by=by, customer=customer)


@pytest.fixture
def bobs(people: People) -> Customer:
    """A customer of bob's own."""
    made: Customer = CustomerFactory(organization="Bob's")
    MembershipFactory(customer=made, user=people.bob)
    return made


def crowd(account: CloudAccount, servers: int) -> None:
    Server.objects.bulk_create(ServerFactory.build_batch(servers, account=account))


def test_a_single_stop_is_worked_long_before_the_thousand_that_were_asked_before_it(
    people: People, bobs: Customer, queue: Queue
) -> None:
    with served(people, 1) as (site, account):
        crowd(account, THOUSAND - 1)
        hers = start(people.customer, people.alice)
        assert len(queue) == sharing.AT_ONCE
        ServerFactory(account=account_at(site, customer=bobs, generation="modern"))
        his = start(bobs, people.bob).actions.get()
        assert his.state == "queued", his.outcome
        sweeping.sweep()
        assert len(queue) == sharing.AT_ONCE + 1, "the sweep rings for no more of hers"
        worked = queue.work(sharing.AT_ONCE + 1)
        assert his.pk in {row.pk for row in worked}
        assert hers.actions.filter(started_at__isnull=False).count() == sharing.AT_ONCE


def test_each_that_was_worked_rings_for_the_next_until_all_have_ended(people: People, queue: Queue) -> None:
    with served(people, 3 * sharing.AT_ONCE):
        batch = start(people.customer, people.alice)
        longest = 0
        while len(queue):
            longest = max(longest, len(queue))
            queue.work(1)
        assert actions.progress(batch) == {"total": 60, "active": 0, "done": 60, "failed": 0}
        assert longest == sharing.AT_ONCE


def test_many_batches_of_one_customer_are_on_their_way_no_more_than_one_large(people: People, queue: Queue) -> None:
    with served(people, 1) as (_, account):
        crowd(account, 30)
        for server in Server.objects.all():
            start(people.customer, people.alice, pk=server.pk)
        assert Action.objects.filter(state="queued").count() == 31
        assert len(queue) == sharing.AT_ONCE


def test_the_sweep_takes_customers_by_turns(people: People, bobs: Customer, queue: Queue) -> None:
    batch = ActionBatch.objects.create(customer=people.customer, kind="stop")
    for customer, count in ((people.customer, 50), (bobs, 3)):
        Action.objects.bulk_create(
            Action(batch=batch, customer=customer, account=people.account, name=str(number), kind="stop")
            for number in range(count)
        )
    assert sweeping.sweep()["rung"] == sharing.AT_ONCE + 3
    whose = [Action.objects.get(pk=queue.take()).customer_id for _ in range(6)]
    assert whose.count(bobs.pk) == 3, "one of hers, one of his, and so on"
    assert sweeping.sweep()["rung"] == 0
    Action.objects.filter(rung_at__isnull=False).update(rung_at=timezone.now() - sharing.RING_AGAIN_AFTER)
    assert sweeping.sweep()["rung"] == sharing.AT_ONCE + 3, "nobody answered: again, and no more than before"


def test_while_the_broker_is_away_no_row_counts_as_rung_for(
    people: People, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = Celery("away", broker="redis://127.0.0.1:1/0", set_as_current=False)
    with served(people, 2):
        with monkeypatch.context() as away:
            away.setattr("console.lib.jobs.bell.current_app", nobody)
            start(people.customer, people.alice)
        assert not Action.objects.filter(rung_at__isnull=False).exists()
        assert sweeping.sweep()["rung"] == 2
        assert len(queue) == 2
    nobody.close()
