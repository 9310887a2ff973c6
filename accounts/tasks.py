"""Celery shells of the accounts app."""

from __future__ import annotations

from accounts import imports
from accounts.models import Import
from console.lib.jobs.kinds import answers

# What a dead worker left is taken up again: each slice is a transaction of its own.
run = answers(imports.TASK, Import, seconds=60.0)(imports.perform)
