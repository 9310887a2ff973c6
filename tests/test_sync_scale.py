"""What is read between whole listings: only what changed, unless there is doubt."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from accounts import linking
from accounts.models import CloudAccount, SyncRun
from console.demo.openstack import Site
from console.lib.jobs.leases import claim
from console.lib.jobs.rows import JobState
from servers import reading, sync
from servers.models import Server
from tests.conftest import People
from tests.farclouds import account_at
from tests.pages import text

pytestmark = pytest.mark.django_db


def scheduled(account: CloudAccount) -> SyncRun:
    """A run as the schedule makes it, worked here."""
    return worked(SyncRun(account=account))


def worked(run: SyncRun) -> SyncRun:
    run.save()
    [(held, lease)] = claim(SyncRun.objects.filter(pk=run.pk), 30)
    sync.perform(held, lease)
    run.refresh_from_db()
    return run


def driver_class(account: CloudAccount) -> type:
    return type(linking.live(account))


def test_after_a_whole_listing_the_schedule_asks_only_for_what_changed(site: Site, account: CloudAccount) -> None:
    first = scheduled(account)
    assert (first.mode, first.seen) == ("full", 25)
    changed, new = next(iter(site.cloud.instances)), site.cloud.add("fresh")
    site.cloud.set_status(changed, "PAUSED")
    site.requests.clear()
    run = scheduled(account)
    assert (run.mode, run.added, run.changed, run.missing) == ("changes", 1, 1, 0)
    assert run.outcome == "Changes only: 1 new, 1 changed, 0 missing."
    assert any("changes-since" in path for _, path in site.requests)
    assert Server.objects.get(external_id=changed).state == "suspended"
    assert Server.objects.filter(external_id=new.id).exists()
    account.refresh_from_db()
    assert account.server_count == 26


def test_the_changes_are_asked_for_with_an_overlap_from_where_the_last_reading_began(
    site: Site, account: CloudAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    before = timezone.now()
    scheduled(account)
    account.refresh_from_db()
    assert account.changes_from is not None
    assert before <= account.changes_from <= timezone.now()
    kind = driver_class(account)
    monkeypatch.setattr(kind, "changes", lambda self, since: asked.append(since) or ((), frozenset()))
    began = account.changes_from
    scheduled(account)
    assert asked == [began - timedelta(seconds=120)]


def test_a_server_that_the_changes_call_deleted_is_missing_and_a_whole_listing_follows(
    site: Site, account: CloudAccount
) -> None:
    scheduled(account)
    lost = next(iter(site.cloud.instances))
    site.cloud.remove(lost)
    run = scheduled(account)
    assert (run.mode, run.missing) == ("changes", 1)
    account.refresh_from_db()
    assert account.server_count == 24
    assert Server.objects.get(external_id=lost).missing_since is not None
    assert scheduled(account).mode == "full", "whether it is gone, only whole listings say"


def test_so_many_deletions_among_the_changes_freeze_the_account(site: Site, account: CloudAccount) -> None:
    scheduled(account)
    for external_id in list(site.cloud.instances)[:6]:
        site.cloud.remove(external_id)
    run = scheduled(account)
    assert (run.mode, run.state) == ("changes", JobState.FAILED)
    assert "6 of 25 servers vanished" in run.outcome
    assert not Server.objects.filter(missing_since__isnull=False).exists()


@pytest.mark.parametrize("doubt", ["failed", "credentials", "asked", "command", "worker died", "hour", "no table"])
def test_any_doubt_means_a_whole_listing(
    site: Site, account: CloudAccount, doubt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduled(account)
    account.refresh_from_db()
    run = SyncRun(account=account)
    match doubt:
        case "failed":
            site.faults.inject("broken", times=None)
            assert scheduled(account).state == JobState.FAILED
            site.faults.clear()
        case "credentials":
            account.close_pending(site.cloud.credentials, 2)
            account.save()
        case "asked":
            run.trigger = SyncRun.Trigger.PERSON
        case "command":
            run.trigger = SyncRun.Trigger.COMMAND
        case "worker died":
            run.attempts = 1
        case "hour":
            CloudAccount.objects.update(swept_at=timezone.now() - reading.SWEEP)
        case "no table":
            monkeypatch.setattr(driver_class(account), "capabilities", None)
    run = worked(run)
    assert (run.state, run.mode, run.seen) == (JobState.DONE, "full", 25)


def test_the_history_says_what_was_read(people: People, site: Site) -> None:
    account = account_at(site, customer=people.customer, endpoint__slug="lab")
    scheduled(account)
    scheduled(account)
    said = text(people.browser(people.alice).get(f"/accounts/{account.pk}/"))
    assert "Schedule, changes" in said
