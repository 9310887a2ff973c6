"""Whose turn it is to be read, and what people see of accounts that wait."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts import breaker, pacing
from accounts.health import health
from accounts.models import CloudAccount, SyncRun
from console.demo.openstack import Site
from console.lib.jobs.rows import JobState
from providers.models import CloudEndpoint, Customer
from servers import tasks, turns
from tests.conftest import People
from tests.factories import AccountFactory, CustomerFactory, EndpointFactory, ServerFactory
from tests.farclouds import account_at
from tests.pages import text

pytestmark = pytest.mark.django_db


def waiting(endpoint: CloudEndpoint, customer: Customer, count: int, minutes: float = 1) -> list[CloudAccount]:
    """Accounts that are due since some minutes."""
    made = AccountFactory.create_batch(count, endpoint=endpoint, customer=customer, sealed="x")
    moment = timezone.now() - timedelta(minutes=minutes)
    CloudAccount.objects.filter(pk__in=[one.pk for one in made]).update(next_sync_at=moment)
    return list(made)


def runs_of() -> Counter[str]:
    """Active runs by organization."""
    return Counter(SyncRun.objects.active().values_list("account__customer__organization", flat=True))


def end_one_of(organization: str) -> None:
    run = SyncRun.objects.active().filter(account__customer__organization=organization).first()
    assert run is not None
    SyncRun.objects.filter(pk=run.pk).update(state=JobState.DONE)


def test_one_endpoint_has_few_runs_at_a_time_and_others_go_beside_it() -> None:
    big, small = EndpointFactory(slug="big"), EndpointFactory(slug="small")
    waiting(big, CustomerFactory(provider=big.provider, organization="Many"), 30, minutes=60)
    waiting(small, CustomerFactory(provider=small.provider, organization="Few"), 2)
    assert turns.due(timezone.now()) == turns.AT_ONCE + 2
    assert runs_of() == {"Many": turns.AT_ONCE, "Few": 2}
    assert turns.due(timezone.now()) == 0, "every place is taken"


def test_a_customer_with_one_account_comes_before_the_hundreds_of_another() -> None:
    endpoint = EndpointFactory()
    waiting(endpoint, CustomerFactory(provider=endpoint.provider, organization="Many"), 50, minutes=60)
    turns.due(timezone.now())
    waiting(endpoint, CustomerFactory(provider=endpoint.provider, organization="Few"), 1, minutes=0)
    end_one_of("Many")
    assert turns.due(timezone.now()) == 1
    assert runs_of() == {"Many": turns.AT_ONCE - 1, "Few": 1}


def test_everybody_gets_a_turn_round_after_round() -> None:
    endpoint = EndpointFactory()
    for name, count in (("A", 9), ("B", 3), ("C", 1)):
        waiting(endpoint, CustomerFactory(provider=endpoint.provider, organization=name), count, minutes=count)
    order: list[str] = []
    while turns.due(timezone.now()):
        order += sorted(SyncRun.objects.active().values_list("account__customer__organization", flat=True))
        SyncRun.objects.active().update(state=JobState.DONE)
    assert order == ["A", "A", "B", "C", "A", "A", "B", "B", *"AAAAA"]


def test_a_slow_endpoint_gets_no_second_run_beside_the_one_that_crawls() -> None:
    endpoint = EndpointFactory()
    waiting(endpoint, CustomerFactory(provider=endpoint.provider), 6)
    assert turns.due(timezone.now()) == turns.AT_ONCE
    crawling, *others = SyncRun.objects.active()
    SyncRun.objects.filter(pk=crawling.pk).update(
        state=JobState.RUNNING, started_at=timezone.now() - turns.SLOW - timedelta(seconds=1)
    )
    SyncRun.objects.filter(pk__in=[run.pk for run in others]).update(state=JobState.DONE)
    assert turns.due(timezone.now()) == 0
    SyncRun.objects.filter(pk=crawling.pk).update(state=JobState.DONE)
    assert turns.due(timezone.now()) == 2


def test_the_queue_never_holds_more_than_a_bounded_number_of_runs() -> None:
    for number in range(turns.MOST // turns.AT_ONCE + 2):
        endpoint = EndpointFactory(slug=f"e{number}")
        waiting(endpoint, CustomerFactory(provider=endpoint.provider), turns.AT_ONCE)
    assert turns.due(timezone.now()) == turns.MOST
    assert turns.due(timezone.now()) == 0
    assert set(Counter(SyncRun.objects.values_list("account__endpoint", flat=True)).values()) <= {3, 4}


@pytest.mark.django_db(transaction=True)
def test_a_run_that_ended_hands_its_place_to_the_next_without_waiting_for_beat(site: Site) -> None:
    first = account_at(site)
    for _ in range(5):
        account_at(site, endpoint=first.endpoint, customer=first.customer)
    tasks.sync_due()
    assert SyncRun.objects.count() == turns.AT_ONCE
    queued = SyncRun.objects.filter(state=JobState.QUEUED)
    while run := queued.first():
        tasks.sync_account(str(run.pk))
    assert SyncRun.objects.filter(state=JobState.DONE).values("account").distinct().count() == 6


def test_an_account_that_missed_two_readings_says_that_it_is_stale(people: People) -> None:
    account = people.account
    account.status = CloudAccount.Status.OK
    now = timezone.now()
    account.last_sync_at = now - timedelta(seconds=2 * pacing.EVERY - 5)
    assert health(account, now).label == "OK"
    account.last_sync_at = now - timedelta(seconds=2 * pacing.EVERY + 5)
    assert health(account, now).stale
    account.save()
    ServerFactory(account=account, name="old")
    said = text(people.browser(people.alice).get("/servers/"))
    assert "Stale, read 10 min ago" in said


def test_a_resting_endpoint_takes_no_turn_from_others() -> None:
    down, up = EndpointFactory(slug="down"), EndpointFactory(slug="up")
    for endpoint in (down, up):
        waiting(endpoint, CustomerFactory(provider=endpoint.provider, organization=endpoint.slug), 2)
    for _ in range(breaker.FAILURES):
        breaker.failed(down.pk)
    assert turns.due(timezone.now()) == 2
    assert runs_of() == {"up": 2}
