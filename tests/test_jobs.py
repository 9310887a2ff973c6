"""The job core in one process: claims, fences, parking, the sweep. (Real workers killed: test_jobs_killed.py.)"""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from console.lib.jobs import leases, sweeping
from console.lib.jobs.rows import JobState
from providers import tasks  # noqa: F401  # puts Mail under the care of the sweep
from providers.models import Mail

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def mail(people):
    return Mail.objects.create(kind="welcome", to="alice@example.com", user=people.alice, customer=people.customer)


def test_of_many_workers_that_claim_at_once_one_gets_the_row(mail):
    got = []

    def worker():
        got.extend(leases.claim(Mail.objects.filter(pk=mail.pk), 30))
        connection.close()

    threads = [threading.Thread(target=worker) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(got) == 1


def test_a_worker_whose_lease_was_taken_over_can_write_nothing(mail):
    [(_, old)] = leases.claim(Mail.objects.all(), 30)
    Mail.objects.update(leased_until=timezone.now() - timedelta(seconds=1))
    [(_, new)] = leases.claim(Mail.objects.all(), 30)
    with pytest.raises(leases.Lost):
        old.end(JobState.DONE, "by the old worker")
    new.end(JobState.DONE, "by the new worker")
    mail.refresh_from_db()
    assert (mail.state, mail.outcome) == ("done", "by the new worker")


def test_a_parked_row_is_nobodys_until_its_time_comes(mail):
    [(_, lease)] = leases.claim(Mail.objects.all(), 30)
    lease.park(timezone.now() + timedelta(hours=1), "waits")
    assert leases.claim(Mail.objects.all(), 30) == []
    Mail.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    assert len(leases.claim(Mail.objects.all(), 30)) == 1


def test_what_was_not_started_in_time_expires_and_says_so(mail):
    Mail.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert leases.claim(Mail.objects.all(), 30) == []
    assert sweeping.sweep()["expired"] == 1
    mail.refresh_from_db()
    assert mail.state == JobState.EXPIRED
    assert mail.outcome
    assert mail.ended_at


def test_a_canceled_row_ends_for_its_worker_too(mail):
    [(_, lease)] = leases.claim(Mail.objects.all(), 30)
    assert leases.cancel(Mail.objects.all(), "alice changed her mind") == [mail.pk]
    with pytest.raises(leases.Lost):
        lease.renew()


def test_the_keeper_holds_a_lease_longer_than_it_was_given_for(mail):
    [(_, lease)] = leases.claim(Mail.objects.all(), 0.6)
    with leases.Keeper([lease]):
        before = Mail.objects.get().leased_until
        deadline = timezone.now() + timedelta(seconds=10)
        while Mail.objects.get().leased_until == before and timezone.now() < deadline:
            threading.Event().wait(0.05)
        assert Mail.objects.get().leased_until > before
