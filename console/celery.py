"""Celery: the queues and the whole beat schedule. Tasks live in their apps' tasks.py, on console/lib/jobs."""

from __future__ import annotations

import os
import signal
from typing import Any

from celery import Celery
from celery.signals import worker_process_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")

app = Celery("muster")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.task_default_queue = "default"
app.conf.task_routes = {"installs.*": {"queue": "ssh"}, "console.pulse_ssh": {"queue": "ssh"}}
app.conf.beat_schedule = {
    "sweep": {"task": "console.sweep", "schedule": 3.0, "options": {"expires": 10}},
    "pulse": {"task": "console.pulse", "schedule": 5.0, "options": {"expires": 15}},
    "pulse-ssh": {"task": "console.pulse_ssh", "schedule": 5.0, "options": {"expires": 15}},
    "sync-due": {"task": "accounts.sync_due", "schedule": 5.0, "options": {"expires": 10}},
    "forget-ssh-credentials": {"task": "installs.forget", "schedule": 60.0, "options": {"expires": 60}},
}
app.autodiscover_tasks()


@worker_process_init.connect
def _bind_life(**_: Any) -> None:
    """A pool process ends with its worker, even when that one was killed."""
    from console.lib.children import die_with_parent

    die_with_parent(signal.SIGKILL)
