"""The worker of an action: call the cloud once, keep what it answered, then look now and then until it has ended.

No thread waits: between two looks the row is parked. A worker may be killed at any point. `called_at` is written
before the call and `task_ref` after it, both under the row's fence, so whoever takes the row up next knows which of
the three it is: not called yet; under way, to be found again by its ref; or cut off in between (recovering.py).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

import structlog
from django.db import transaction
from django.utils import timezone

from accounts import linking
from accounts.clouds import ServerFacts
from accounts.clouds.acting import ActingDriver
from accounts.clouds.operations import Phase, Progress, Task, require
from accounts.models import CloudAccount
from console.lib import notify
from console.lib.faults import Fault, SlowDown, Unreachable
from console.lib.jobs.kinds import pause
from console.lib.jobs.leases import Lease
from console.lib.jobs.rows import JobState
from servers import writing
from servers.actions.models import Action
from servers.actions.recovering import Unknown, found_out
from servers.comparing import Difference
from servers.models import Server

log = structlog.get_logger(__name__)

PATIENCE = timedelta(hours=2)  # after which an action counts as failed, whatever its cloud is still doing
LOOKS = (1.0, 1.0, 2.0, 3.0, 5.0)  # seconds between looks; the last one again and again


def perform(row: Action, lease: Lease) -> None:
    """Carry the row one step on, and park or end it. Raises Lost, what is our own bug, and faults of signing in."""
    account = CloudAccount.objects.select_related("customer", "endpoint__provider").get(pk=row.account_id)
    server = row.server
    if server is None:
        _end(row, lease, None, JobState.FAILED, "This server is no longer there.")
        return
    driver = cast(ActingDriver, linking.live(account))
    if row.task_ref:
        _look(row, lease, driver, server)
    elif row.called_at is not None:
        _recover(row, lease, driver, server)
    else:
        _call(row, lease, driver, server)


def _call(row: Action, lease: Lease, driver: ActingDriver, server: Server) -> None:
    """The one call. What fails before `called_at` may be tried again without harm; what fails after it, not blindly."""
    able = driver.capabilities()  # signs in
    require(able, row.does.operation)
    row.called_at = timezone.now()
    lease.write(called_at=row.called_at, phase="", percent=None)
    _tell(row)
    try:
        task = row.does.call(driver, server.external_id, row.params)
    except SlowDown as fault:  # refused before anything was done
        lease.again(pause(row.attempts, fault), fault.words, called_at=None)
        return
    except Unreachable as fault:  # it may have been heard
        log.info("an action's call got no answer", action=str(row.pk), reason=fault.words)
        lease.park(timezone.now() + timedelta(seconds=LOOKS[-1]), fault.words)
        return
    except Fault as fault:
        _end(row, lease, driver, JobState.FAILED, fault.words)
        return
    row.task_ref = task.ref
    lease.write(task_ref=task.ref)
    _look(row, lease, driver, server)


def _look(row: Action, lease: Lease, driver: ActingDriver, server: Server) -> None:
    """Ask the cloud how its task stands."""
    try:
        told = driver.task(Task(row.task_ref, server.external_id))
    except (Unreachable, SlowDown) as fault:  # the cloud goes on without us: patience
        _wait(row, lease, fault.words, pause(min(row.polls, 6), fault))
        return
    except Fault as fault:
        words = f"The cloud took it on, and then could not say how it stands. {fault.words}"
        _end(row, lease, driver, JobState.FAILED, words)
        return
    if told.phase == Phase.RUNNING:
        _wait(row, lease, "", _next(row), told)
    elif told.phase == Phase.FAILED:
        _end(row, lease, driver, JobState.FAILED, told.words or "The cloud gave it up, and said no reason.")
    else:
        _end(row, lease, driver, JobState.DONE, told.words or f"{row.does.past}.")


def _recover(row: Action, lease: Lease, driver: ActingDriver, server: Server) -> None:
    """The call was begun and its answer is not known. Look what became of it; call again only where that is safe."""
    try:
        told = found_out(row, driver, server.external_id)
    except (Unreachable, SlowDown) as fault:
        _wait(row, lease, fault.words, pause(min(row.polls, 6), fault))
        return
    except Unknown as unknown:
        _end(row, lease, driver, JobState.INTERRUPTED, unknown.words)
        return
    if told is None:
        lease.again(0, "It was not heard by the cloud; it is asked again.", called_at=None)
    elif told.phase == Phase.RUNNING:
        _wait(row, lease, "", _next(row), told)
    else:
        _end(row, lease, driver, JobState.DONE, told.words)


def _next(row: Action) -> float:
    return LOOKS[min(row.polls, len(LOOKS) - 1)]


def _wait(row: Action, lease: Lease, words: str, seconds: float, told: Progress | None = None) -> None:
    """Park until the next look; give up when it took too long."""
    if row.called_at is not None and timezone.now() - row.called_at > PATIENCE:
        hours = int(PATIENCE.total_seconds() // 3600)
        _end(row, lease, None, JobState.FAILED, f"The cloud had not finished it after {hours} hours.")
        return
    changed: dict[str, Any] = {}
    if told is not None:
        changed = {"phase": told.words[:255], "percent": told.percent}
    lease.park(timezone.now() + timedelta(seconds=seconds), words, polls=row.polls + 1, **changed)
    if told is None or (row.phase, row.percent) != (changed["phase"], changed["percent"]):
        _tell(row)


def _end(row: Action, lease: Lease, driver: ActingDriver | None, state: JobState, words: str) -> None:
    """The row ends together with what its server looks like by now."""
    seen = _seen(row, driver) if driver is not None else None
    with transaction.atomic():
        if seen is not None:
            _write(row, *seen)
        lease.end(state, words, percent=100 if state == JobState.DONE else row.percent)


def _seen(row: Action, driver: ActingDriver) -> tuple[str, ServerFacts | None] | None:
    """The server's id there, and its facts (None: gone); None altogether when the cloud does not say."""
    if row.server is None:
        return None
    try:
        return row.server.external_id, driver.server(row.server.external_id)
    except Fault as fault:  # the next reading of the account brings it
        log.info("a server was not read after its action", action=str(row.pk), reason=fault.words)
        return None


def _write(row: Action, external_id: str, facts: ServerFacts | None) -> None:
    """Bring the server's row up to what was seen, unless its account went meanwhile."""
    account = CloudAccount.objects.select_for_update(of=("self",), no_key=True).filter(pk=row.account_id).first()
    if account is None or account.removed_at is not None:
        return
    found = Difference(vanished=[external_id]) if facts is None else Difference(changed=[facts])
    writing.write(account, found)


def _tell(row: Action) -> None:
    notify.changed(row.customer_id, f"action-{row.pk}")
    notify.changed(row.customer_id, f"server-{row.server_id}")
