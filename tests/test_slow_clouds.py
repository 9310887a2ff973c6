"""Clouds that crawl hold up their own readings: real workers, and everybody else's work is done meanwhile."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import redis
from celery import Celery
from django.conf import settings
from django.db import connection
from django.utils import timezone

from accounts import places
from accounts.models import CloudAccount, SyncRun
from console import celery
from console.demo.openstack import Cloud, serve
from console.lib import children, valkey
from console.lib.jobs.rows import JobState
from console.management import parts
from providers import mail
from providers.models import Mail, Membership
from servers import refreshing, turns, watching
from servers.actions import actions
from servers.actions.models import Action
from servers.models import Server
from tests.acting import served
from tests.conftest import People
from tests.factories import ServerFactory
from tests.farclouds import account_at
from tests.processes import ROOT, end, wait

BROKER = settings.REDIS_URL.rsplit("/", 1)[0] + "/6"  # of the same Valkey; nobody else's messages are in it
CALL = 60.0  # seconds that a crawling cloud holds a worker by one call alone (outbound.TOTAL)


@contextmanager
def workers(home: Path, *queues: str) -> Iterator[None]:
    """As `up` starts them, over this test's database. No beat runs beside them, so nothing is swept."""
    there = connection.settings_dict
    url = f"postgres://{there['USER']}:{there['PASSWORD']}@{there['HOST']}:{there['PORT']}/{there['NAME']}"
    env = {**os.environ, "DATABASE_URL": url, "REDIS_URL": BROKER, "PUBLIC_URL": settings.PUBLIC_URL,
           "EMAIL_URL": "consolemail://", "DJANGO_SETTINGS_MODULE": "console.settings"}  # fmt: skip
    with ExitStack() as stack:
        for queue in queues:
            more = {"DATABASE_POOL": parts.pool(queue)} if queue in parts.THREADS else {}
            with (home / f"{queue}.log").open("ab") as out:
                argv = [sys.executable, *parts.worker(queue)]
                stack.callback(end, children.spawn(argv, env=env | more, out=out, cwd=ROOT))
        yield


def test_two_endpoints_that_crawl_leave_room_in_the_workers_that_ask_clouds() -> None:
    assert int(parts.THREADS["sync"]) >= 2 * (turns.AT_ONCE + refreshing.AT_ONCE) + 2
    assert int(parts.THREADS["actions"]) >= 2 * places.WORK_AT_ONCE + 2, "and in that of actions"
    for queue in ("actions", "sync"):
        assert 2 * int(parts.THREADS[queue]) <= int(parts.pool(queue)), "each has a thread that keeps its lease"


@pytest.mark.django_db(transaction=True)
def test_two_clouds_that_crawl_hold_up_no_action_no_mail_no_other_reading_and_no_other_refresh(
    people: People, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    redis.Redis.from_url(BROKER).flushdb()
    monkeypatch.setattr(settings, "REDIS_URL", BROKER)  # where the workers see who looks at what
    valkey.client.cache_clear()
    app = Celery("test", broker=BROKER, set_as_current=False)
    app.conf.update(task_routes=celery.app.conf.task_routes, task_default_queue="default")
    monkeypatch.setattr("console.lib.jobs.bell.current_app", app)
    with ExitStack() as stack:
        site, account = stack.enter_context(served(people, 1))
        CloudAccount.objects.update(next_sync_at=timezone.now() + timedelta(hours=1))
        for slug in ("crawls-1", "crawls-2"):
            crawling = stack.enter_context(serve(Cloud.sized(1)))
            crawling.faults.inject("drip", path="", times=None, pause=5)
            first = account_at(crawling, endpoint__slug=slug)
            for _ in range(9):
                account_at(crawling, endpoint=first.endpoint, customer=first.customer)
        CloudAccount.objects.exclude(pk=account.pk).update(next_sync_at=timezone.now() - timedelta(minutes=1))
        stack.enter_context(workers(tmp_path, "default", "actions", "sync"))
        assert turns.due(timezone.now()) == 2 * turns.AT_ONCE
        reading = SyncRun.objects.filter(state=JobState.RUNNING)
        wait(lambda: reading.count() == 2 * turns.AT_ONCE, 60, "every place of theirs is taken")
        looked_at = [
            ServerFactory(account=one, digest="old")
            for one in CloudAccount.objects.filter(endpoint__slug__startswith="crawls")
        ]
        watching.note(one.pk for one in looked_at)
        assert refreshing.due(timezone.now()) == len(looked_at)
        wait(lambda: held(refreshing.USE) == 2 * refreshing.AT_ONCE, 60, "and every place for refreshes")
        for one in looked_at:
            of_it = Server.objects.filter(pk=one.pk)
            actions.start(of_it, kind="stop", by=people.alice, customer=one.customer)
        wait(lambda: held(places.WORK) == 2 * places.WORK_AT_ONCE, 60, "and every place for actions")

        asked = timezone.now()
        mine = Server.objects.filter(account=account)
        row = actions.start(mine, kind="stop", by=people.alice, customer=people.customer).actions.get()
        sent = mail.queue(people.customer, Membership.objects.get(customer=people.customer, user=people.alice))
        CloudAccount.objects.filter(pk=account.pk).update(next_sync_at=asked)
        wait(lambda: Action.objects.filter(pk=row.pk, ended_at__isnull=False).exists(), CALL, "the action is done")
        wait(lambda: Mail.objects.filter(pk=sent.pk, ended_at__isnull=False).exists(), CALL, "the mail is sent")
        others = SyncRun.objects.filter(account=account, trigger=SyncRun.Trigger.SCHEDULE, state=JobState.DONE)
        wait(lambda: asking(turns.due) and others.exists(), CALL, "another account is read")
        seen = mine.get()
        site.cloud.set_status(seen.external_id, "PAUSED")
        watching.note([seen.pk])
        paused = Server.objects.filter(pk=seen.pk, state="suspended")
        wait(lambda: asking(refreshing.due) and paused.exists(), CALL, "a server that somebody looks at is refreshed")
        assert (timezone.now() - asked).total_seconds() < CALL
        assert reading.count() == 2 * turns.AT_ONCE, "they crawl still"
        # The place of that last refresh is free a moment after what it saw is written; theirs are held on.
        wait(lambda: held(refreshing.USE) == 2 * refreshing.AT_ONCE, CALL, "every place for refreshes is theirs still")
        assert held(places.WORK) == 2 * places.WORK_AT_ONCE, "and every place for actions"
        app.close()
    valkey.client.cache_clear()


def asking(due: Callable[[datetime], int]) -> bool:
    """Ask whose turn it is, as beat does again and again: what somebody holds at that moment is passed over."""
    due(timezone.now())
    return True


def held(use: str) -> int:
    """Places that this use has at the moment."""
    return len(valkey.client().keys(f"places:{use}:*"))
