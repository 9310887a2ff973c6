"""Servers that somebody looks at, or that have work under way, are asked for by id between two readings."""

from __future__ import annotations

import asyncio
import json
from contextlib import AbstractContextManager, ExitStack
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone

from accounts import breaker, pacing, places
from accounts.clouds.operations import Rate
from accounts.models import CloudAccount, SyncRun
from console.demo.openstack import Site
from console.lib import notify
from console.lib.jobs.rows import JobState
from console.lib.valkey import client
from servers import refreshing, sync, tasks, watching
from servers.installs.models import Install, InstallBatch
from servers.models import Server
from tests.conftest import People
from tests.factories import ServerFactory
from tests.farclouds import account_at
from tests.test_notify import Page, live

pytestmark = pytest.mark.django_db


@pytest.fixture
def account(site: Site) -> CloudAccount:
    made = account_at(site)
    sync.now(made)
    site.requests.clear()
    return made


@pytest.fixture
def rung(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """What would have been rung."""
    heard: list[tuple[str, Any]] = []
    monkeypatch.setattr(refreshing, "ring_now", lambda name, pk: heard.append((name, pk)) or True)
    return heard


def listings(site: Site) -> list[str]:
    return [path for _, path in site.requests if "/servers/detail" in path]


def test_one_server_is_refreshed_by_its_id_through_the_same_write(
    site: Site, account: CloudAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[tuple[str, str]] = []
    monkeypatch.setattr(notify, "changed", lambda customer, what: heard.append((str(customer), what)))
    server, other = Server.objects.all()[:2]
    for one in (server, other):
        site.cloud.set_status(one.external_id, "PAUSED")
    assert refreshing.refresh(account.pk, [server.pk]) == 1
    server.refresh_from_db()
    other.refresh_from_db()
    assert (server.state, other.state) == ("suspended", "running")
    assert not listings(site)
    assert (str(account.customer_id), f"server-{server.pk}") in heard
    digest = server.digest
    refreshing.refresh(account.pk, [server.pk])
    server.refresh_from_db()
    assert server.digest == digest


def test_twenty_servers_cost_twenty_calls_and_sizes_and_images_are_asked_for_once(
    site: Site, account: CloudAccount
) -> None:
    servers = list(Server.objects.all()[:20])
    refreshing.refresh(account.pk, [server.pk for server in servers])
    asked = [path for _, path in site.requests]
    assert sum("/servers/" in path for path in asked) == 20
    assert sum("/flavors/" in path for path in asked) == 1
    assert sum("/images/" in path for path in asked) == 1
    site.requests.clear()
    refreshing.refresh(account.pk, [server.pk for server in servers])
    assert len(site.requests) == 20, "the driver of this process stayed signed in, and knows the names still"


def test_one_that_the_cloud_does_not_know_is_stamped_and_the_next_reading_is_a_whole_listing(
    site: Site, account: CloudAccount
) -> None:
    server = Server.objects.earliest("name")
    site.cloud.remove(server.external_id)
    refreshing.refresh(account.pk, [server.pk])
    server.refresh_from_db()
    assert server.missing_since is not None
    assert server.gone_at is None, "that needs two whole listings"
    account.refresh_from_db()
    assert account.changes_from is None


def test_many_that_are_unknown_at_once_change_nothing_but_raise_doubt(site: Site, account: CloudAccount) -> None:
    servers = list(Server.objects.all()[:6])
    for server in servers:
        site.cloud.remove(server.external_id)
    refreshing.refresh(account.pk, [server.pk for server in servers])
    assert not Server.objects.filter(missing_since__isnull=False).exists()
    account.refresh_from_db()
    assert account.changes_from is None


@pytest.mark.parametrize("kind", ["broken", "unauthorized", "unavailable", "hang_up", "rubbish"])
def test_a_fault_changes_no_row_and_no_status(site: Site, account: CloudAccount, kind: str) -> None:
    site.faults.inject(kind, times=None)
    server = Server.objects.earliest("name")
    assert refreshing.refresh(account.pk, [server.pk]) == 0
    account.refresh_from_db()
    assert (account.status, account.failures) == ("ok", 0)
    assert Server.objects.filter(missing_since__isnull=False).count() == 0


def test_a_cloud_that_asked_for_fewer_calls_is_not_asked_again(site: Site, account: CloudAccount) -> None:
    site.faults.inject("unavailable", times=None, retry_after=500)
    server = Server.objects.earliest("name")
    refreshing.refresh(account.pk, [server.pk])
    site.faults.clear()
    site.requests.clear()
    assert refreshing.refresh(account.pk, [server.pk]) == 0
    assert not site.requests


def test_an_account_that_was_removed_in_between_is_not_written(
    site: Site, account: CloudAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server.objects.earliest("name")
    site.cloud.set_status(server.external_id, "PAUSED")
    asked = refreshing._asked

    def slow(account: CloudAccount, ids: Any) -> Any:
        answer = asked(account, ids)
        CloudAccount.objects.filter(pk=account.pk).update(removed_at=timezone.now(), sealed="")
        return answer

    monkeypatch.setattr(refreshing, "_asked", slow)
    assert refreshing.refresh(account.pk, [server.pk]) == 0
    server.refresh_from_db()
    assert server.state == "running"


def test_one_that_we_deleted_while_its_cloud_was_asked_stays_gone(
    site: Site, account: CloudAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server.objects.earliest("name")
    site.cloud.set_status(server.external_id, "PAUSED")
    asked = refreshing._asked

    def slow(account: CloudAccount, ids: Any) -> Any:
        answer = asked(account, ids)
        Server.objects.filter(pk=server.pk).update(gone_at=timezone.now())
        return answer

    monkeypatch.setattr(refreshing, "_asked", slow)
    refreshing.refresh(account.pk, [server.pk])
    server.refresh_from_db()
    assert (server.state, server.gone_at is None) == ("running", False)


@pytest.mark.parametrize("state", ["suspended", "removed", "off"])
def test_what_may_not_be_read_is_not_refreshed(site: Site, account: CloudAccount, state: str) -> None:
    server = Server.objects.earliest("name")
    match state:
        case "suspended":
            account.customer.status = "suspended"
            account.customer.save()
        case "removed":
            CloudAccount.objects.update(removed_at=timezone.now())
        case "off":
            account.endpoint.enabled = False
            account.endpoint.save()
    assert refreshing.refresh(account.pk, [server.pk]) == 0
    assert not site.requests


# --- whom it concerns


def test_what_somebody_looked_at_is_wanted_for_a_minute(account: CloudAccount, rung: list[Any]) -> None:
    now = timezone.now()
    watching.note([Server.objects.earliest("name").pk], at=now.timestamp())
    assert refreshing.due(now + timedelta(seconds=59)) == 1
    assert rung == [(refreshing.REFRESH, account.pk)]
    client().delete(f"servers:refreshed:{account.pk}")
    assert refreshing.due(now + timedelta(seconds=61)) == 0


def test_an_account_is_asked_once_in_ten_seconds_whoever_looks(account: CloudAccount, rung: list[Any]) -> None:
    watching.note(Server.objects.values_list("pk", flat=True)[:3])
    assert [refreshing.due(timezone.now()) for _ in range(3)] == [1, 0, 0]
    assert 0 < client().pttl(f"servers:refreshed:{account.pk}") <= 10_000


def test_more_than_twenty_wanted_servers_make_one_whole_reading(account: CloudAccount, rung: list[Any]) -> None:
    now = timezone.now()
    watching.note(Server.objects.values_list("pk", flat=True))
    assert refreshing.due(now) == 0, "it was read just now"
    later = now + timedelta(seconds=refreshing.EVERY + 1)
    assert refreshing.due(later) == 1
    account.refresh_from_db()
    assert account.next_sync_at == later
    assert rung == []


def test_where_more_accounts_are_wanted_than_one_look_asks_all_of_them_get_their_turn(
    account: CloudAccount, rung: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refreshing, "ACCOUNTS", 2)
    others = [ServerFactory(account__status="ok", account__sealed="x") for _ in range(4)]
    watching.note([Server.objects.filter(account=account).earliest("name").pk, *(one.pk for one in others)])
    assert [refreshing.due(timezone.now()) for _ in range(4)] == [2, 2, 1, 0]
    assert {pk for _, pk in rung} == {account.pk, *(one.account_id for one in others)}


def test_an_account_whose_readings_take_long_is_not_hurried_all_the_time(account: CloudAccount) -> None:
    SyncRun.objects.update(seconds=20.0)
    now = timezone.now()
    assert not refreshing.hurry(account.pk, now + timedelta(seconds=100))
    assert refreshing.hurry(account.pk, now + timedelta(seconds=125))


def test_a_cloud_with_limits_is_hurried_less_often(account: CloudAccount) -> None:
    pacing.learn(account.pk, [Rate(10, 60, "POST")])
    now = timezone.now()
    assert not refreshing.hurry(account.pk, now + timedelta(seconds=15))
    assert refreshing.hurry(account.pk, now + timedelta(seconds=22))


def test_one_that_fails_keeps_its_pause_however_many_look(account: CloudAccount) -> None:
    CloudAccount.objects.update(failures=3)
    assert not refreshing.hurry(account.pk, timezone.now() + timedelta(hours=1))


def test_a_server_with_an_install_under_way_is_wanted_and_no_other(account: CloudAccount, rung: list[Any]) -> None:
    server, other = Server.objects.all()[:2]
    batch = InstallBatch.objects.create(customer=account.customer, ssh_user="root")
    Install.objects.create(batch=batch, server=server, state=JobState.RUNNING)
    Install.objects.create(batch=batch, server=other, state=JobState.DONE)
    assert refreshing.due(timezone.now()) == 1
    assert refreshing._wanted(timezone.now())[account.pk][1] == [server.pk]


def test_an_endpoint_that_rests_is_left_alone(account: CloudAccount, rung: list[Any]) -> None:
    watching.note([Server.objects.earliest("name").pk])
    for _ in range(breaker.FAILURES):
        breaker.failed(account.endpoint_id)
    assert refreshing.due(timezone.now()) == 0


def test_the_ring_is_answered_with_what_is_wanted_at_most_twenty(site: Site, account: CloudAccount) -> None:
    watching.note(Server.objects.values_list("pk", flat=True))
    assert refreshing.refresh_wanted(account.pk, timezone.now()) == refreshing.BY_ID
    assert pacing.known(account.pk) is not None


# --- how pages tell


def looked() -> set[Any]:
    return watching.looked_at(timezone.now().timestamp())


def test_the_list_and_the_servers_page_say_what_they_show(people: People) -> None:
    mine = ServerFactory.create_batch(3, account=people.account)
    other = ServerFactory()
    browser = people.browser(people.alice)
    browser.get("/servers/")
    assert looked() >= {server.pk for server in mine}
    late = ServerFactory(account=people.account)
    browser.get(f"/servers/{late.pk}/")
    browser.get(f"/servers/{other.pk}/")
    assert looked() & {late.pk, other.pk} == {late.pk}


@pytest.mark.django_db(transaction=True)
def test_an_open_page_says_so_again_and_foreign_servers_do_not_count(people: People) -> None:
    mine, foreign = ServerFactory(account=people.account), ServerFactory()
    browser = people.browser(people.alice)

    async def scenario() -> None:
        page = Page(browser)
        assert (await page.next())["type"] == "websocket.accept"
        await page.joined(people.customer.pk)
        for said in ("[]", "{", '{"looking": "all"}', '{"looking": [1]}', '{"looking": ["x"]}',
                     json.dumps({"looking": [str(mine.pk), str(foreign.pk)]})):  # fmt: skip
            page.to_app.put_nowait({"type": "websocket.receive", "text": said})
        async with asyncio.timeout(5):
            while not (seen := await sync_to_async(looked)() & {mine.pk, foreign.pk}):
                await asyncio.sleep(0.01)
        assert seen == {mine.pk}
        await page.leave()

    live(scenario)


def a_place(endpoint: Any) -> AbstractContextManager[bool]:
    return places.place(refreshing.USE, endpoint, refreshing.AT_ONCE, refreshing.LONGEST)


def test_an_endpoint_has_few_refreshes_at_a_time_and_the_next_comes_when_one_has_ended(
    site: Site, account: CloudAccount
) -> None:
    watching.note([Server.objects.earliest("name").pk])
    with ExitStack() as others:
        for _ in range(refreshing.AT_ONCE):
            assert others.enter_context(a_place(account.endpoint_id))
        assert refreshing.refresh_wanted(account.pk, timezone.now()) == 0
        assert not site.requests
        with a_place(account.pk) as elsewhere:
            assert elsewhere, "other endpoints have places of their own"
    assert refreshing.refresh_wanted(account.pk, timezone.now()) == 1


def test_a_refresh_that_takes_long_leaves_the_rest_to_the_next(
    site: Site, account: CloudAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refreshing, "WITHIN", -1.0)
    assert refreshing.refresh(account.pk, list(Server.objects.values_list("pk", flat=True)[:3])) == 0
    assert not site.requests
    assert not breaker.paused([account.endpoint_id])


@pytest.mark.django_db(transaction=True)
def test_the_message_that_is_rung_refreshes_what_somebody_looks_at(site: Site, account: CloudAccount) -> None:
    server = Server.objects.earliest("name")
    site.cloud.set_status(server.external_id, "PAUSED")
    watching.note([server.pk])
    tasks.refresh(str(account.pk))
    server.refresh_from_db()
    assert server.state == "suspended"
