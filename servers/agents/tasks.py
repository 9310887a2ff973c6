"""Celery shells of the agents' deeds."""

from __future__ import annotations

from celery import shared_task
from django.db import close_old_connections

from servers.agents import releasing, silence, work


@shared_task(name="agents.silent", ignore_result=True)
def silent() -> None:
    """Beat's question: which agents went silent?"""
    close_old_connections()
    silence.find()


@shared_task(name="agents.work_over", ignore_result=True)
def work_over() -> None:
    """Beat's question: which work will not happen any more?"""
    close_old_connections()
    work.sweep()


@shared_task(name="agents.widen_releases", ignore_result=True)
def widen_releases() -> None:
    """Beat's question: which versions of the agent may go to more of them?"""
    close_old_connections()
    releasing.widen()
