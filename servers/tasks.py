"""Celery shells of the servers app: reading accounts."""

from __future__ import annotations

from celery import shared_task
from django.db import close_old_connections
from django.utils import timezone

from accounts.models import SyncRun
from console.lib.jobs.kinds import answers
from servers import sync

sync_account = answers(sync.KIND.name, SyncRun)(sync.perform)


@shared_task(name="accounts.sync_due", ignore_result=True)
def sync_due() -> None:
    """Beat's question: which accounts are to be read now?"""
    close_old_connections()
    sync.due(timezone.now())
