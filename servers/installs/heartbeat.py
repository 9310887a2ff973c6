"""The last stages: an install is done when its agent is heard, not when its installer says so.

While the installer goes on by itself, and then until the agent is heard, the row keeps the state running under a lease
that nobody renews: no thread and no connection waits. Either the first heartbeat ends it (receivers.py), or the lease
lapses, the sweep rings, and a worker looks once more: on the server while the installer may be at work, and only here
after that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
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
INSTALLING = timedelta(minutes=10)  # for an installer that goes on by itself
SOONEST, LATEST = timedelta(seconds=20), timedelta(seconds=30)  # between two looks at it
DONE = "The agent reports."


def heard(row: Install) -> bool:
    """Whether an agent that enrolled since this install was asked for has reported."""
    agents = Agent.objects.live().filter(server=row.server_id, enrolled_at__gte=row.queued_at)
    return agents.filter(first_seen_at__isnull=False).exists()


def heard_of(rows: Collection[Install]) -> set[Any]:
    """The ids of those rows whose server's agent was heard since they were asked for."""
    agents = Agent.objects.live().filter(server__in=[row.server_id for row in rows], first_seen_at__isnull=False)
    since = dict(agents.values_list("server_id", "enrolled_at"))
    return {row.pk for row in rows if row.server_id in since and since[row.server_id] >= row.queued_at}


def leave(row: Install, lease: Lease, stages: list[dict[str, Any]], **fields: Any) -> None:
    """The installer goes on by itself: come back for it, after those that nobody has visited yet, unless its agent is
    heard first. Safe as `expect` is."""
    pause = _pause(row, stages)
    lease.write(
        stage=Install.Stage.INSTALL, stages=stages, detached_at=row.detached_at, leased_until=Now() + pause,
        due_at=Now() + pause, attempts=0, **fields,
    )  # fmt: skip
    if heard(row):
        finish(row, lease)


def leave_together(rows: list[Install]) -> None:
    """As `leave`, for rows whose `stages` are set, and that are locked by this transaction: whoever calls asks
    `heard_of` after it."""
    now = timezone.now()
    alike = defaultdict[tuple[datetime, int], list[Any]](list)
    for row in rows:
        pause = _pause(row, row.stages, now).seconds
        assert row.detached_at is not None  # noqa: S101 - _pause has set it
        alike[row.detached_at, pause].append(row.pk)
    for (since, pause), pks in alike.items():
        again = Now() + timedelta(seconds=pause)
        Install.objects.filter(pk__in=pks).update(
            stage=Install.Stage.INSTALL, detached_at=since, leased_until=again, due_at=again, attempts=0
        )
    Install.objects.bulk_update(rows, ["stages"])


def _pause(row: Install, stages: list[dict[str, Any]], now: datetime | None = None) -> timedelta:
    """How long to leave it alone now."""
    now = now or timezone.now()
    row.stages, row.detached_at = stages, row.detached_at or now
    return min(LATEST, max(SOONEST, now - row.detached_at))


def is_late(row: Install) -> bool:
    """Whether an installer that goes on by itself has had all the time there is."""
    return row.detached_at is not None and timezone.now() - row.detached_at > INSTALLING


def expect(row: Install, lease: Lease, stages: list[dict[str, Any]], **fields: Any) -> None:
    """The agent is installed: wait for it. Ends the row at once when it was faster than we are.

    The row's lock makes this safe: a heartbeat that comes at the same moment (receivers.py) either waits for this
    write and then sees the stage, or is finished before it and is seen by the look after it.
    """
    row.stages = [*stages, _begun(timezone.now())]
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
    if row.detached_at and row.stages[-1]["stage"] == Install.Stage.INSTALL:
        row.stages = _after_install(row)
    lease.end(JobState.DONE, DONE, stages=closed(row, ok=True), stage=Install.Stage.FIRST_HEARTBEAT, cause="", fix="")


def _after_install(row: Install) -> list[dict[str, Any]]:
    """The stages of a row whose installer nobody saw ending: when the agent enrolled, it had done its work."""
    now = timezone.now()
    agent = Agent.objects.live().filter(server=row.server_id).first()
    enrolled = min(max(agent.enrolled_at, _since(row)), now) if agent else now
    *before, last = row.stages
    seconds = round((enrolled - _since(row)).total_seconds(), 1)
    return [*before, {**last, "seconds": seconds, "ok": True}, _begun(enrolled)]


def _begun(at: datetime) -> dict[str, Any]:
    """The last stage, live since then."""
    return {"stage": Install.Stage.FIRST_HEARTBEAT.value, "started_at": at.isoformat(), "seconds": None, "ok": None}


def closed(row: Install, *, ok: bool) -> list[dict[str, Any]]:
    """The row's stages with the last one ended now."""
    *before, last = row.stages
    return [*before, {**last, "seconds": round((timezone.now() - _since(row)).total_seconds(), 1), "ok": ok}]


def _since(row: Install) -> datetime:
    return datetime.fromisoformat(row.stages[-1]["started_at"])
