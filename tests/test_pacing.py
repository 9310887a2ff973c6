"""How fast a cloud is asked."""

from __future__ import annotations

from uuid import uuid4

import pytest

from accounts import pacing
from accounts.clouds.operations import Rate
from accounts.models import CloudAccount
from console.demo.openstack import Cloud, Site, serve
from console.lib import valkey
from console.lib.faults import SlowDown, Unreachable
from console.lib.jobs.rows import JobState
from servers import sync
from servers.models import Server
from tests.farclouds import account_at

pytestmark = pytest.mark.django_db


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


def counted(pace: pacing.Pace, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The verbs that the bucket was asked for."""
    asked: list[str] = []
    take = pace._take
    monkeypatch.setattr(pace, "_take", lambda verb: (asked.append(verb), take(verb))[1])
    return asked


def test_a_reader_of_many_pages_takes_tokens_ahead_and_the_limit_holds_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pace, clock = paced([Rate(1000, 60)], patience=120)
    asked = counted(pace, monkeypatch)
    for _ in range(1000):
        pace("GET")
    assert clock.slept == []
    assert len(asked) < 200
    for _ in range(100):
        pace("GET")
    assert clock.now - 1_000_000 == pytest.approx(6, abs=0.1)


def test_whoever_makes_a_call_or_two_and_a_small_bucket_lose_no_token_to_the_future(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pace, _ = paced([Rate(1000, 60)])
    asked = counted(pace, monkeypatch)
    for _ in range(3):
        pace("GET")
    assert len(asked) == 3
    small, _ = paced([Rate(99, 60)])
    asked = counted(small, monkeypatch)
    for _ in range(99):
        small("GET")
    assert len(asked) == 99


def test_tokens_that_were_taken_ahead_are_good_for_a_second_and_for_their_verb(monkeypatch: pytest.MonkeyPatch) -> None:
    pace, clock = paced([Rate(1000, 60)], patience=0)
    asked = counted(pace, monkeypatch)
    for _ in range(40):
        pace("GET")
    assert pace._ahead["GET"]
    asked.clear()
    pace("POST")
    assert asked == ["POST"]
    pacing.heed(pace.account_id, SlowDown("later", 40), clock)
    clock.now += 1
    with pytest.raises(SlowDown, match="asked for fewer calls"):
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


def test_all_calls_together_have_an_end_however_slow_each_page_is(site: Site, account: CloudAccount) -> None:
    clock = Clock()
    pace = pacing.Pace(account.pk, 60, within=600, sleep=clock.sleep, clock=clock)
    pace("GET")
    clock.now += 599
    pace("GET")
    clock.now += 2
    with pytest.raises(Unreachable, match=r"took longer than 10 minutes for all that was asked"):
        pace("GET")


def test_a_reading_that_takes_too_long_ends_in_words_and_changes_nothing(
    account: CloudAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync.now(account)
    monkeypatch.setattr(sync, "WHOLE", 0.0)
    run = sync.now(account)
    assert (run.state, run.added) == (JobState.FAILED, 0)
    assert run.outcome.endswith("for all that was asked, so it was left alone. Nothing was changed.")
    account.refresh_from_db()
    assert (account.status, account.status_reason) == (CloudAccount.Status.UNREACHABLE, run.outcome)
    assert Server.objects.filter(account=account, missing_since=None).count() == 25
