"""What becomes of a webhook whose endpoint fails: it rests, its provider is warned, at last it is turned off.

One event that an endpoint will not have delays nothing else. An endpoint that does not answer, or fails PATIENCE times
in a row, rests: nothing is tried until the rest is over, then one delivery at a time until one arrives.
"""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any, Final

from django.db.models.functions import Now
from django.utils import timezone

from console.lib import audit
from console.lib.jobs.rows import JobState
from providers import notices
from providers.models import Delivery, Webhook
from providers.posting import Answer

PATIENCE: Final = 5  # failures in a row after which it rests, when it does answer
LONGEST_REST: Final = 3600.0  # seconds
WARN_AFTER: Final = timedelta(hours=24)  # without a success: from here on events are lost
OFF_AFTER: Final = timedelta(days=5)
OFF_FAILURES: Final = 20  # at least, in a row: an endpoint that is told little gets its chance


def held(pk: Any) -> Webhook | None:
    """The webhook, locked for the rest of this transaction; before its deliveries are, so that nobody waits in a
    circle. None: it was removed."""
    webhook: Webhook | None = (
        Webhook.objects.select_for_update(of=("self",), no_key=True).select_related("provider").filter(pk=pk).first()
    )
    return webhook


def worked(webhook: Webhook) -> None:
    """Something arrived. After a rest, what waits goes out at once."""
    if not webhook.failures and webhook.failing_since is None:
        return
    if webhook.rests_until is not None:
        Delivery.objects.filter(webhook=webhook, state=JobState.QUEUED, due_at__gt=Now()).update(due_at=Now())
    _write(webhook, failures=0, failing_since=None, rests_until=None, warned_at=None)


def failed(webhook: Webhook, answer: Answer) -> float:
    """Something did not arrive: seconds that the webhook rests from now on, 0 when it does not."""
    now = timezone.now()
    since = webhook.failing_since or now
    _write(webhook, failures=webhook.failures + 1, failing_since=since)
    if answer.gone:
        turn_off(webhook, "The endpoint answered 410 Gone, which says that it wants no more.")
        return 0.0
    if now - since >= OFF_AFTER and webhook.failures >= OFF_FAILURES:
        turn_off(webhook, f"Nothing arrived for {OFF_AFTER.days} days. The last try: {answer.words}")
        return 0.0
    if now - since >= WARN_AFTER and webhook.warned_at is None:
        _write(webhook, warned_at=now)
        notices.queue(
            webhook.provider,
            "A webhook fails: events are being lost",
            (
                f"Nothing has arrived at {webhook} since {since:%Y-%m-%d %H:%M} UTC. The last try: {answer.words}",
                "An event is tried for 24 hours, then it is given up; you can send it again from the list of "
                f"deliveries. After {OFF_AFTER.days} days without a success the webhook is turned off.",
            ),
        )
    if not (answer.down or webhook.failures >= PATIENCE):
        return 0.0
    # At least as long as the try took: an endpoint that lets us wait has half of one worker's time at most.
    jittered = random.uniform(0, min(LONGEST_REST, 5.0 * 2 ** min(webhook.failures, 20)))  # noqa: S311  # spreads load
    rest = max(answer.seconds, answer.wait, jittered)
    _write(webhook, rests_until=now + timedelta(seconds=rest))
    return rest


def turn_off(webhook: Webhook, why: str) -> None:
    """We turn it off, and its provider hears of it by mail. Turning it on again is the provider's."""
    _write(webhook, enabled=False, disabled_at=timezone.now(), rests_until=None)
    audit.note(audit.SYSTEM, "webhook.disabled", target=webhook, provider_id=webhook.provider_id, detail={"why": why})
    notices.queue(
        webhook.provider,
        "A webhook was turned off",
        (
            f"{webhook} is turned off. {why}",
            "Nothing is sent there until you turn it on again. Events that happen meanwhile are not kept for it.",
        ),
    )


def _write(webhook: Webhook, **fields: Any) -> None:
    for name, value in fields.items():
        setattr(webhook, name, value)
    Webhook.objects.filter(pk=webhook.pk).update(**fields)
