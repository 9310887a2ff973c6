"""Celery shells: one action, one step at a time; first passwords are forgotten in time."""

from __future__ import annotations

from celery import shared_task
from django.db import close_old_connections

from console.lib.jobs.kinds import answers
from servers.actions import actions, passwords, working
from servers.actions.models import Action

# What a dead worker left is taken up again: working.py looks before it calls.
run = answers(actions.TASK, Action, seconds=90.0, owner="customer_id")(working.perform)


@shared_task(name="actions.forget", ignore_result=True)
def forget() -> None:
    close_old_connections()
    passwords.forget()
