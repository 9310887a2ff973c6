"""Delivering what was fired: each webhook has its own small stream, so that a dead endpoint delays no other.

Walk: `events.fire` → ring → `drain` of one webhook: claim some deliveries, send them from a few threads, write down how
it went, again until nothing waits or the slice is over. A slot in Valkey lets one worker drain a webhook at a time, few
those of one provider, and not all of them such as fail. Each delivery has its own lease: whatever is lost is sent
again with the same `webhook-id`. Order is best effort.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from datetime import timedelta
from typing import Any, Final

import orjson
import structlog
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet, TextField, Value
from django.db.models.functions import Concat, Now
from django.utils import timezone
from redis.exceptions import RedisError

from console.lib.jobs import leases
from console.lib.jobs.kinds import pause
from console.lib.jobs.leases import Lease, Lost
from console.lib.jobs.rows import ACTIVE, JobState
from console.lib.outbound import Session
from console.lib.seal import SealBroken
from providers import events, failing, posting, slots, webhooks
from providers.models import Delivery, Event, Provider, Webhook
from providers.posting import Answer, Message

log = structlog.get_logger(__name__)

SENDERS: Final = 8  # deliveries of one webhook at once
SLICE: Final = 20.0  # seconds after which a worker lets others go first
LEASE: Final = 20.0  # seconds
TICK: Final = 4.0  # seconds between two renewals
OF_PROVIDER: Final = 4  # webhooks of one provider at once, and half as many such as fail
FAILING: Final = 8  # webhooks that fail at once, of all providers: half of a worker's threads
LONGEST_PAUSE: Final = 7200.0  # seconds between two tries of an event that an endpoint will not have
TRIES: Final = 10  # that are remembered
KEPT: Final = timedelta(days=30)  # of events and deliveries
MOST: Final = 2000  # rows that are tidied at once


def due(provider: Any = None) -> int:
    """Ring for every webhook (of one provider) with deliveries whose time has come; how many. Twice is harmless."""
    waiting = _startable(Delivery.objects.filter(webhook=OuterRef("pk")))
    ready = _ready().filter(Exists(waiting))
    if provider is not None:
        ready = ready.filter(provider=provider)
    found = list(ready.values_list("pk", flat=True))
    events.knock(found)
    return len(found)


def drain(pk: Any) -> int:
    """Send what waits for this webhook; how many tries that were. Harmless to call at any time."""
    events.heard(pk)
    webhook = _ready().filter(pk=pk).first()
    if webhook is None:
        return 0
    held = _slots(webhook)
    if held is None:
        return 0
    try:
        with ThreadPoolExecutor(SENDERS, thread_name_prefix="webhook") as pool, ExitStack() as lines:
            tried = _Drain(webhook, pool, held, lines).run()
    finally:
        _leave(held)
    due(webhook.provider_id)  # what came meanwhile, and others for whom there was no slot
    return tried


def tidy() -> None:
    """Give up what nobody took for 24 hours; drop what is older than 30 days."""
    stale = Q(state__in=(JobState.QUEUED, JobState.WAITING)) | Q(state=JobState.RUNNING, leased_until__lt=Now())
    with transaction.atomic():
        rows = Delivery.objects.filter(stale, expires_at__lte=Now()).select_for_update(skip_locked=True, of=("self",))
        pks = list(rows.values_list("pk", flat=True)[:MOST])
        Delivery.objects.filter(pk__in=pks).update(
            state=JobState.FAILED,
            ended_at=Now(),
            leased_until=None,
            fence=F("fence") + 1,
            outcome=Concat(Value("Not delivered within 24 hours. "), F("outcome"), output_field=TextField()),
        )
        leases.announce(Delivery, pks)
    old = timezone.now() - KEPT
    Delivery.objects.filter(pk__in=_oldest(Delivery.objects.filter(queued_at__lt=old))).delete()
    Event.objects.filter(pk__in=_oldest(Event.objects.filter(at__lt=old))).delete()


def body(event: Event) -> bytes:
    """What is sent: `{type, timestamp, data}`, the same bytes at each try."""
    told = event.at.isoformat().replace("+00:00", "Z")
    return orjson.dumps({"type": event.type, "timestamp": told, "data": event.data})


class _Drain:
    """One turn of one webhook. Only this thread speaks with the database; the others send."""

    def __init__(self, webhook: Webhook, pool: ThreadPoolExecutor, held: list[slots.Slot], lines: ExitStack) -> None:
        self.webhook, self.pool, self.held, self.lines = webhook, pool, held, lines
        self.transport = webhooks.transport(webhook.provider)
        self.own = threading.local()
        self.flying: dict[Future[Answer], tuple[Delivery, Lease]] = {}
        self.over = False  # it rests, or is off, or its slot is somebody else's
        self.rest = 0.0
        self.tried = 0

    def run(self) -> int:
        until = renewed = time.monotonic()
        until += SLICE
        while True:
            if not self.over and time.monotonic() < until:
                self.take()
            if not self.flying:
                return self.tried
            done, _ = wait(self.flying, timeout=TICK, return_when=FIRST_COMPLETED)
            if done:
                self.note(done)
            if time.monotonic() - renewed >= TICK:
                renewed = time.monotonic()
                self.renew()

    def take(self) -> None:
        """Claim as many as there is room for, and set them going. A webhook that failed gets one at a time."""
        room = (1 if self.webhook.failures else SENDERS) - len(self.flying)
        if room < (1 if self.webhook.failures else SENDERS // 2):
            return
        webhook = _ready().filter(pk=self.webhook.pk).first()
        if webhook is None:
            self.over = True
            return
        self.webhook = webhook
        claimed = leases.claim(Delivery.objects.filter(webhook=webhook), LEASE, min(room, SENDERS))
        if not claimed:
            return
        try:
            secrets = webhooks.live_secrets(webhook)
        except SealBroken as fault:
            log.error("webhook secret does not open", webhook=str(webhook.pk), reason=str(fault))
            self.give_up([lease for _, lease in claimed])
            return
        told: dict[Any, Event] = Event.objects.in_bulk([row.event_id for row, _ in claimed])
        for row, lease in claimed:
            event = told[row.event_id]
            message = posting.signed(webhook.url, str(event.pk), body(event), secrets, int(time.time()))
            self.flying[self.pool.submit(self.send, message)] = row, lease

    def give_up(self, ours: list[Lease]) -> None:
        self.over = True
        for lease in ours:
            lease.end(JobState.FAILED, "The secret of this webhook does not open. Rotate it, then send this again.")

    def send(self, message: Message) -> Answer:
        """In a thread of the pool, each with connections of its own."""
        session: Session | None = getattr(self.own, "session", None)
        if session is None:
            session = self.own.session = self.lines.enter_context(self.transport.session(message.url))
        return posting.post(session, message)

    def note(self, done: set[Future[Answer]]) -> None:
        """Write how these went, all in one transaction."""
        with transaction.atomic():
            answers = [(*self.flying.pop(one), one.result()) for one in done]
            failed = any(not answer.taken for *_, answer in answers)
            # Locked before its deliveries, as whoever removes it does.
            held = failing.held(self.webhook.pk) if failed or self.webhook.failing_since else None
            for row, lease, answer in answers:
                self.tried += 1
                try:
                    self.write(row, lease, answer, held)
                except Lost:
                    log.info("delivery was taken over", delivery=str(row.pk))
            if held is not None:
                self.webhook = held

    def write(self, row: Delivery, lease: Lease, answer: Answer, webhook: Webhook | None) -> None:
        tries = [*row.tries, _told(answer)][-TRIES:]
        if answer.taken:
            lease.end(JobState.DONE, answer.words, tries=tries)
            if webhook is not None:
                failing.worked(webhook)
            return
        lease.write(tries=tries)
        if webhook is not None and not self.rest:
            self.rest = failing.failed(webhook, answer)
            self.over = bool(self.rest) or not webhook.enabled
        if answer.gone:
            lease.end(JobState.FAILED, answer.words)
        elif self.rest and answer.down:
            lease.again(self.rest, answer.words)  # its turn comes with the webhook's
        else:
            lease.again(pause(min(row.attempts, 20), base=5.0, most=LONGEST_PAUSE), answer.words)

    def renew(self) -> None:
        """Keep what is in flight ours. A slot that was lost ends the turn: somebody else goes on."""
        for _, lease in list(self.flying.values()):
            try:
                lease.renew()
            except Lost:
                log.info("delivery was taken over", delivery=str(lease.pk))
        try:
            kept = [slot.renew() for slot in self.held]
            self.over = self.over or not all(kept)
        except RedisError as fault:
            log.warning("slot not renewed", webhook=str(self.webhook.pk), reason=str(fault))


def _oldest(rows: QuerySet[Any]) -> list[Any]:
    return list(rows.values_list("pk", flat=True)[:MOST])


def _told(answer: Answer) -> dict[str, Any]:
    at = timezone.now() - timedelta(seconds=answer.seconds)
    return {
        "at": at.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "sent": answer.moment,
        "url": answer.url,
        "status": answer.status,
        "seconds": answer.seconds,
        "words": answer.words,
    }


def _ready() -> QuerySet[Webhook]:
    """Webhooks that are on and do not rest, of providers that are enabled."""
    rows: QuerySet[Webhook] = Webhook.objects.select_related("provider").filter(
        Q(rests_until__isnull=True) | Q(rests_until__lte=Now()),
        enabled=True,
        provider__status=Provider.Status.ENABLED,
    )
    return rows.order_by("pk")


def _startable(rows: QuerySet[Delivery]) -> QuerySet[Delivery]:
    free = Q(state__in=(JobState.QUEUED, JobState.WAITING), due_at__lte=Now())
    free |= Q(state=JobState.RUNNING, leased_until__lt=Now())
    return rows.filter(free, state__in=ACTIVE).exclude(expires_at__lte=Now())


def _slots(webhook: Webhook) -> list[slots.Slot] | None:
    """This webhook's turn, one of its provider's, and one of those that fail when it does; None when one is taken.

    Of its provider's, those that fail may take the first half alone, and the others begin at the far end: endpoints
    that let us wait leave room for one that answers.
    """
    of_provider = [f"webhooks:provider:{webhook.provider_id}:{number}" for number in range(OF_PROVIDER)]
    wanted = [
        [f"webhooks:turn:{webhook.pk}"],
        of_provider[: OF_PROVIDER // 2] if webhook.failures else of_provider[::-1],
    ]
    if webhook.failures:
        wanted.append([f"webhooks:failing:{number}" for number in range(FAILING)])
    held: list[slots.Slot] = []
    try:
        for names in wanted:
            slot = slots.take(names)
            if slot is None:
                _leave(held)
                return None
            held.append(slot)
    except RedisError as fault:  # `due` rings again once it is back
        log.warning("no slot for a webhook", webhook=str(webhook.pk), reason=str(fault))
        _leave(held)
        return None
    return held


def _leave(held: list[slots.Slot]) -> None:
    try:
        for slot in held:
            slot.leave()
    except RedisError as fault:  # they run out by themselves
        log.warning("slots not given back", reason=str(fault))
