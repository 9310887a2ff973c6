"""Celery: the queues and the whole beat schedule. Tasks live in their apps' tasks.py, on console/lib/jobs."""

from __future__ import annotations

import gc
import os
import signal
from typing import Any

from celery import Celery
from celery.signals import (
    after_task_publish,
    beat_init,
    heartbeat_sent,
    setup_logging,
    worker_process_init,
    worker_ready,
)
from django_structlog.celery.steps import DjangoStructLogInitStep

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "console.settings")

app = Celery("muster")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.task_default_queue = "default"
app.conf.task_routes = {
    # What asks clouds has workers of its own: one that is slow holds up nothing else, and readings hold up no action.
    "actions.run": {"queue": "actions"},
    "agents.challenge": {"queue": "actions"},
    "agents.look": {"queue": "actions"},
    "accounts.sync": {"queue": "sync"},
    "servers.refresh": {"queue": "sync"},
    "installs.*": {"queue": "ssh"},
    "webhooks.*": {"queue": "webhooks"},
}
app.conf.beat_schedule = {
    "sweep": {"task": "console.sweep", "schedule": 3.0, "options": {"expires": 10}},
    "sync-due": {"task": "accounts.sync_due", "schedule": 5.0, "options": {"expires": 10}},
    "refresh-due": {"task": "servers.refresh_due", "schedule": 5.0, "options": {"expires": 10}},
    "erase": {"task": "providers.erase", "schedule": 600.0, "options": {"expires": 600}},
    "forget-calls": {"task": "providers.forget_calls", "schedule": 600.0, "options": {"expires": 600}},
    "tidy-imports": {"task": "accounts.tidy_imports", "schedule": 600.0, "options": {"expires": 600}},
    "webhooks-due": {"task": "webhooks.due", "schedule": 3.0, "options": {"expires": 10}},
    "webhooks-tidy": {"task": "webhooks.tidy", "schedule": 60.0, "options": {"expires": 60}},
    "agents-widen-releases": {"task": "agents.widen_releases", "schedule": 60.0, "options": {"expires": 60}},
    "agents-tidy-claims": {"task": "agents.tidy_claims", "schedule": 15.0, "options": {"expires": 15}},
    "agents-tidy": {"task": "agents.tidy", "schedule": 3600.0, "options": {"expires": 3600}},
    "agents-work-over": {"task": "agents.work_over", "schedule": 30.0, "options": {"expires": 30}},
    "agents-samples": {"task": "agents.samples", "schedule": 900.0, "options": {"expires": 900}},
    "agents-silent": {"task": "agents.silent", "schedule": 15.0, "options": {"expires": 15}},
    "forget-ssh-credentials": {"task": "installs.forget", "schedule": 60.0, "options": {"expires": 60}},
    "forget-first-passwords": {"task": "actions.forget", "schedule": 300.0, "options": {"expires": 300}},
}
app.steps["worker"].add(DjangoStructLogInitStep)
app.autodiscover_tasks()


@setup_logging.connect(weak=False)
def _keep_djangos(**_: Any) -> None:
    """Settings' LOGGING holds for Celery too: with a receiver here, it sets up none of its own."""


@worker_process_init.connect(weak=False)
def _bind_life(**_: Any) -> None:
    """A pool process ends with its worker, even when that one was killed. What it has loaded it keeps."""
    from console.lib.children import die_with_parent

    die_with_parent(signal.SIGKILL)
    gc.collect()
    gc.freeze()  # a listing makes a million objects: without this each look at them looks at all that is loaded too


@worker_ready.connect(weak=False)
def _keep_what_is_loaded(**_: Any) -> None:
    """The same for a worker that works in threads."""
    gc.collect()
    gc.freeze()


@worker_ready.connect(weak=False)
@heartbeat_sent.connect(weak=False)
def _worker_lives(**_: Any) -> None:
    """From the worker's main loop, every two seconds."""
    from console.lib import pulse

    for queue in app.amqp.queues.consume_from:
        pulse.leave_sometimes(queue)


@beat_init.connect(weak=False)
def _beat_starts(**_: Any) -> None:
    """Beat lives for as long as the broker takes what it sends; only in beat's process is that its own sign."""
    from console.lib import pulse

    def sent(**_: Any) -> None:
        pulse.leave_sometimes("beat")

    after_task_publish.connect(sent, weak=False)
    pulse.leave("beat")
