"""What became of a call whose answer nobody heard: its worker was killed, or the line broke.

Repeating it blindly could reboot a server twice or take two snapshots. So the cloud is asked what it took on, then
looked at, and where even that does not tell, the row ends as interrupted and a person decides.
"""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from accounts.clouds import State
from accounts.clouds.acting import ActingDriver
from accounts.clouds.operations import Operation, Phase, Progress, Snapshot, Task
from servers.actions.kinds import CREATE
from servers.actions.models import Action
from servers.actions.newcomers import newcomer
from servers.actions.unknown import Unknown

SETTLING = timedelta(seconds=20)  # in which a call that was heard has begun to show
CLOCKS = timedelta(minutes=1)  # by which a cloud's clock may be behind ours
NAMELESS = ("vcloud",)  # it keeps one snapshot of a server, and no name of it


def taken_on(row: Action, driver: ActingDriver, external_id: str) -> Task | None:
    """The work that the cloud took on for this call, where it can tell; it is followed then as if it had answered.

    Not asked of what is safe to repeat, which the server's state tells. Raises what the driver raises.
    """
    if row.called_at is None or row.kind == CREATE.name or row.does.repeatable:
        return None
    since = row.called_at - CLOCKS
    # One of ours just before must not be taken for this one.
    others = Action.objects.filter(server=row.server_id, kind=row.kind, ended_at__gt=since).exclude(pk=row.pk)
    if last := others.order_by("-ended_at").values_list("ended_at", flat=True).first():
        since = max(since, min(last, row.called_at))
    return driver.recent_task(row.does.operation, external_id, since)


def found_out(row: Action, driver: ActingDriver, external_id: str) -> Progress | None:
    """DONE, or RUNNING (look again), or None: it was not done, and asking again does no harm.

    Raises Unknown, and what the driver raises.
    """
    if row.called_at is None:
        return None
    if row.kind == CREATE.name:
        return newcomer(row, driver, external_id)
    done = f"{row.does.outcome} The worker stopped in the middle; the cloud shows that it was done."
    operation = row.does.operation
    if operation in (Operation.SNAPSHOT, Operation.DELETE_SNAPSHOT):
        return _by_snapshots(row, driver, external_id, done)
    facts = driver.server(external_id)
    if facts is None:
        if operation == Operation.DELETE:
            return Progress(Phase.DONE, done)
        raise Unknown("The worker stopped in the middle, and by now the server no longer exists at its cloud.")
    if operation == Operation.RENAME and facts.name == row.params["name"]:
        return Progress(Phase.DONE, done)
    goal = row.does.goal
    if goal is not None and facts.state == goal:
        return Progress(Phase.DONE, done)
    if facts.state == State.CHANGING and facts.raw_state.upper() != "VERIFY_RESIZE":
        return Progress(Phase.RUNNING, facts.raw_state)
    if _fresh(row):
        return Progress(Phase.RUNNING, facts.raw_state)
    if row.does.repeatable:
        return None
    raise Unknown(
        f"The worker stopped in the middle, and it cannot be told whether {external_id} heard of it. It was not asked "
        f"again, since that could do it twice. The server is {facts.raw_state or facts.state} now: look, then decide."
    )


def _by_snapshots(row: Action, driver: ActingDriver, external_id: str, done: str) -> Progress | None:
    there = driver.snapshots(external_id)
    if row.does.operation == Operation.DELETE_SNAPSHOT:
        if all(one.id != row.params["snapshot_id"] for one in there):
            return Progress(Phase.DONE, done)
        return Progress(Phase.RUNNING) if _fresh(row) else None
    if any(_is_it(one, row) for one in there):
        return Progress(Phase.DONE, done)
    if _fresh(row):
        return Progress(Phase.RUNNING)
    raise Unknown(
        f"The worker stopped in the middle, and the cloud shows no snapshot called {row.params['name']}. It was not "
        "asked again, since that could take two. Look at your snapshots, then decide."
    )


def _is_it(one: Snapshot, row: Action) -> bool:
    """Whether this snapshot is the one that the row asked for: an older one of the same name is not."""
    young = one.created_at is None or row.called_at is None or one.created_at >= row.called_at - CLOCKS
    return young and (one.name == row.params["name"] or row.account.endpoint.platform in NAMELESS)


def _fresh(row: Action) -> bool:
    """Whether a call that was heard may not show yet."""
    return row.called_at is not None and timezone.now() - row.called_at < SETTLING
