"""The last stage: an install is done when its agent is heard, not when its installer says so.

The row keeps the state running under a long lease that nobody renews: no thread and no connection waits. Either the
first heartbeat ends it (receivers.py), or the lease lapses, the sweep rings, and a worker looks once more.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models.functions import Now
from django.utils import timezone

from console.lib.jobs.leases import Lease
from console.lib.jobs.rows import JobState
from servers.agents.models import Agent
from servers.installs.models import Install

PATIENCE = timedelta(minutes=3)
DONE = "The agent reports."


def heard(row: Install) -> bool:
    """Whether an agent that enrolled since this install was asked for has reported."""
    agents = Agent.objects.live().filter(server=row.server_id, enrolled_at__gte=row.queued_at)
    return agents.filter(first_seen_at__isnull=False).exists()


def expect(row: Install, lease: Lease, stages: list[dict[str, Any]], **fields: Any) -> None:
    """The agent is installed: wait for it. Ends the row at once when it was faster than we are.

    The row's lock makes this safe: a heartbeat that comes at the same moment (receivers.py) either waits for this
    write and then sees the stage, or is finished before it and is seen by the look after it.
    """
    now = timezone.now()
    live = {"stage": Install.Stage.FIRST_HEARTBEAT.value, "started_at": now.isoformat(), "seconds": None, "ok": None}
    row.stages = [*stages, live]
    lease.write(
        stage=Install.Stage.FIRST_HEARTBEAT, stages=row.stages, leased_until=Now() + PATIENCE, attempts=0, **fields
    )
    if heard(row):
        finish(row, lease)


def look_again(row: Install, lease: Lease) -> None:
    """The lease of a row in its last stage lapsed: it is done, or failed, or has some time left."""
    if heard(row):
        finish(row, lease)
        return
    left = PATIENCE - (timezone.now() - _since(row))
    if left > timedelta(0):
        lease.write(leased_until=Now() + left, attempts=0)
        return
    minutes = int(PATIENCE.total_seconds() // 60)
    if Agent.objects.live().filter(server=row.server_id, enrolled_at__gte=row.queued_at).exists():
        cause = f"The agent enrolled, but sent no heartbeat within {minutes} minutes."
    else:
        cause = f"The agent was installed and started, but did not enrol within {minutes} minutes."
    fix = (
        f"Check that the server goes on reaching {settings.PUBLIC_URL}. Run this on it to see what hinders the agent: "
        "python3 /opt/muster-agent/current/muster-agent.pyz status"
    )
    lease.end(JobState.FAILED, cause, cause=cause, fix=fix, stages=closed(row, ok=False))


def finish(row: Install, lease: Lease) -> None:
    lease.end(JobState.DONE, DONE, stages=closed(row, ok=True), cause="", fix="")


def closed(row: Install, *, ok: bool) -> list[dict[str, Any]]:
    """The row's stages with the last one ended now."""
    *before, last = row.stages
    return [*before, {**last, "seconds": round((timezone.now() - _since(row)).total_seconds(), 1), "ok": ok}]


def _since(row: Install) -> datetime:
    return datetime.fromisoformat(row.stages[-1]["started_at"])
