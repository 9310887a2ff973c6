"""When a server that its cloud shows no more is gone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from msgspec import structs

from accounts.models import CloudAccount
from console.demo.openstack import Site
from console.lib.jobs.rows import JobState
from servers import comparing, confirming, sync
from servers.agents.models import Agent
from servers.models import Server
from tests.conftest import People
from tests.farclouds import account_at
from tests.pages import rows, text
from tests.test_sync_scale import driver_class

pytestmark = pytest.mark.django_db


def lose(site: Site, account: CloudAccount, count: int = 1) -> list[str]:
    """These servers are deleted in the cloud, and a listing lacked them eleven minutes ago."""
    sync.now(account)
    lost = list(site.cloud.instances)[:count]
    for external_id in lost:
        site.cloud.remove(external_id)
    sync.now(account)
    backdate(account, lost)
    return lost


def backdate(account: CloudAccount, lost: list[str], minutes: float = 11) -> None:
    Server.objects.filter(account=account, external_id__in=lost).update(
        missing_since=timezone.now() - timedelta(minutes=minutes)
    )


def test_a_server_missing_twice_and_unknown_by_its_id_is_gone_and_its_row_stays(people: People, site: Site) -> None:
    account = account_at(site, customer=people.customer, endpoint__slug="lab")
    [lost] = lose(site, account)
    server = Server.objects.get(external_id=lost)
    agent = Agent.objects.create(
        server=server, public_key="d", version="0.1.0", first_seen_at=timezone.now(), last_seen_at=timezone.now()
    )
    run = sync.now(account)
    assert (run.state, run.gone) == (JobState.DONE, 1)
    assert run.outcome == "24 servers: 0 new, 0 changed, 0 missing, 1 gone."
    server.refresh_from_db()
    assert server.gone_at is not None
    agent.refresh_from_db()
    assert (agent.state, agent.server) == (Agent.State.LEAVING, None)
    browser = people.browser(people.alice)
    assert server.name not in rows(browser.get("/servers/"))
    assert "This server is gone" in text(browser.get(f"/servers/{server.pk}/"))
    assert people.browser(people.charlie).get(f"/servers/{server.pk}/").status_code == 404
    assert sync.now(account).gone == 0


def test_one_that_is_missing_for_less_than_ten_minutes_is_not_gone(site: Site, account: CloudAccount) -> None:
    lost = lose(site, account)
    backdate(account, lost, minutes=9.5)
    site.requests.clear()
    assert sync.now(account).gone == 0
    assert not any(path.endswith(lost[0]) for _, path in site.requests)


def test_one_that_answers_by_its_id_is_not_gone(site: Site, account: CloudAccount, monkeypatch: Any) -> None:
    [lost] = lose(site, account)
    kind, other = driver_class(account), Server.objects.exclude(external_id=lost).earliest("name")
    plain = kind.server  # type: ignore[attr-defined]
    monkeypatch.setattr(
        kind, "server", lambda self, wanted: structs.replace(plain(self, other.external_id), external_id=wanted)
    )
    run = sync.now(account)
    assert (run.gone, run.changed) == (0, 1)
    assert Server.objects.get(external_id=lost).missing_since is None


def test_a_cloud_in_trouble_confirms_nothing_and_the_listing_counts(site: Site, account: CloudAccount) -> None:
    [lost] = lose(site, account)
    site.faults.inject("broken", times=None, path=f"/servers/{lost}")
    run = sync.now(account)
    assert (run.state, run.gone) == (JobState.DONE, 0)
    assert Server.objects.get(external_id=lost).gone_at is None


def test_so_many_going_at_once_freeze_until_staff_vouch_for_them(site: Site, account: CloudAccount) -> None:
    sync.now(account)
    lost = list(site.cloud.instances)[:8]
    for part in (lost[:4], lost[4:]):
        for external_id in part:
            site.cloud.remove(external_id)
        assert sync.now(account).state == JobState.DONE, "each time too few to be frozen"
    backdate(account, lost)
    run = sync.now(account)
    assert (run.state, run.gone) == (JobState.FAILED, 0)
    assert "8 of 25 servers would be gone at once, so nothing was changed" in run.outcome
    assert not Server.objects.filter(gone_at__isnull=False).exists()
    assert sync.now(account, accept_missing=True).gone == 8


def test_those_that_staff_vouched_for_when_they_vanished_do_not_freeze_again(site: Site, account: CloudAccount) -> None:
    sync.now(account)
    for external_id in list(site.cloud.instances)[:10]:
        site.cloud.remove(external_id)
    assert sync.now(account).state == JobState.FAILED
    assert sync.now(account, accept_missing=True).missing == 10
    later = timezone.now() + comparing.TWICE + timedelta(seconds=1)
    account.refresh_from_db()
    found = comparing.compare(account.pk, lambda known: [])
    found.absent = [one for one in found.absent if Server.objects.filter(external_id=one[0]).exists()]
    assert confirming.overdue(found, later, account.vouched_at) == 0
    assert confirming.overdue(found, later, None) == 10


def test_one_that_comes_back_from_being_gone_is_in_the_lists_again(site: Site, account: CloudAccount) -> None:
    [lost] = lose(site, account)
    sync.now(account)
    row = Server.objects.get(external_id=lost)
    assert row.gone_at is not None
    made = site.cloud.add("back")
    del site.cloud.instances[made.id]
    made.id = lost
    site.cloud.instances[lost] = made
    site.cloud._order.clear()
    sync.now(account)
    row.refresh_from_db()
    assert (row.gone_at, row.missing_since) == (None, None)
