"""Celery is the doorbell: a message says "look at this row", and may be lost, doubled or late without harm."""

from __future__ import annotations

from typing import Any

import structlog
from celery import current_app
from django.db import transaction
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)


def ring(name: str, pk: Any) -> None:
    """Once this transaction commits, ask a worker to look at row `pk` by the task `name`.

    A broker that is away is logged and forgotten: the sweep rings again.
    """
    transaction.on_commit(lambda: ring_now(name, pk))


def ring_in(name: str, pk: Any, seconds: float) -> None:
    """As `ring`, but the worker looks after `seconds` (few: a worker holds the message meanwhile, and no thread)."""
    transaction.on_commit(lambda: ring_now(name, pk, seconds))


def ring_now(name: str, pk: Any, seconds: float = 0.0) -> bool:
    """Send the message at once. False when the broker did not take it."""
    try:
        current_app.send_task(name, args=[str(pk)], ignore_result=True, retry=False, countdown=seconds or None)
    except (OSError, KombuError, RedisError) as fault:
        log.warning("doorbell not heard", task=name, pk=str(pk), reason=str(fault))
        return False
    return True
