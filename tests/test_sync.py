"""Sync of an account with real PostgreSQL against a simulated cloud: what it writes, and what it never loses."""

from __future__ import annotations

import time
from datetime import timedelta
from io import StringIO
from typing import Any
from uuid import RFC_4122

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from accounts import pacing
from accounts.clouds import openstack
from accounts.models import CloudAccount, SyncRun
from console.demo.openstack import Cloud, Nic, Site, serve
from console.lib import notify
from console.lib.denials import Denied
from console.lib.jobs.leases import Lost, claim
from console.lib.jobs.rows import JobState
from console.lib.outbound import Session
from servers import sync
from servers.models import Server
from tests.factories import AccountFactory, ServerFactory
from tests.farclouds import account_at

pytestmark = pytest.mark.django_db  # those that need real commits say so


def versions(account: CloudAccount) -> dict[str, Any]:
    """Each row's transaction id: a row that was written again has another one."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT external_id, xmin::text FROM servers_server WHERE account_id = %s", [account.pk])
        return dict(cursor.fetchall())


def counts(run: SyncRun) -> tuple[int, int, int, int]:
    return run.seen, run.added, run.changed, run.missing


@pytest.mark.django_db(transaction=True)
def test_the_first_sync_brings_every_server_with_its_facts(site: Site, account: CloudAccount) -> None:
    instance = site.cloud.add(
        "web \u00e9t\u00e9",
        addresses={"dmz": [Nic("10.1.2.3", mac="fa:16:3e:00:00:01"), Nic("203.0.113.9", kind="floating")]},
    )
    run = sync.now(account)
    assert (run.state, counts(run)) == (JobState.DONE, (26, 26, 0, 0))
    assert run.outcome == "26 servers: 26 new, 0 changed, 0 missing."
    assert run.calls == len(site.requests)
    assert run.seconds is not None
    account.refresh_from_db()
    assert (account.status, account.status_reason, account.server_count) == ("ok", "", 26)
    assert account.last_sync_at is not None
    server = Server.objects.get(external_id=instance.id)
    assert (server.customer_id, server.account_id) == (account.customer_id, account.pk)
    assert (server.name, server.state, server.raw_state) == ("web \u00e9t\u00e9", "running", "ACTIVE")
    assert server.ips == ["10.1.2.3", "203.0.113.9"]
    assert server.address == "203.0.113.9"
    assert server.addresses[0] == {
        "ip": "10.1.2.3", "version": 4, "kind": "fixed", "network": "dmz", "mac": "fa:16:3e:00:00:01"
    }  # fmt: skip
    assert (server.size, server.cpus, server.memory_mb, server.disk_gb) == ("m1.tiny", 1, 512, 1)
    assert (server.region, server.missing_since) == ("RegionOne", None)
    assert server.cloud_created_at is not None
    assert abs(server.cloud_created_at - instance.created) < timedelta(seconds=1)


@pytest.mark.django_db(transaction=True)
def test_servers_get_ids_in_the_order_of_their_listings(site: Site, account: CloudAccount) -> None:
    sync.now(account)
    first = list(Server.objects.order_by("id").values_list("external_id", flat=True))
    assert first == list(site.cloud.instances)
    later = site.cloud.add("later")
    sync.now(account)
    assert list(Server.objects.order_by("id").values_list("external_id", flat=True)) == [*first, later.id]
    ids = list(Server.objects.values_list("id", flat=True))
    assert {(one.version, one.variant) for one in ids} == {(7, RFC_4122)}
    made = [one.int >> 80 for one in ids]  # milliseconds since 1970
    assert all(0 <= time.time() * 1000 - at < 600_000 for at in made)


def test_a_sync_that_finds_nothing_new_writes_no_server(account: CloudAccount) -> None:
    sync.now(account)
    before = versions(account)
    run = sync.now(account)
    assert counts(run) == (25, 0, 0, 0)
    assert versions(account) == before


def test_only_what_changed_is_written_and_the_row_keeps_its_id(site: Site, account: CloudAccount) -> None:
    sync.now(account)
    before, ids = versions(account), dict(Server.objects.values_list("external_id", "pk"))
    changed = next(iter(site.cloud.instances))
    site.cloud.set_status(changed, "PAUSED")
    assert counts(sync.now(account)) == (25, 0, 1, 0)
    after = versions(account)
    assert [external_id for external_id in after if after[external_id] != before[external_id]] == [changed]
    assert dict(Server.objects.values_list("external_id", "pk")) == ids
    assert Server.objects.get(external_id=changed).state == "suspended"


def test_a_missing_server_is_stamped_and_kept_and_clears_when_it_is_back(site: Site, account: CloudAccount) -> None:
    sync.now(account)
    gone = next(iter(site.cloud.instances.values()))
    site.cloud.remove(gone.id)
    assert counts(sync.now(account)) == (24, 0, 0, 1)
    first = Server.objects.get(external_id=gone.id).missing_since
    assert first is not None
    assert counts(sync.now(account)) == (24, 0, 0, 0)
    assert Server.objects.get(external_id=gone.id).missing_since == first
    gone.status = "ACTIVE"
    site.cloud.instances[gone.id] = gone
    site.cloud._order.clear()
    sync.now(account)
    assert Server.objects.get(external_id=gone.id).missing_since is None
    assert Server.objects.count() == 25


def test_many_vanishing_at_once_freeze_the_account_and_change_nothing(site: Site, account: CloudAccount) -> None:
    sync.now(account)
    before = versions(account)
    for external_id in list(site.cloud.instances)[:6]:
        site.cloud.remove(external_id)
    run = sync.now(account)
    account.refresh_from_db()
    assert (run.state, account.status) == (JobState.FAILED, "error")
    assert "6 of 25 servers vanished" in account.status_reason
    assert "nothing was changed" in account.status_reason
    assert versions(account) == before
    accepted = sync.now(account, accept_missing=True)
    account.refresh_from_db()
    assert (counts(accepted), account.status, account.server_count) == ((19, 0, 0, 6), "ok", 19)
    assert Server.objects.filter(missing_since__isnull=False).count() == 6


@pytest.mark.parametrize(("had", "gone", "frozen"), [(25, 5, False), (25, 6, True), (4, 3, False), (4, 4, True)])
def test_the_freeze_needs_more_than_a_fifth_and_more_than_three(had: int, gone: int, frozen: bool) -> None:
    with serve(Cloud.sized(had)) as site:
        account = account_at(site)
        sync.now(account)
        for external_id in list(site.cloud.instances)[:gone]:
            site.cloud.remove(external_id)
        assert (sync.now(account).state == JobState.FAILED) is frozen
        assert Server.objects.filter(missing_since__isnull=False).count() == (0 if frozen else gone)


@pytest.mark.parametrize("count", [0, 1, 10, 11, 30])
def test_every_count_around_the_page_is_whole(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openstack, "PAGE", 10)
    with serve(Cloud.sized(count, generation="essex")) as site:
        account = account_at(site)
        assert counts(sync.now(account)) == (count, count, 0, 0)
        assert set(Server.objects.values_list("external_id", flat=True)) == set(site.cloud.instances)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("unauthorized", "bad_credentials"),
        ("forbidden", "refused"),
        ("redirect", "refused"),
        ("over_limit", "unreachable"),
        ("unavailable", "unreachable"),
        ("truncated", "unreachable"),
        ("hang_up", "unreachable"),
        ("broken", "error"),
        ("rubbish", "error"),
        ("wrong_shape", "error"),
        ("html", "error"),
        ("bomb", "error"),
    ],
)
@pytest.mark.parametrize("after", [0, 1])
def test_a_cloud_in_trouble_becomes_a_status_with_a_reason_and_loses_nothing(
    site: Site, account: CloudAccount, kind: str, status: str, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openstack, "PAGE", 10)
    sync.now(account)
    before, listed_at = versions(account), CloudAccount.objects.get().last_sync_at
    site.cloud.set_status(next(iter(site.cloud.instances)), "PAUSED")
    site.faults.inject(kind, after=after, times=None, size=9 * 2**20)
    run = sync.now(account)
    account.refresh_from_db()
    assert (run.state, account.status, account.failures) == (JobState.FAILED, status, 1)
    assert account.status_reason == run.outcome != ""
    assert versions(account) == before
    assert (account.server_count, account.last_sync_at) == (25, listed_at)
    site.faults.clear()
    pacing.forget(account.pk)  # the time that the cloud asked for is over
    assert counts(sync.now(account)) == (25, 0, 1, 0)
    account.refresh_from_db()
    assert (account.status, account.status_reason, account.failures) == ("ok", "", 0)


def test_the_time_that_a_cloud_asks_for_is_kept(site: Site, account: CloudAccount) -> None:
    site.faults.inject("unavailable", times=None, retry_after=1000)
    sync.now(account)
    account.refresh_from_db()
    assert account.next_sync_at > timezone.now() + timedelta(seconds=900)


def test_failures_in_a_row_wait_longer_but_never_too_long(site: Site, account: CloudAccount) -> None:
    site.faults.inject("broken", times=None)
    CloudAccount.objects.update(failures=4000)
    sync.now(account)
    account.refresh_from_db()
    assert account.failures == 4001
    assert account.next_sync_at < timezone.now() + timedelta(hours=1, seconds=5)


@pytest.mark.django_db(transaction=True)
def test_no_call_is_made_inside_a_transaction(account: CloudAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    inside: list[bool] = []
    send = Session.send

    def watched(self: Session, request: Any, **kwargs: Any) -> Any:
        inside.append(connection.in_atomic_block)
        return send(self, request, **kwargs)

    monkeypatch.setattr(Session, "send", watched)
    sync.now(account)
    assert inside
    assert not any(inside)


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_lost_its_lease_writes_nothing(account: CloudAccount) -> None:
    SyncRun.objects.create(account=account)
    [(run, old)] = claim(SyncRun.objects.all(), 30)
    SyncRun.objects.update(leased_until=timezone.now() - timedelta(seconds=1))
    [(_, new)] = claim(SyncRun.objects.all(), 30)
    with pytest.raises(Lost):
        sync.perform(run, old)
    assert not Server.objects.exists()
    sync.perform(run, new)
    assert Server.objects.count() == 25


def test_only_one_sync_of_an_account_runs(account: CloudAccount) -> None:
    SyncRun.objects.create(account=account)
    claim(SyncRun.objects.all(), 30)
    with pytest.raises(Denied, match="running at the moment"):
        sync.now(account)


def test_what_a_cloud_may_write_does_not_stop_the_rest(site: Site, account: CloudAccount) -> None:
    nul = site.cloud.add("nul \0 name", addresses={"net\0": [Nic("10.0.0.1")]})
    long = site.cloud.add(
        "x" * 400, addresses={"net": [Nic("not an address that fits into its column at all, by far")]}
    )
    assert sync.now(account).added == 27
    assert Server.objects.get(external_id=nul.id).name == "nul  name"
    assert Server.objects.get(external_id=nul.id).addresses[0]["network"] == "net"
    assert len(Server.objects.get(external_id=long.id).name) == 255
    assert sync.now(account).changed == 0


def test_other_accounts_are_not_touched(site: Site, account: CloudAccount) -> None:
    other = ServerFactory(account=account_at(site))
    sync.now(account)
    other.refresh_from_db()
    assert other.missing_since is None


@pytest.mark.django_db(transaction=True)
def test_open_pages_hear_of_the_account_and_of_servers_only_when_some_changed(
    account: CloudAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[tuple[str, str]] = []

    async def wire(said: list[tuple[str, str]]) -> None:
        heard.extend(said)

    monkeypatch.setattr(notify, "_send", wire)
    sync.now(account)
    customer, row = str(account.customer_id), f"account-{account.pk}"
    assert sorted(heard) == [(customer, row), (customer, "accounts"), (customer, "servers")]
    heard.clear()
    sync.now(account)
    assert sorted(heard) == [(customer, row), (customer, "accounts")]


def test_old_history_is_forgotten(account: CloudAccount) -> None:
    old = SyncRun.objects.create(account=account, state=JobState.DONE)
    SyncRun.objects.filter(pk=old.pk).update(queued_at=timezone.now() - timedelta(days=31))
    sync.now(account)
    assert not SyncRun.objects.filter(pk=old.pk).exists()


# --- manage.py sync


def test_the_command_prints_counts_and_seconds(account: CloudAccount) -> None:
    out = StringIO()
    call_command("sync", str(account.pk), stdout=out)
    assert "seen 25, added 25, changed 0, missing 0" in out.getvalue()
    assert "seconds" in out.getvalue()


def test_the_command_says_why_it_failed(site: Site, account: CloudAccount) -> None:
    site.faults.inject("forbidden", times=None)
    with pytest.raises(CommandError, match="Policy doesn't allow"):
        call_command("sync", account.external_id)


def test_the_command_knows_no_strangers(account: CloudAccount) -> None:
    with pytest.raises(CommandError, match="No account has the id"):
        call_command("sync", "nobody")


def test_the_database_keeps_a_server_with_the_customer_of_its_account(account: CloudAccount) -> None:
    with pytest.raises(IntegrityError, match="server_of_its_account"), transaction.atomic():
        ServerFactory(account=account, customer=AccountFactory().customer)
        connection.check_constraints()
