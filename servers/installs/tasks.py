"""Celery shells: a batch is worked by whoever hears its bell; credentials are forgotten in time."""

from __future__ import annotations

from celery import shared_task
from django.db import close_old_connections

from console.lib.jobs.kinds import Kind, register
from servers.installs import install, working
from servers.installs.models import Install

# Installing twice gives the same state, so what a dead worker left is simply done again.
register(Kind(install.TASK, Install, seconds=working.LEASE, attempts=4, lost="again", ring_by="batch_id"))


@shared_task(name=install.TASK, ignore_result=True)
def run(batch: str) -> None:
    close_old_connections()
    working.work(batch)


@shared_task(name="installs.forget", ignore_result=True)
def forget() -> None:
    install.forget()
