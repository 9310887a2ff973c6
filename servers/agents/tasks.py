"""Celery shells of the agents' deeds."""

from __future__ import annotations

from celery import shared_task
from django.db import close_old_connections

from servers.agents import silence


@shared_task(name="agents.silent", ignore_result=True)
def silent() -> None:
    """Beat's question: which agents went silent?"""
    close_old_connections()
    silence.find()
