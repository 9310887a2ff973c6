"""Celery shells of the project itself: the sweep of the job core, and signs of life."""

from __future__ import annotations

from typing import Any

from celery import shared_task
from celery.signals import before_task_publish

from console.lib.jobs.sweeping import sweep as sweep_jobs
from console.portal.health import beat_of


@shared_task(name="console.sweep", ignore_result=True)
def sweep() -> None:
    sweep_jobs()


@shared_task(name="console.pulse", ignore_result=True)
def pulse() -> None:
    beat_of("default")


@shared_task(name="console.pulse_ssh", ignore_result=True)
def pulse_ssh() -> None:
    beat_of("ssh")


@before_task_publish.connect(sender="console.pulse")
def _beat_lives(**_: Any) -> None:
    """Beat alone publishes this task."""
    beat_of("beat")
