"""Actions keep to their account's pace, leave a resting cloud alone, and learn that a cloud was upgraded."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts import breaker, calling, pacing
from accounts.models import CloudAccount
from console.demo.openstack import Site
from console.lib.faults import SlowDown, Unreachable
from servers import sync
from servers.actions import actions, offers
from servers.actions.models import Action
from servers.models import Server
from tests.acting import asked, served, settle, step
from tests.conftest import People

pytestmark = pytest.mark.django_db


@pytest.fixture
def far(people: People) -> Iterator[tuple[Site, CloudAccount]]:
    with served(people, 1) as (site, account):
        yield site, account
        pacing.forget(account.pk)
        breaker.worked(account.endpoint_id)


def stop(people: People) -> Action:
    made = actions.start(Server.objects.all(), kind="stop", by=people.alice, customer=people.customer)
    row: Action = made.actions.get()
    return row


def test_a_cloud_that_wants_fewer_calls_is_heeded_by_all_and_the_row_rests_as_long(people: People, far: Any) -> None:
    site, account = far
    row = stop(people)
    site.faults.inject("too_many", path="/", times=None, retry_after=40)
    step(row)
    assert (row.state, row.called_at) == ("waiting", None)
    assert timedelta(seconds=30) < row.due_at - timezone.now() < timedelta(seconds=120)
    site.faults.clear()
    site.requests.clear()
    with pytest.raises(SlowDown):
        offers.images(account)
    step(row)
    assert (row.state, row.outcome[:40]) == ("waiting", "The cloud asked for fewer calls. It is a")
    assert not site.requests
    pacing.forget(account.pk)  # its time is over
    settle(Action.objects.all())
    row.refresh_from_db()
    assert (row.state, asked(site)) == ("done", ["POST action"])


def test_what_could_not_be_asked_for_two_hours_is_not_asked_any_more(people: People, far: Any) -> None:
    site, account = far
    row = stop(people)
    pacing.heed(account.pk, SlowDown("Fewer, please.", 600))
    Action.objects.update(queued_at=timezone.now() - timedelta(hours=3))
    row.refresh_from_db()
    step(row)
    assert row.state == "failed"
    assert row.outcome.startswith("It was not asked of the cloud. The cloud asked for fewer calls.")
    assert asked(site) == []


def test_a_resting_cloud_is_not_called_and_the_row_says_why_it_waits(people: People, far: Any) -> None:
    site, account = far
    row = stop(people)
    site.requests.clear()
    for _ in range(breaker.FAILURES):
        breaker.failed(account.endpoint_id)
    step(row)
    assert (row.state, row.outcome) == ("queued", calling.RESTING)
    with pytest.raises(Unreachable, match="left alone for a few minutes"):
        offers.sizes(account)
    assert not site.requests
    breaker.worked(account.endpoint_id)
    assert step(row).state in ("waiting", "done")


def test_the_silence_of_a_cloud_is_counted_and_its_answer_ends_the_count(people: People, far: Any) -> None:
    site, account = far
    site.faults.inject("hang_up", path="/", times=None)
    for _ in range(breaker.FAILURES - 1):
        with pytest.raises(Unreachable):
            offers.sizes(account)
    site.faults.clear()
    offers.sizes(account)
    site.faults.inject("hang_up", path="/", times=None)
    with pytest.raises(Unreachable):
        offers.images(account)
    assert not breaker.paused([account.endpoint_id])


@pytest.mark.parametrize("how", ["sync", "action"])
def test_an_upgraded_cloud_is_known_by_its_new_table_without_new_credentials(
    people: People, far: Any, how: str
) -> None:
    _, account = far
    CloudAccount.objects.filter(pk=account.pk).update(generation="essex", version_found="Nova v2")
    if how == "sync":
        sync.now(account)
    else:
        settle(actions.start(Server.objects.all(), kind="stop", by=people.alice, customer=people.customer).actions)
    account.refresh_from_db()
    assert account.generation == "modern"
    assert "v2.1" in account.version_found


def test_a_cloud_that_is_what_it_was_is_not_asked_what_it_is(people: People, far: Any) -> None:
    site, account = far
    sync.now(account)
    account.refresh_from_db()
    site.requests.clear()
    sync.now(account)
    first = len(site.requests)
    CloudAccount.objects.filter(pk=account.pk).update(generation="essex")
    account.refresh_from_db()
    site.requests.clear()
    sync.now(account)
    assert len(site.requests) > first
