"""Which accounts are read when: the schedule, the breaker, and the Celery shells."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from accounts import breaker
from accounts.models import CloudAccount, SyncRun
from console.demo.openstack import Cloud, serve
from console.lib import audit
from console.lib.jobs.rows import JobState
from providers import customers
from providers.models import CloudEndpoint, Customer, Provider
from servers import sync, tasks, turns
from servers.models import Server
from tests.factories import AccountFactory
from tests.farclouds import account_at

pytestmark = pytest.mark.django_db  # those that need real commits say so


@pytest.fixture
def account() -> CloudAccount:
    made: CloudAccount = AccountFactory()
    made.close_pending({"username": "u", "password": "p", "project": "p"}, 1)
    made.promote_pending()
    made.save()
    return made


def test_an_account_whose_time_has_come_gets_one_run(account: CloudAccount) -> None:
    assert turns.due(timezone.now()) == 1
    run = SyncRun.objects.get()
    assert (run.account_id, run.trigger, run.state) == (account.pk, "schedule", "queued")
    assert turns.due(timezone.now()) == 0
    CloudAccount.objects.update(next_sync_at=timezone.now())
    assert turns.due(timezone.now()) == 0, "one active run an account"


def test_an_account_is_not_due_before_its_time(account: CloudAccount) -> None:
    CloudAccount.objects.update(next_sync_at=timezone.now() + timedelta(minutes=1))
    assert turns.due(timezone.now()) == 0
    assert turns.due(timezone.now() + timedelta(minutes=2)) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda: Customer.objects.update(status="suspended"),
        lambda: Customer.objects.update(status="closed"),
        lambda: Provider.objects.update(status="suspended"),
        lambda: Provider.objects.update(status="pending"),
        lambda: CloudEndpoint.objects.update(enabled=False),
        lambda: CloudAccount.objects.update(removed_at=timezone.now()),
        lambda: CloudAccount.objects.update(sealed=""),
    ],
)
def test_nothing_is_due_of_what_is_suspended_off_removed_or_without_credentials(
    account: CloudAccount, change: Callable[[], Any]
) -> None:
    change()
    assert turns.due(timezone.now()) == 0
    assert not SyncRun.objects.exists()


def test_a_run_that_was_queued_before_a_suspension_does_not_call(account: CloudAccount) -> None:
    SyncRun.objects.create(account=account)
    Provider.objects.update(status="suspended")
    run = sync.now(account)
    assert (run.state, run.outcome) == (JobState.CANCELED, "The provider is suspended.")


def test_suspending_a_customer_stops_its_syncs_and_resuming_starts_them(account: CloudAccount) -> None:
    turns.due(timezone.now())
    customers.suspend(account.customer, audit.SYSTEM)
    assert SyncRun.objects.get().state == JobState.CANCELED
    CloudAccount.objects.update(next_sync_at=timezone.now() + timedelta(hours=1))
    customers.resume(account.customer, audit.SYSTEM)
    assert turns.due(timezone.now()) == 1


@pytest.mark.django_db(transaction=True)
def test_two_beats_at_once_make_one_run_an_account() -> None:
    for _ in range(10):
        made = AccountFactory()
        made.close_pending({"username": "u", "password": "p", "project": "p"}, 1)
        made.save()
    start = threading.Barrier(4)

    def beat() -> None:
        start.wait(10)
        turns.due(timezone.now())
        connection.close()

    beats = [threading.Thread(target=beat) for _ in range(4)]
    for thread in beats:
        thread.start()
    for thread in beats:
        thread.join(30)
    assert sorted(SyncRun.objects.values_list("account_id", flat=True)) == sorted(
        CloudAccount.objects.values_list("pk", flat=True)
    )


def test_an_endpoint_that_is_down_rests_after_five_failures_and_wakes_when_one_works() -> None:
    with serve(Cloud.sized(1)) as site:
        account = account_at(site)
        other = account_at(site, endpoint=account.endpoint, customer=account.customer)
        site.faults.inject("hang_up", times=None, path="/")
        for _ in range(breaker.FAILURES):
            assert breaker.paused([account.endpoint_id]) == set()
            sync.now(account)
        assert breaker.paused([account.endpoint_id]) == {account.endpoint_id}
        CloudAccount.objects.update(next_sync_at=timezone.now())
        assert turns.due(timezone.now()) == 0
        assert all(moment > timezone.now() for moment in CloudAccount.objects.values_list("next_sync_at", flat=True))
        site.faults.clear()
        assert sync.now(other).state == JobState.DONE
        CloudAccount.objects.update(next_sync_at=timezone.now())
        assert turns.due(timezone.now()) == 2


def test_a_cloud_that_answers_no_is_not_down() -> None:
    with serve(Cloud.sized(1)) as site:
        account = account_at(site)
        site.faults.inject("forbidden", times=None)
        for _ in range(breaker.FAILURES + 1):
            sync.now(account)
    assert breaker.paused([account.endpoint_id]) == set()


@pytest.mark.django_db(transaction=True)
def test_the_task_answers_a_ring_and_a_second_ring_finds_nothing_to_do() -> None:
    with serve(Cloud.sized(3)) as site:
        account_at(site)
        tasks.sync_due()
        run = SyncRun.objects.get()
        tasks.sync_account(str(run.pk))
        calls = len(site.requests)
        tasks.sync_account(str(run.pk))
        assert len(site.requests) == calls
    run.refresh_from_db()
    assert (run.state, run.seen, run.attempts) == (JobState.DONE, 3, 1)
    assert Server.objects.count() == 3


@pytest.mark.django_db(transaction=True)
def test_a_run_whose_worker_died_is_taken_up_again() -> None:
    with serve(Cloud.sized(3)) as site:
        account = account_at(site)
        run = SyncRun.objects.create(
            account=account, state=JobState.RUNNING, fence=7, leased_until=timezone.now() - timedelta(seconds=1)
        )
        tasks.sync_account(str(run.pk))
    run.refresh_from_db()
    assert (run.state, run.fence, run.seen) == (JobState.DONE, 8, 3)
