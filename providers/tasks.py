"""Celery shells of the providers' deeds."""

from __future__ import annotations

from celery import shared_task

from console.lib.jobs.kinds import answers
from console.lib.jobs.leases import Lease
from providers import calls, erasing, mail
from providers.models import Mail


@answers(mail.TASK, Mail, seconds=60, attempts=10)
def send(row: Mail, lease: Lease) -> str:
    return mail.send(row)


@shared_task(name="providers.forget_calls", ignore_result=True)
def forget_calls() -> None:
    calls.forget()


@shared_task(name="providers.erase", ignore_result=True)
def erase() -> None:
    erasing.due()
