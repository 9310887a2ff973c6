"""Celery shells of the providers' deeds."""

from __future__ import annotations

from console.lib.jobs.kinds import answers
from console.lib.jobs.leases import Lease
from providers import mail
from providers.models import Mail


@answers(mail.TASK, Mail, seconds=60, attempts=10)
def send(row: Mail, lease: Lease) -> str:
    return mail.send(row)
