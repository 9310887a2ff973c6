"""Sync at scale: whose turn it is, what is read, when a server is gone, and how fast a cloud is asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone
from msgspec import structs

from accounts import breaker, linking, pacing
from accounts.clouds.operations import Rate
from accounts.health import health
from accounts.models import CloudAccount, SyncRun
from console.demo.openstack import Cloud, Site, serve
from console.lib import valkey
from console.lib.faults import SlowDown
from console.lib.jobs.leases import claim
from console.lib.jobs.rows import JobState
from providers.models import CloudEndpoint, Customer
from servers import comparing, confirming, reading, sync, tasks, turns
from servers.agents.models import Agent
from servers.models import Server
from tests.conftest import People
from tests.factories import AccountFactory, CustomerFactory, EndpointFactory, ServerFactory
from tests.farclouds import account_at
from tests.pages import rows, text

pytestmark = pytest.mark.django_db


@pytest.fixture
def site() -> Iterator[Site]:
    with serve(Cloud.sized(25)) as served:
        yield served


@pytest.fixture
def account(site: Site) -> CloudAccount:
    return account_at(site)


# --- whose turn it is


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


# --- only what changed


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


# --- gone


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
        server=server, digest="d", version="0.1.0", first_seen_at=timezone.now(), last_seen_at=timezone.now()
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


# --- how fast a cloud is asked


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def paced(rates: list[Rate], patience: float = 60.0) -> tuple[pacing.Pace, Clock]:
    clock, account_id = Clock(), uuid4()
    pacing.learn(account_id, rates)
    return pacing.Pace(account_id, patience, sleep=clock.sleep, clock=clock), clock


def test_calls_go_at_once_until_the_bucket_is_empty_and_then_at_its_rate() -> None:
    pace, clock = paced([Rate(10, 60)])
    for _ in range(10):
        pace("GET")
    assert clock.slept == []
    for _ in range(5):
        pace("GET")
    assert clock.now - 1_000_000 == pytest.approx(30, abs=0.1)


def test_a_limit_of_one_verb_holds_back_only_that_verb_and_all_limits_count() -> None:
    pace, clock = paced([Rate(2, 60, "POST"), Rate(100, 60), Rate(5, 1)])
    for _ in range(5):
        pace("GET")
    assert clock.slept == []
    pace("POST")
    assert clock.now - 1_000_000 == pytest.approx(0.2, abs=0.01), "five a second, for everything"
    clock.now += 10
    pace("POST")
    assert sum(clock.slept) < 1
    pace("POST")
    assert sum(clock.slept) > 15


def test_whoever_has_no_patience_is_told_how_long_and_no_token_is_taken() -> None:
    pace, clock = paced([Rate(1, 60)], patience=1)
    pace("GET")
    with pytest.raises(SlowDown, match="asked again in 60 seconds") as told:
        pace("GET")
    assert told.value.retry_after == pytest.approx(60)
    clock.now += 60
    pace("GET")


def test_two_workers_share_one_bucket() -> None:
    first, clock = paced([Rate(4, 60)], patience=0)
    second = pacing.Pace(first.account_id, 0, clock=clock)
    for pace in (first, second, first, second):
        pace("GET")
    for pace in (first, second):
        with pytest.raises(SlowDown):
            pace("GET")


def test_what_one_worker_is_told_to_wait_holds_for_all_of_the_account_and_for_no_other() -> None:
    pace, clock = paced([], patience=5)
    pacing.heed(pace.account_id, SlowDown("later", 40), clock)
    with pytest.raises(SlowDown, match="asked for fewer calls"):
        pace("GET")
    pacing.Pace(uuid4(), 5, clock=clock)("GET")
    pacing.heed(pace.account_id, SlowDown("sooner", 1), clock)
    with pytest.raises(SlowDown):
        pace("GET")
    clock.now += 37
    pace("GET")
    assert clock.slept == [pytest.approx(3, abs=0.01)]


def test_a_cloud_that_says_when_is_left_alone_by_the_next_run_too(site: Site, account: CloudAccount) -> None:
    site.faults.inject("unavailable", times=None, retry_after=1000)
    sync.now(account)
    site.faults.clear()
    site.requests.clear()
    run = sync.now(account)
    assert run.state == JobState.FAILED
    assert "asked for fewer calls" in run.outcome
    assert not site.requests


def test_a_listing_learns_the_limits_of_its_cloud_once() -> None:
    with serve(Cloud.sized(3, generation="essex")) as site:
        account = account_at(site)
        assert pacing.known(account.pk) is None
        sync.now(account)
        assert Rate(10, 60, "POST") in (pacing.known(account.pk) or ())
        site.requests.clear()
        sync.now(account)
        assert not any(path.endswith("/limits") for _, path in site.requests)


def test_without_valkey_calls_go_out_unpaced(account: CloudAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = valkey.dialled("redis://127.0.0.1:9/0")
    monkeypatch.setattr(pacing, "client", lambda: dead)
    assert sync.now(account).state == JobState.DONE


# --- what people see of it


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
