"""A challenge whose worker is killed in the middle: what was begun is ended by another, and nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from accounts import pacing
from console.lib.faults import SlowDown, Unreachable
from console.lib.jobs.sweeping import sweep
from servers.agents import challenging, tasks
from servers.agents.channels import Metadata
from servers.agents.models import Agent, Challenge
from servers.agents.program import protocol
from tests.claim_places import Place, place_at
from tests.claimants import match, nonce_of, work
from tests.conftest import People
from tests.processes import ROOT

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def place(people: People, tmp_path: Path) -> Iterator[Place]:
    with place_at("openstack", people.customer, tmp_path) as made:
        yield made


def worker(challenge: Challenge) -> subprocess.Popen[bytes]:
    """A process of its own that takes the row up once."""
    there = connection.settings_dict
    url = f"postgres://{there['USER']}:{there['PASSWORD']}@{there['HOST']}:{there['PORT']}/{there['NAME']}"
    code = f"import django; django.setup();from servers.agents import tasks; tasks.challenge('{challenge.pk}')"
    env = {**os.environ, "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "console.settings",
           "PUBLIC_URL": settings.PUBLIC_URL}  # fmt: skip
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=env)


def killed_when(place: Place, challenge: Challenge, true: Callable[[dict[str, str]], bool]) -> None:
    """kill -9 when the cloud has taken the call on, which it has not answered yet."""
    struck, process = threading.Event(), worker(challenge)

    def strike(_: str, instance: Any) -> None:
        if not struck.is_set() and true(instance.metadata):
            process.send_signal(signal.SIGKILL)
            process.wait()
            struck.set()

    place.cloud.watchers.append(strike)
    assert struck.wait(60), "the call was never made"
    place.cloud.watchers.remove(strike)
    challenge.refresh_from_db()
    assert challenge.state == "running"


def taken_over() -> None:
    """The dead worker's lease ran out, and another one takes the row up."""
    Challenge.objects.filter(state="running").update(leased_until=timezone.now() - timedelta(seconds=1))
    assert tasks.challenge.name == challenging.CHALLENGE and sweep()["rung"] >= 1
    work()


def test_a_worker_killed_while_it_puts_the_nonce_is_followed_by_one_that_puts_the_same(place: Place) -> None:
    launched, machine = place.born("web", "127.0.0.71")
    machine.claim()
    challenging.pose(place.server(launched).pk)
    challenge = Challenge.objects.get()
    killed_when(place, challenge, lambda metadata: protocol.CHALLENGE in metadata)
    assert challenge.placed_at is None
    taken_over()
    match(place.provider)
    nonce = place.nonce(launched)
    assert nonce == nonce_of(place.server(launched))
    machine.ask(nonce)
    work()
    assert machine.ask()[0] == 200 and Challenge.objects.get().state == "done"


def test_a_worker_killed_while_it_takes_the_nonce_away_has_bound_once_and_is_followed(place: Place) -> None:
    launched, machine = place.born("web", "127.0.0.72")
    machine.claim()
    match(place.provider)
    machine.ask(place.nonce(launched))
    killed_when(place, Challenge.objects.get(), lambda metadata: protocol.CHALLENGE not in metadata)
    assert machine.ask()[0] == 200
    place.cloud.update(launched.external_id, metadata={protocol.CHALLENGE: "as if it had not been done"})
    taken_over()
    assert place.nonce(launched) is None
    assert (Challenge.objects.get().state, Agent.objects.count()) == ("done", 1)


def test_a_cloud_that_is_away_when_the_answer_comes_is_asked_again(place: Place) -> None:
    launched, machine = place.born("web", "127.0.0.73")
    machine.claim()
    match(place.provider)
    nonce = place.nonce(launched)
    place.site.faults.inject("unavailable", times=50, path=launched.external_id)
    machine.ask(nonce)
    work()
    assert machine.ask()[0] == 202 and Challenge.objects.get().state in ("queued", "waiting")
    place.site.faults.clear()
    pacing.forget(place.account.pk)
    Challenge.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    work()
    assert machine.ask()[0] == 200


def test_a_nonce_that_cannot_be_put_is_not_tried_again_for_an_hour(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, machine = place.born("web", "127.0.0.74")
    tries = []

    def put(*_: object) -> None:
        tries.append(1)
        raise Unreachable("The cloud is away.")

    monkeypatch.setattr(Metadata, "put", put)
    machine.claim()
    for _ in range(12):
        match(place.provider)
        Challenge.objects.active().update(due_at=timezone.now() - timedelta(seconds=1))
    assert 0 < len(tries) <= 8 and Challenge.objects.get().state == "failed"
    assert machine.row.challenged_at is not None


def test_a_busy_account_costs_a_challenge_time_and_no_attempt(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    launched, machine = place.born("web", "127.0.0.75")
    put = Metadata.put
    left = [12]

    def paced(*arguments: Any) -> None:
        left[0] -= 1
        if left[0]:
            raise SlowDown("The cloud asked for fewer calls.", 0.1)
        put(*arguments)

    monkeypatch.setattr(Metadata, "put", paced)
    machine.claim()
    for _ in range(12):
        match(place.provider)
        pacing.forget(place.account.pk)
        Challenge.objects.filter(placed_at__isnull=True).update(due_at=timezone.now() - timedelta(seconds=1))
    assert left == [0]
    machine.ask(place.nonce(launched))
    work()
    assert machine.ask()[0] == 200
