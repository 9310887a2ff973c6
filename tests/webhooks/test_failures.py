"""Endpoints that fail: what is tried again, what rests, what is turned off; a dead one delays no other."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import ExitStack
from datetime import timedelta

import psycopg
import pytest
from django.db import connections
from django.utils import timezone

from console.lib import audit, children
from console.models import AuditEntry
from providers import delivering, failing, notices, posting, slots, webhooks
from providers.models import Delivery, Mail, Webhook
from tests.processes import ROOT, engine_of_its_own, environment, folder, manage, wait
from tests.receiver import receiving
from tests.webhooks.moments import again, happens

pytestmark = pytest.mark.django_db(transaction=True)
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _a_pause_lasts(monkeypatch):
    """By chance it may be over at once: the same drain would try again."""
    monkeypatch.setattr(delivering, "pause", lambda *_, **__: 60.0)


def test_after_a_500_it_is_tried_again_with_the_same_id_and_arrives(north, hook, site):
    webhook, secret = hook
    site.says(500)
    happens(north)
    assert delivering.drain(webhook.pk) == 1
    row = Delivery.objects.get()
    assert (row.state, row.outcome) == ("queued", "The endpoint answered 500 Internal Server Error.")
    webhook.refresh_from_db()
    assert webhook.failures == 1 and webhook.failing_since is not None and webhook.rests_until is None
    site.says(200, body=b"thanks")
    again()
    delivering.drain(webhook.pk)
    row.refresh_from_db()
    webhook.refresh_from_db()
    assert (row.state, [told["status"] for told in row.tries]) == ("done", [500, 200])
    assert (webhook.failures, webhook.failing_since) == (0, None)
    assert len({call.id for call in site.calls}) == 1
    assert all(call.verified(secret) for call in site.calls)


def test_one_event_that_the_endpoint_will_not_have_holds_nothing_up(north, hook, site):
    webhook, _ = hook
    site.answer = lambda call: (400 if call.told["data"]["external_id"] == "c-0" else 204, {}, b"")
    happens(north, 30)
    delivering.drain(webhook.pk)
    assert Delivery.objects.filter(state="done").count() == 29
    assert Delivery.objects.get(state="queued").event.data == {"external_id": "c-0"}


@pytest.mark.parametrize(
    ("status", "headers", "words"),
    [
        (302, {"Location": "http://elsewhere.example/"}, "Redirects are not followed"),
        (404, {}, "The endpoint answered 404 Not Found."),
        (599, {}, "The endpoint answered 599."),
    ],
)
def test_any_answer_but_2xx_is_a_failure_in_words(north, hook, site, status, headers, words):
    webhook, _ = hook
    site.says(status, headers)
    happens(north)
    delivering.drain(webhook.pk)
    row = Delivery.objects.get()
    assert row.state == "queued" and words in row.outcome


def test_an_endpoint_that_asks_for_time_gets_it(north, hook, site):
    webhook, _ = hook
    site.says(429, {"Retry-After": "120"})
    happens(north, 3)
    assert delivering.drain(webhook.pk) <= 3
    webhook.refresh_from_db()
    assert webhook.rests_until > timezone.now() + timedelta(seconds=110)
    before = len(site.calls)
    assert delivering.drain(webhook.pk) == 0 and delivering.due() == 0
    assert len(site.calls) == before


def test_a_dead_endpoint_rests_and_when_it_is_back_all_goes_out_at_once(north, site):
    with receiving() as gone:
        address = gone.url
    webhook, _ = webhooks.add(north, address, [], audit.SYSTEM)
    happens(north, 20)
    assert delivering.drain(webhook.pk) <= delivering.SENDERS
    webhook.refresh_from_db()
    assert webhook.failures == 1 and webhook.rests_until is not None, "one failure for the whole group"
    for _ in range(3):
        again()
        assert delivering.drain(webhook.pk) == 1, "while it fails, one at a time"
    Webhook.objects.update(url=site.url, rests_until=timezone.now())
    Delivery.objects.filter(tries=[]).update(due_at=timezone.now())
    Delivery.objects.exclude(tries=[]).update(due_at=timezone.now() + DAY / 2)
    while delivering.drain(webhook.pk):
        pass
    assert len(site.calls) == 20
    assert set(Delivery.objects.values_list("state", flat=True)) == {"done"}


def test_nothing_is_tried_longer_than_a_day_and_the_row_says_how_it_ended(north, hook, site):
    webhook, _ = hook
    site.says(500)
    happens(north)
    delivering.drain(webhook.pk)
    Delivery.objects.update(expires_at=timezone.now(), due_at=timezone.now())
    assert delivering.due() == 0 and delivering.drain(webhook.pk) == 0
    delivering.tidy()
    row = Delivery.objects.get()
    assert row.state == "failed"
    assert row.outcome == "Not delivered within 24 hours. The endpoint answered 500 Internal Server Error."
    assert len(site.calls) == 1


def test_410_turns_the_webhook_off_at_once_with_a_mail_and_an_audit_entry(north, hook, site):
    webhook, _ = hook
    site.says(410)
    happens(north)
    delivering.drain(webhook.pk)
    webhook.refresh_from_db()
    assert not webhook.enabled and webhook.disabled_at is not None
    assert Delivery.objects.get().state == "failed"
    entry = AuditEntry.objects.get(verb="webhook.disabled")
    assert entry.provider_id == north.pk and "410 Gone" in entry.detail["why"]
    mail = Mail.objects.get(kind="notice")
    message = notices.compose(mail)
    assert (mail.to, message.subject) == ("developers@north.example", "A webhook was turned off")
    assert webhook.url in message.body and webhook.url in message.alternatives[0].content
    assert happens(north) == 0


def test_five_days_without_a_success_turn_it_off_and_a_warning_comes_before(north, hook, site):
    webhook, _ = hook
    site.says(503)
    happens(north)
    delivering.drain(webhook.pk)
    Webhook.objects.update(failing_since=timezone.now() - DAY)
    for _ in range(2):
        again()
        delivering.drain(webhook.pk)
    assert [mail.params["subject"] for mail in Mail.objects.all()] == ["A webhook fails: events are being lost"]
    Webhook.objects.update(failing_since=timezone.now() - failing.OFF_AFTER)
    again()
    delivering.drain(webhook.pk)
    assert Webhook.objects.get().enabled, "few tries are no proof"
    Webhook.objects.update(failures=failing.OFF_FAILURES)
    again()
    delivering.drain(webhook.pk)
    webhook.refresh_from_db()
    assert not webhook.enabled
    assert "Nothing arrived for 5 days." in AuditEntry.objects.get(verb="webhook.disabled").detail["why"]
    webhooks.change(webhook, audit.SYSTEM, enabled=True)
    webhook.refresh_from_db()
    assert (webhook.failures, webhook.failing_since, webhook.disabled_at) == (0, None, None)


def test_a_dead_endpoint_delays_no_other(north, hook, site):
    """A tarpit with work for hours beside a live one of the same provider: the live one gets all, at once."""
    live, _ = hook
    with receiving(held=True) as tarpit:
        dead, _ = webhooks.add(north, tarpit.url, [], audit.SYSTEM)
        happens(north, 60)

        def stuck():
            try:
                delivering.drain(dead.pk)
            finally:
                connections.close_all()

        holding = threading.Thread(target=stuck)
        holding.start()
        wait(lambda: tarpit.calls)
        assert delivering.drain(dead.pk) == 0, "nobody else waits for it"
        while delivering.drain(live.pk):
            pass
        assert len(site.calls) == 60
        assert not Delivery.objects.filter(webhook=dead).exclude(tries=[]).exists(), "while the first try there lasts"
        assert len(tarpit.calls) <= delivering.SENDERS, "few are in flight to it"
        tarpit.open.set()
        holding.join()


@pytest.fixture
def stuck():
    """Drain these webhooks, each in a thread as a worker does, and see each at its endpoint."""
    with ExitStack() as ends:

        def begin(*tarpits):
            for tarpit, webhook in tarpits:
                seen = len(tarpit.calls)

                def run(pk=webhook.pk):
                    try:
                        delivering.drain(pk)
                    finally:
                        connections.close_all()

                thread = threading.Thread(target=run)
                thread.start()
                ends.callback(thread.join)
                ends.callback(tarpit.open.set)
                wait(lambda tarpit=tarpit, seen=seen: len(tarpit.calls) > seen, 10, "it waits for its endpoint")

        yield begin


def test_dead_endpoints_that_fill_their_slots_delay_neither_a_live_one_nor_each_other_for_long(
    north, hook, site, stuck
):
    """As many of North's endpoints are dead as may be tried at once, and one more; the live one gets all, at once."""
    live, _ = hook
    with ExitStack() as sites:
        tarpits = []
        for _ in range(delivering.OF_PROVIDER // 2 + 1):
            tarpit = sites.enter_context(receiving(held=True))
            dead, _ = webhooks.add(north, tarpit.url, [], audit.SYSTEM)
            tarpits.append((tarpit, dead))
        Webhook.objects.exclude(pk=live.pk).update(failures=1, failing_since=timezone.now())
        happens(north, 30)
        *some, (last, waiting) = tarpits
        stuck(*some)
        assert delivering.drain(waiting.pk) == 0 and not last.calls, "no slot is left for one that fails"
        while delivering.drain(live.pk):
            pass
        assert len(site.calls) == 30
        for tarpit, _ in tarpits:
            tarpit.open.set()
        wait(lambda: delivering.drain(waiting.pk), 10, "its turn comes when a slot is free")
        assert last.calls


def test_dead_endpoints_of_others_that_fill_every_failing_slot_delay_no_live_one(north, hook, site):
    live, _ = hook
    held = [slots.take([f"webhooks:failing:{number}"]) for number in range(delivering.FAILING)]
    assert all(held)
    try:
        happens(north, 10)
        while delivering.drain(live.pk):
            pass
        assert len(site.calls) == 10
        happens(north)
        Webhook.objects.update(failures=1, failing_since=timezone.now())
        assert delivering.drain(live.pk) == 0, "one that fails waits for its slot"
    finally:
        for slot in held:
            slot.leave()
    assert delivering.drain(live.pk) == 1 and len(site.calls) == 11


def test_a_reply_that_never_ends_counts_by_its_status(north, hook, site):
    webhook, _ = hook
    site.says(200, {"Content-Length": str(10**9)}, b"x" * 1000)
    happens(north)
    started = time.monotonic()
    assert delivering.drain(webhook.pk) == 1
    assert time.monotonic() - started < posting.TOTAL - 1
    assert Delivery.objects.get().state == "done"


def test_a_worker_killed_in_the_middle_loses_no_delivery(site):
    """`kill -9` of a real worker while the endpoint thinks; another one sends the same event again."""
    with folder() as home, engine_of_its_own(home) as eng:
        env = environment(home, DEMO="1", DATABASE_URL=eng.database_url, REDIS_URL=eng.redis_url,
                          SECRET_KEY=eng.secret_key, SEAL_KEYS=eng.seal_keys, SIGN_KEYS=eng.sign_keys)  # fmt: skip
        manage(env, "migrate", "-v", "0")
        site.open.clear()
        workers = [worker(home, env)]
        try:
            manage(env, "shell", "-v", "0", "-c", KILLED.format(url=site.url))
            wait(lambda: site.calls, 60, "the first try")
            os.killpg(workers[0].pid, signal.SIGKILL)
            workers[0].wait()
            site.open.set()
            workers += [worker(home, env), celery(home, env, "beat", "-S", "celery.beat:Scheduler")]
            with psycopg.connect(eng.database_url, autocommit=True) as link:
                done = "SELECT attempts FROM providers_delivery WHERE state = 'done'"
                [(attempts,)] = wait(lambda: link.execute(done).fetchall(), 90, "it arrived")
        finally:
            for process in workers:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
    assert attempts >= 2
    assert len(site.calls) >= 2 and len({call.id for call in site.calls}) == 1


KILLED = """
from django.db import transaction
from console.lib import audit
from providers import webhooks
from tests.factories import ProviderFactory
provider = ProviderFactory()
webhooks.add(provider, "{url}", [], audit.SYSTEM)
with transaction.atomic():
    webhooks.fire(provider, "customer.created", {{"external_id": "c-1"}})
"""


def worker(home, env):
    return celery(home, env, "worker", "-Q", "webhooks", "--pool", "threads", "-c", "2", "--without-mingle")


def celery(home, env, *argv):
    home.joinpath("log").mkdir(exist_ok=True)
    with home.joinpath("log", f"{argv[0]}.log").open("ab") as out:
        return children.spawn(
            [sys.executable, "-m", "celery", "-A", "console.celery", "-q", *argv], env=env, out=out, cwd=ROOT
        )
