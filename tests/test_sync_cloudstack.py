"""Sync of a CloudStack account with real PostgreSQL against the simulated cloud."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.clouds.cloudstack import CloudStack
from accounts.models import CloudAccount
from console.demo.cloudstack import Cloud, Site, serve
from console.lib.jobs.rows import JobState
from servers import sync
from servers.models import Server
from tests.factories import AccountFactory
from tests.test_sync_scale import scheduled

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(params=["3.0.7", "4.20.0.0"])
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    with serve(Cloud.sized(0, request.param)) as served:
        for number in range(12):
            served.cloud.add(f"web-{number}")
        yield served


@pytest.fixture
def account(site: Site) -> CloudAccount:
    made: CloudAccount = AccountFactory(
        endpoint__platform="cloudstack", endpoint__url=site.url, endpoint__networks=["127.0.0.1/32"]
    )
    made.close_pending(site.cloud.credentials, 1)
    made.save()
    return made


def test_pushed_keys_are_verified_and_every_server_comes_with_its_facts(site: Site, account: CloudAccount) -> None:
    run = sync.now(account)
    assert (run.state, run.seen, run.added) == (JobState.DONE, 12, 12)
    account.refresh_from_db()
    assert (account.status, account.status_reason, account.server_count) == ("ok", "", 12)
    assert account.version_found == account.speaks == f"CloudStack {site.cloud.version}"
    machine = next(iter(site.cloud.machines.values()))
    server = Server.objects.get(external_id=machine.id)
    assert (server.name, server.state, server.raw_state) == (machine.displayname, "running", "Running")
    assert server.ips
    assert server.size
    assert server.image
    assert server.region
    assert server.memory_mb


def test_what_changed_is_written_and_what_was_destroyed_goes_missing(site: Site, account: CloudAccount) -> None:
    sync.now(account)
    first, second = list(site.cloud.machines.values())[:2]
    site.cloud.touch(first, "Stopped")
    site.cloud.touch(second, "Destroyed")
    run = sync.now(account)
    assert run.state == JobState.DONE, run.outcome
    assert Server.objects.get(external_id=first.id).state == "stopped"
    assert Server.objects.get(external_id=second.id).missing_since is not None


def test_wrong_keys_end_as_bad_credentials_in_the_clouds_words(site: Site, account: CloudAccount) -> None:
    account.close_pending({**site.cloud.credentials, "secret_key": "other"}, 1)
    account.save()
    run = sync.now(account)
    assert run.state == JobState.FAILED
    account.refresh_from_db()
    assert account.status == CloudAccount.Status.BAD_CREDENTIALS
    assert "unable to verify user credentials" in account.status_reason


def test_an_account_that_a_few_calls_list_is_always_read_whole(site: Site, account: CloudAccount) -> None:
    sync.now(account)
    machine = next(iter(site.cloud.machines.values()))
    site.cloud.touch(machine, "Stopped")  # by itself: there is no event of it
    assert (scheduled(account).mode, Server.objects.get(external_id=machine.id).state) == ("full", "stopped")


def test_a_large_account_is_asked_for_events_and_read_whole_every_few_minutes(
    site: Site, account: CloudAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CloudStack, "page", 3)
    sync.now(account)
    told = "full" if site.cloud.version.startswith("3.") else "changes"  # the old ones cannot tell
    assert scheduled(account).mode == told
    CloudAccount.objects.update(swept_at=timezone.now() - timedelta(minutes=14))
    assert scheduled(account).mode == "full", "a server that stopped by itself is in no event"
