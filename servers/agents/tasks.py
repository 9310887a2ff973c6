"""Celery shells of the agents' deeds."""

from __future__ import annotations

from uuid import UUID

from celery import shared_task
from django.db import close_old_connections

from console.lib.jobs.kinds import answers
from servers.agents import challenging, claiming, enrol, looking, releasing, samples, silence, work
from servers.agents.models import Challenge

challenge = answers(challenging.CHALLENGE, Challenge, seconds=60.0, attempts=8)(challenging.perform)


@shared_task(name=claiming.LOOK, ignore_result=True)
def look(provider: str) -> None:
    """Which servers are the machines that claim at this provider?"""
    close_old_connections()
    looking.look(UUID(provider))


@shared_task(name="agents.tidy_claims", ignore_result=True)
def tidy_claims() -> None:
    """Beat's question: which claims are over, and which wait to be looked at?"""
    close_old_connections()
    claiming.tidy()


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


@shared_task(name="agents.tidy", ignore_result=True)
def tidy() -> None:
    """Beat's question: what is so old that nobody needs it?"""
    close_old_connections()
    enrol.tidy()
    challenging.tidy()
    work.tidy()


@shared_task(name="agents.widen_releases", ignore_result=True)
def widen_releases() -> None:
    """Beat's question: which versions of the agent may go to more of them?"""
    close_old_connections()
    releasing.widen()


@shared_task(name="agents.samples", ignore_result=True)
def roll_samples() -> None:
    """Beat's question: which samples become means, and which are over?"""
    close_old_connections()
    samples.prepare()
    samples.roll_up()
