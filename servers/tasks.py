"""Celery shells of the servers app: reading accounts, and single servers of them."""

from __future__ import annotations

from uuid import UUID

from celery import shared_task
from django.db import close_old_connections
from django.utils import timezone

from accounts.models import SyncRun
from console.lib.jobs.kinds import answers
from console.lib.jobs.leases import Lease
from servers import refreshing, sync, turns


def _read(run: SyncRun, lease: Lease) -> None:
    try:
        sync.perform(run, lease)
    finally:
        turns.due(timezone.now())  # a turn is free: who is next does not wait for beat


sync_account = answers(sync.KIND.name, SyncRun)(_read)


@shared_task(name="accounts.sync_due", ignore_result=True)
def sync_due() -> None:
    """Beat's question: which accounts are to be read now?"""
    close_old_connections()
    turns.due(timezone.now())


@shared_task(name="servers.refresh_due", ignore_result=True)
def refresh_due() -> None:
    """Beat's question: which servers matter just now?"""
    close_old_connections()
    refreshing.due(timezone.now())


@shared_task(name=refreshing.REFRESH, ignore_result=True)
def refresh(account: str) -> None:
    close_old_connections()
    refreshing.refresh_wanted(UUID(account), timezone.now())
