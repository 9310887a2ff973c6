"""Servers that a whole listing lacks although they are there: none of them is taken for deleted."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from accounts import linking
from accounts.clouds import cloudstack_wire, openstack
from accounts.models import CloudAccount
from console.demo import cloudstack as cloudstack_demo
from console.demo.openstack import Cloud, Site, serve
from console.demo.wire import Request
from console.lib.jobs.rows import JobState
from servers import confirming, sync
from servers.models import Server
from tests.farclouds import account_at
from tests.test_sync_scale import driver_class, scheduled

pytestmark = pytest.mark.django_db


@pytest.fixture
def account(site: Site) -> CloudAccount:
    made = account_at(site)
    sync.now(made)
    site.requests.clear()
    return made


def missing() -> set[str]:
    return set(Server.objects.filter(missing_since__isnull=False).values_list("external_id", flat=True))


def asked_by_id(site: Site) -> list[str]:
    return [path.rsplit("/", 1)[-1] for _, path in site.requests if "/servers/" in path and "/detail" not in path]


def hide(account: CloudAccount, monkeypatch: pytest.MonkeyPatch, hidden: set[str]) -> None:
    """The cloud's listings lack these."""
    kind = driver_class(account)
    whole = kind.servers  # type: ignore[attr-defined]

    def some(self: Any, known: Any = None) -> Any:
        for page in whole(self, known):
            yield tuple(one for one in page if one.external_id not in hidden)

    monkeypatch.setattr(kind, "servers", some)


@pytest.mark.parametrize("generation", ["modern", "essex", "diablo"])
def test_openstack_loses_no_live_server_when_one_is_deleted_between_two_pages(
    generation: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openstack, "PAGE", 5)
    with serve(Cloud.sized(25, generation=generation)) as site:
        account = account_at(site)
        assert sync.now(account).state == JobState.DONE
        pages: list[str] = []

        def watch(request: Request) -> None:
            if request.path.endswith("/servers/detail"):
                pages.append(request.path)
                if len(pages) == 3:
                    site.cloud.remove(site.cloud.ordered(site.cloud.projects["demo"])[1][0].id)

        site._compute.mood = watch
        run = sync.now(account)
        assert (run.state, len(site.cloud.instances)) == (JobState.DONE, 24)
        assert len(pages) > 5
        assert not missing() & set(site.cloud.instances)


@pytest.mark.parametrize("version", ["3.0.7", "4.20.0.0"])
def test_cloudstack_loses_no_live_server_when_one_is_deleted_between_two_pages(
    version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloudstack_wire, "PAGE", 4)
    with cloudstack_demo.serve(cloudstack_demo.Cloud.sized(0, version)) as site:
        for number in range(18):
            site.cloud.add(f"web-{number}")
        account = account_at(site, endpoint__platform="cloudstack", endpoint__networks=["127.0.0.1/32"])  # type: ignore[arg-type]
        assert sync.now(account).state == JobState.DONE
        deleted: list[str] = []

        def watch(request: Request) -> None:
            asked = dict(request.query)
            if asked.get("command") == "listVirtualMachines" and asked.get("page") == "3" and not deleted:
                # One that stood on a page which was read already: all others move up by one.
                site.cloud.remove(shown[0])
                deleted.append(shown[0])

        shown = [facts.external_id for page in linking.live(account).servers() for facts in page]
        site.befall(watch)
        run = sync.now(account)
        assert run.state == JobState.DONE, run.outcome
        assert deleted
        assert missing() <= set(deleted)


def test_one_that_the_listing_lacks_and_the_cloud_knows_is_brought_up_to_what_it_says(
    site: Site, account: CloudAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = next(iter(site.cloud.instances))
    hide(account, monkeypatch, {hidden})
    site.cloud.set_status(hidden, "PAUSED")
    run = sync.now(account)
    assert (run.state, run.missing, run.changed) == (JobState.DONE, 0, 1)
    assert Server.objects.get(external_id=hidden).state == "suspended"
    assert asked_by_id(site) == [hidden]
    account.refresh_from_db()
    assert account.server_count == 25


def test_what_the_cloud_does_not_know_by_id_is_missing_beside_one_that_it_knows(
    site: Site, account: CloudAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden, deleted, *_ = site.cloud.instances
    hide(account, monkeypatch, {hidden})
    site.cloud.remove(deleted)
    run = sync.now(account)
    assert (run.missing, run.outcome) == (1, "24 servers: 0 new, 0 changed, 1 missing.")
    assert missing() == {deleted}


def test_a_cell_that_is_down_makes_none_of_its_servers_missing_and_the_history_says_so(
    site: Site, account: CloudAccount
) -> None:
    site.cloud.down = frozenset(list(site.cloud.instances)[:3])
    run = sync.now(account)
    assert (run.state, run.missing) == (JobState.DONE, 0)
    assert run.outcome == (
        "25 servers: 0 new, 0 changed, 0 missing."
        " 3 could not be read and stand as they were: the listing left them out."
    )
    assert not missing()
    account.refresh_from_db()
    assert account.unread_count == 3
    assert scheduled(account).mode == "full", "changes never tell of them"
    site.cloud.down = frozenset()
    assert sync.now(account).outcome == "25 servers: 0 new, 0 changed, 0 missing."
    account.refresh_from_db()
    assert account.unread_count == 0
    assert scheduled(account).mode == "changes"


def test_a_cloud_that_wants_fewer_calls_is_asked_no_more_and_nothing_is_missing(
    site: Site, account: CloudAccount
) -> None:
    lost = list(site.cloud.instances)[:3]
    for external_id in lost:
        site.cloud.remove(external_id)
        site.faults.inject("unavailable", times=None, path=f"/servers/{external_id}", retry_after=500)
    assert sync.now(account).state == JobState.DONE
    assert not missing()
    assert len(asked_by_id(site)) == 1


def test_a_cloud_that_fails_at_one_after_the_other_is_let_alone(
    site: Site, account: CloudAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confirming, "FAULTS", 2)
    site.cloud.down = frozenset(list(site.cloud.instances)[:5])
    sync.now(account)
    assert len(asked_by_id(site)) == 2
    assert not missing()


def test_so_many_vanishing_are_frozen_before_anything_is_asked_by_id(
    site: Site, account: CloudAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide(account, monkeypatch, set(list(site.cloud.instances)[:6]))
    run = sync.now(account)
    assert (run.state, asked_by_id(site)) == (JobState.FAILED, [])
    assert "6 of 25 servers vanished" in run.outcome


def test_no_more_than_the_bound_are_asked_for_in_one_reading_and_all_in_time(
    site: Site, account: CloudAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confirming, "MOST", 2)
    lost = set(list(site.cloud.instances)[:5])
    for external_id in lost:
        site.cloud.remove(external_id)
    assert [sync.now(account).missing for _ in range(4)] == [2, 2, 1, 0]
    assert missing() == lost


def test_a_person_who_vouches_for_deletions_need_not_wait_until_all_were_asked_for(
    site: Site, account: CloudAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confirming, "MOST", 2)
    for external_id in list(site.cloud.instances)[:8]:
        site.cloud.remove(external_id)
    assert sync.now(account, accept_missing=True).missing == 8


def test_facts_by_id_of_one_that_a_listing_lacks_count_once(
    site: Site, account: CloudAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = next(iter(site.cloud.instances))
    hide(account, monkeypatch, {hidden})
    kind = driver_class(account)
    plain = kind.server  # type: ignore[attr-defined]
    monkeypatch.setattr(kind, "server", lambda self, wanted: structs.replace(plain(self, wanted), name="renamed"))
    run = sync.now(account)
    assert (run.added, run.changed, run.seen) == (0, 1, 25)
    assert Server.objects.get(external_id=hidden).name == "renamed"
