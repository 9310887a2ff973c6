"""A row that rests for seconds is taken up again at its moment, by real workers and without any sweep."""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from django.conf import settings
from django.db import connection
from django.utils import timezone

from console.lib import children
from console.lib.jobs import kinds, leases
from servers.actions import actions
from servers.actions.models import Action
from servers.models import Server
from tests.acting import served, step
from tests.conftest import People
from tests.processes import ROOT, end, wait

BROKER = settings.REDIS_URL.rsplit("/", 1)[0] + "/5"  # of the same Valkey; nobody else's messages are in it


@pytest.fixture
def broker() -> Iterator[str]:
    redis.Redis.from_url(BROKER).flushdb()
    yield BROKER
    redis.Redis.from_url(BROKER).flushdb()


@contextmanager
def worker(home: Path) -> Iterator[None]:
    """A Celery worker over this test's database. No beat runs beside it, so nothing is swept."""
    there = connection.settings_dict
    url = f"postgres://{there['USER']}:{there['PASSWORD']}@{there['HOST']}:{there['PORT']}/{there['NAME']}"
    env = {**os.environ, "DATABASE_URL": url, "REDIS_URL": BROKER, "PUBLIC_URL": settings.PUBLIC_URL,
           "DJANGO_SETTINGS_MODULE": "console.settings"}  # fmt: skip
    argv = [sys.executable, "-m", "celery", "-A", "console.celery", "-q", "worker", "-Q", "default,actions", "-c", "1",
            "--without-gossip", "--without-mingle"]  # fmt: skip
    with (home / "worker.log").open("ab") as out:
        process = children.spawn(argv, env=env, out=out, cwd=ROOT)
    try:
        yield
    finally:
        end(process)


@pytest.mark.django_db(transaction=True)
def test_a_stop_that_takes_two_seconds_is_seen_done_soon_after(people: People, broker: str, tmp_path: Path) -> None:
    with served(people, 1) as (site, _):
        site.cloud.settle = timedelta(seconds=2)
        batch = actions.start(Server.objects.all(), kind="stop", by=people.alice, customer=people.customer)
        row = batch.actions.get()
        with worker(tmp_path):
            app = Celery("test", broker=broker, set_as_current=False)
            app.send_task(actions.TASK, args=[str(row.pk)], ignore_result=True, queue="default")
            wait(lambda: Action.objects.filter(pk=row.pk, ended_at__isnull=False).exists(), 60, "the row ended")
            app.close()
    row.refresh_from_db()
    assert (row.state, row.outcome) == ("done", "Stopped.")
    late = (row.ended_at - row.called_at).total_seconds() - 2
    assert 0 <= late < 20, late  # it looks every second, the sweep every minute; the rest is the machine's


@pytest.mark.django_db(transaction=True)
def test_the_message_that_wakes_a_row_comes_just_after_its_moment(
    people: People, broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Celery("test", broker=broker, set_as_current=False)
    monkeypatch.setattr("console.lib.jobs.bell.current_app", app)
    with served(people, 1) as (site, _):
        site.cloud.settle = timedelta(hours=1)
        row = step(actions.start(Server.objects.all(), kind="stop", by=people.alice, customer=people.customer)
                   .actions.get())  # fmt: skip
    [*_, last] = messages(app)
    assert (last["headers"]["task"], json.loads(_body(last))[0]) == (actions.TASK, [str(row.pk)])
    gap = datetime.fromisoformat(last["headers"]["eta"]) - row.due_at
    assert timedelta(0) < gap < timedelta(seconds=5), gap
    app.close()


@pytest.mark.django_db(transaction=True)
def test_one_that_rests_long_is_left_to_the_sweep(people: People, broker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    app = Celery("test", broker=broker, set_as_current=False)
    monkeypatch.setattr("console.lib.jobs.bell.current_app", app)
    with served(people, 1):
        actions.start(Server.objects.all(), kind="stop", by=people.alice, customer=people.customer)
    redis.Redis.from_url(broker).flushdb()

    def rests(row: Action, lease: leases.Lease) -> None:
        lease.rest(3600, "Later.")

    [(row, lease)] = leases.claim(Action.objects.all(), 60)
    kinds.work(kinds.KINDS[actions.TASK], rests, row, lease)
    row.refresh_from_db()
    assert (row.state, row.outcome, row.attempts) == ("waiting", "Later.", 0)
    assert row.due_at > timezone.now() + timedelta(minutes=59)
    assert messages(app) == []
    app.close()


def messages(app: Celery) -> list[dict[str, Any]]:
    """What waits in the broker, the oldest first."""
    queued = redis.Redis.from_url(BROKER).lrange(app.conf.task_default_queue, 0, -1)
    return [json.loads(one) for one in reversed(queued)]


def _body(message: dict[str, Any]) -> str:
    return base64.b64decode(message["body"]).decode()
