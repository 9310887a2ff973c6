"""Something happens, and time passes."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone

from providers import events
from providers.models import Delivery, Webhook


def happens(provider: Any, count: int = 1, type: str = "customer.created") -> Any:
    with transaction.atomic():
        return events.fire_many(provider, type, [{"external_id": f"c-{number}"} for number in range(count)])


def again() -> None:
    """Time passes: every rest and every pause is over."""
    Webhook.objects.filter(rests_until__isnull=False).update(rests_until=timezone.now())
    Delivery.objects.filter(state="queued").update(due_at=timezone.now())
