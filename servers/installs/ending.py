"""How a connection to a server ended, written into its row: installed, left at work, reachable, waiting, failed."""

from __future__ import annotations

import contextlib
from typing import Any

import structlog
from django.db import transaction

from console.lib import notify
from console.lib.jobs import leases
from console.lib.jobs.rows import JobState
from servers.installs import heartbeat, trusting
from servers.installs.hands import Errand, Job, Result
from servers.installs.hostkeys import HostKey as Presented
from servers.installs.jump import JumpTrouble
from servers.installs.models import HostKey, Install, InstallBatch
from servers.installs.preparing import BROKE
from servers.installs.terms import Outcome, State
from servers.installs.trouble import Stage, Trouble, trouble

log = structlog.get_logger(__name__)
REACHABLE = "It can be reached, and its host key is known. Nothing was touched yet."
FOR_JUMP = "It waits until the jump host's key is confirmed."
# On the way back to an installer, these say nothing about it: the server may be starting anew.
PASSING = (Stage.CONNECT, Stage.SIGN_IN)


def goes_on(job: Job, result: Result) -> bool:
    """Whether the installer there goes on by itself, and has time left."""
    return isinstance(result, Outcome) and result.state is State.RUNNING and not heartbeat.is_late(job.row)


def let_go(batch: InstallBatch, jobs: list[Job]) -> set[Any]:
    """Let go of those whose installer goes on by itself, in one transaction; the ids of the rows that were written.

    The others are to be ended by themselves (`end`): somebody else writes to them just now, or holds them.
    """
    with transaction.atomic():
        free = leases.hold_free([job.lease for job in jobs])
        mine = [job for job in jobs if job.row.pk in free]
        for job in mine:
            if job.errand is not Errand.COLLECT:
                job.stages[-1] |= {"seconds": None, "ok": None}
            job.row.stages = job.stages
            notify.changed(batch.customer_id, f"install-{job.row.pk}")
        _remember_all(batch, [job for job in mine if job.errand is not Errand.COLLECT])
        heartbeat.leave_together([job.row for job in mine])
    heard = heartbeat.heard_of([job.row for job in mine]) if mine else set()
    for job in mine:
        if job.row.pk in heard:
            with contextlib.suppress(leases.Lost):  # the heartbeat itself has ended it meanwhile
                heartbeat.finish(job.row, job.lease)
    return free


def tell(batch: InstallBatch, jobs: list[Job]) -> None:
    """Write down the stages that rows are in, of those that are still ours and free."""
    with transaction.atomic():
        free = leases.hold_free([job.lease for job in jobs])
        rows = []
        for job in jobs:
            if job.row.pk in free:
                job.row.stage, job.row.stages = job.stages[-1]["stage"], job.stages
                rows.append(job.row)
                notify.changed(batch.customer_id, f"install-{job.row.pk}")
        Install.objects.bulk_update(rows, ["stage", "stages"])


def end(batch: InstallBatch, job: Job, result: Result, seconds: float) -> None:
    """Write down what came of it. Raises Lost when the row is no longer ours."""
    well = not isinstance(result, Exception)
    if job.stages and job.errand is not Errand.COLLECT:
        job.stages[-1] |= {"seconds": seconds, "ok": well}
    if isinstance(result, Presented):
        _reachable(batch, job)
    elif isinstance(result, Outcome):
        _ended_well(batch, job, result)
    elif isinstance(result, Trouble):
        _trouble(batch, job, result)
    else:
        log.error("install broke", row=str(job.row.pk), exc_info=result)
        job.lease.end(JobState.FAILED, BROKE, stages=job.stages, cause=BROKE, fix="Try again.")
    notify.changed(batch.customer_id, f"install-{job.row.pk}")


def _remember(batch: InstallBatch, job: Job) -> None:
    """Put the key that it showed on record, if it was not."""
    with transaction.atomic():
        job.lease.hold()
        _remember_all(batch, [job])


def _remember_all(batch: InstallBatch, jobs: list[Job]) -> None:
    """As `_remember`, of rows that this transaction has locked."""
    rebuilt = [job.row.server_id for job in jobs if job.presented and job.by_console]
    if rebuilt:
        HostKey.objects.filter(server__in=rebuilt).delete()  # those of before
    person, console = (HostKey.Source.PERSON, batch.by), (HostKey.Source.CONSOLE, None)
    trusting.remember_all(
        [
            trusting.as_row(job.row.server_id, job.presented, *(console if job.by_console else person))
            for job in jobs
            if job.presented
        ]
    )


def _reachable(batch: InstallBatch, job: Job) -> None:
    """It waits for a person to go on; or goes on at once, when that one was faster."""
    _remember(batch, job)
    with transaction.atomic():
        now = InstallBatch.objects.select_for_update(of=("self",), no_key=True).get(pk=batch.pk)
        fields = {"stage": Install.Stage.SIGN_IN, "stages": job.stages, "address": job.target.host}
        if now.held and now.sealed_until:
            job.lease.park(now.sealed_until, REACHABLE, **fields)
        else:
            job.lease.again(0, "", **fields, attempts=0)
        notify.changed(batch.customer_id, f"batch-{batch.pk}")


def _ended_well(batch: InstallBatch, job: Job, outcome: Outcome) -> None:
    if job.errand is not Errand.COLLECT:
        _remember(batch, job)
    if outcome.state is State.RUNNING:
        if heartbeat.is_late(job.row):
            job.stages = heartbeat.closed(job.row, ok=False)
            minutes = f"{heartbeat.INSTALLING.total_seconds() / 60:g}"
            _failed(job, trouble("still_running", minutes=minutes))
            return
        if job.errand is not Errand.COLLECT:
            job.stages[-1] |= {"seconds": None, "ok": None}  # it goes on
        heartbeat.leave(job.row, job.lease, job.stages, address=job.target.host)
        return
    if job.errand is Errand.COLLECT:
        job.stages = heartbeat.closed(job.row, ok=True)
    heartbeat.expect(job.row, job.lease, job.stages, address=job.target.host)


def _trouble(batch: InstallBatch, job: Job, problem: Trouble) -> None:
    if problem.code == "unknown_host_key" and batch.sealed_until:
        _ask_for_key(batch, job, problem)
        return
    if job.errand is Errand.COLLECT:
        if (problem.stage in PASSING or problem.code == "lost") and not heartbeat.is_late(job.row):
            heartbeat.leave(job.row, job.lease, job.stages)
            return
        if problem.code == "cut_off" and not job.row.attached:
            # Some servers end all that a session leaves behind (KillUserProcesses): once more, and we stay with it.
            job.lease.again(0, "", attached=True, detached_at=None, stages=[], stage=Install.Stage.CONNECT, attempts=0)
            return
        job.stages = heartbeat.closed(job.row, ok=False)
    _failed(job, problem)


def _failed(job: Job, problem: Trouble) -> None:
    job.lease.end(JobState.FAILED, problem.cause, **_words(job, problem))


def _words(job: Job, problem: Trouble) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "stage": problem.stage.value, "stages": job.stages, "cause": problem.cause, "fix": problem.fix,
    }  # fmt: skip
    if problem.presented and not isinstance(problem, JumpTrouble):
        key = problem.presented
        fields |= {"host_key_type": key.type, "host_key": key.base64, "fingerprint": key.fingerprint}
    return fields


def _ask_for_key(batch: InstallBatch, job: Job, problem: Trouble) -> None:
    """The row waits for a person to confirm its host key, or that of the jump host before it."""
    fields, words = _words(job, problem), problem.cause
    if isinstance(problem, JumpTrouble) and problem.presented:
        key = problem.presented
        InstallBatch.objects.filter(pk=batch.pk).update(
            jump_key_type=key.type, jump_key=key.base64, jump_fingerprint=key.fingerprint
        )
        words = FOR_JUMP
        fields |= {"cause": "", "fix": ""}
    assert batch.sealed_until is not None  # noqa: S101 - whoever calls has looked
    job.lease.park(batch.sealed_until, words, **fields)
    notify.changed(batch.customer_id, f"batch-{batch.pk}")
