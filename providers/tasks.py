"""Celery shells of the providers' deeds."""

from __future__ import annotations

from celery import shared_task
from django.db import close_old_connections, transaction

from console.lib.jobs.kinds import answers
from console.lib.jobs.leases import Lease
from providers import calls, delivering, erasing, events, mail, replays
from providers.models import Mail


@answers(mail.TASK, Mail, seconds=60, attempts=10)
def send(row: Mail, lease: Lease) -> str:
    return mail.send(row)


@shared_task(name="providers.forget_calls", ignore_result=True)
def forget_calls() -> None:
    """What calls left behind: their log, and the answers that are kept for one that is repeated."""
    calls.forget()
    with transaction.atomic():
        replays.forget()


@shared_task(name="providers.erase", ignore_result=True)
def erase() -> None:
    erasing.due()


@shared_task(name=events.TASK, ignore_result=True)
def deliver(webhook: str) -> None:
    close_old_connections()
    try:
        delivering.drain(webhook)
    finally:
        close_old_connections()  # a thread that rests holds no connection


@shared_task(name="webhooks.due", ignore_result=True)
def webhooks_due() -> None:
    """Beat's question: which webhooks have something to send?"""
    close_old_connections()
    delivering.due()


@shared_task(name="webhooks.tidy", ignore_result=True)
def webhooks_tidy() -> None:
    close_old_connections()
    delivering.tidy()
