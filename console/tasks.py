"""Celery shells of the project itself: the sweep of the job core."""

from __future__ import annotations

from celery import shared_task

from console.lib.jobs.sweeping import sweep as sweep_jobs


@shared_task(name="console.sweep", ignore_result=True)
def sweep() -> None:
    sweep_jobs()
