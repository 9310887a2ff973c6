"""Celery shells of the accounts app."""

from __future__ import annotations

from celery import shared_task

from accounts import imports
from accounts.models import Import
from console.lib.jobs.kinds import answers

# What a dead worker left is taken up again: each slice is a transaction of its own.
run = answers(imports.TASK, Import, seconds=60.0)(imports.perform)


@shared_task(name="accounts.tidy_imports", ignore_result=True)
def tidy_imports() -> None:
    imports.tidy()
