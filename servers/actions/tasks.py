"""Celery shells: one action, one step at a time."""

from __future__ import annotations

from console.lib.jobs.kinds import answers
from servers.actions import actions, working
from servers.actions.models import Action

# What a dead worker left is taken up again: working.py looks before it calls.
run = answers(actions.TASK, Action, seconds=90.0)(working.perform)
