"""A nonce is put where only one instance can read it, and taken away again (SECURITY.md §1, step 3).

The row is the work (console.lib.jobs): queued → placed, and rests → taken away, when it was answered or its ten minutes
are over. A worker that is killed leaves a row whose lease runs out, and each step may be done twice.
"""

from __future__ import annotations

import random
import secrets
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from django.db.models.functions import Now

from accounts import calling, places
from accounts.models import CloudAccount
from console.lib import seal
from console.lib.faults import SlowDown
from console.lib.jobs import ring
from console.lib.jobs.leases import Lease
from console.lib.jobs.rows import ACTIVE, JobState
from console.lib.seal import SealBroken
from servers.agents import admitting
from servers.agents.channels import CHANNELS
from servers.agents.models import Challenge, Claim
from servers.models import Server

log = structlog.get_logger(__name__)

CHALLENGE: Final = "agents.challenge"  # the task (tasks.py)
GOOD: Final = timedelta(minutes=10)  # for which a nonce may be answered
AGAIN: Final = timedelta(hours=1)  # until a claim that could not read one is given another
FAIR: Final = timedelta(minutes=5)  # in which a machine can read a nonce, if it can at all
PATIENCE: Final = 3.0  # seconds for the account's turn
SPARE: Final = 0.2  # the same, for taking away what was used: those who wait to be let in come first
KEPT: Final = timedelta(days=7)  # for which one that is over can be looked at
BUSY: Final = timedelta(hours=1)  # for which a cloud that asks for fewer calls is waited for


def pose(server_id: UUID) -> None:
    """Challenge this server, unless a nonce stands there already. One for all who claim to be it."""
    if Challenge.objects.active().filter(server=server_id).exists():
        return
    made = Challenge(server_id=server_id)
    made.sealed = seal.close({"nonce": secrets.token_urlsafe(32)}, made.place())
    Challenge.objects.bulk_create([made], ignore_conflicts=True)  # one active a server: the database sees to it
    if Challenge.objects.filter(pk=made.pk).exists():
        ring(CHALLENGE, made.pk)


def nonce(challenge: Challenge) -> str | None:
    """None once it was used."""
    return seal.open_(challenge.sealed, challenge.place())["nonce"] if challenge.sealed else None


def nudge(server_id: UUID) -> None:
    """Somebody answered: the worker looks now."""
    resting = Challenge.objects.filter(server=server_id, state=JobState.WAITING)
    for pk in list(resting.values_list("pk", flat=True)):
        resting.filter(pk=pk).update(due_at=Now(), rung_at=None)
        ring(CHALLENGE, pk)


def perform(challenge: Challenge, lease: Lease) -> str | None:
    """One step of a challenge that is held; how it ended in words, or None when it rests. Raises the cloud's faults.

    When many machines start at once, the account's pace is what they wait for: that costs no attempt and no worker.
    """
    server = Server.objects.select_related("account__endpoint", "account__customer").get(pk=challenge.server_id)
    try:
        with places.work(server.account.endpoint_id) as taken:
            if not taken:
                raise SlowDown(places.WORK_WAITS)
            return _step(server, challenge, lease)
    except SlowDown as fault:
        if not Challenge.objects.filter(pk=challenge.pk, queued_at__gt=Now() - BUSY).exists():
            raise
        lease.rest(max(fault.retry_after or 0.0, random.uniform(1, 4)), fault.words)  # noqa: S311  # spreads load
        return None


def _step(server: Server, challenge: Challenge, lease: Lease) -> str | None:
    try:
        secret = nonce(challenge)
    except SealBroken as error:
        log.error("sealed nonce does not open", reason=str(error))
        secret = None
    if challenge.placed_at is None:
        if secret is None or server.gone_at is not None or not CloudAccount.objects.readable().filter(
            pk=server.account_id
        ):  # fmt: skip
            return "Nothing was put there: the server or its account is not there any more."
        _place(server, challenge, lease, secret)
        if _answered(challenge):
            nudge(server.pk)
        return None
    words = "Nobody answered."
    if _answered(challenge):
        with calling.calling(server.account, PATIENCE, places.WORK_WITHIN) as driver:
            told = admitting.look(driver, server)
        words = admitting.settle(server, told, lease)
    elif secret is not None and Challenge.objects.filter(pk=challenge.pk, placed_at__gt=Now() - GOOD).exists():
        lease.rest(GOOD.total_seconds())  # it was woken for nothing
        return None
    with calling.calling(server.account, SPARE, places.WORK_WITHIN) as driver:
        CHANNELS[server.account.endpoint.platform].take(driver, server.external_id, _before(challenge))
    lease.write(removed_at=Now(), sealed="", before="")
    return words


def _place(server: Server, challenge: Challenge, lease: Lease, secret: str) -> None:
    channel = CHANNELS[server.account.endpoint.platform]
    with calling.calling(server.account, PATIENCE, places.WORK_WITHIN) as driver:
        before = channel.before(driver, server.external_id)
        if before:
            lease.write(before=seal.close({"data": before.hex()}, challenge.place("before")))
        channel.put(driver, server.external_id, secret, before)
    lease.rest(GOOD.total_seconds(), "It waits for the machine to answer.", placed_at=Now())


def _before(challenge: Challenge) -> bytes:
    if not challenge.before:
        return b""
    return bytes.fromhex(seal.open_(challenge.before, challenge.place("before"))["data"])


def _answered(challenge: Challenge) -> bool:
    """Whether claims wait that answered this nonce."""
    return admitting.proven(challenge.server_id).exists()


def tidy() -> int:
    """Delete challenges that ended long ago; how many."""
    return Challenge.objects.filter(ended_at__lt=Now() - KEPT).exclude(state__in=ACTIVE).delete()[0]


def over(pk: Any) -> None:
    """A challenge ended. Claims that it could not help fall back to what their network says, for an hour; one that
    answered while the cloud was away is challenged anew."""
    challenge = Challenge.objects.only("server_id", "placed_at", "state").get(pk=pk)
    waiting = Claim.objects.filter(server=challenge.server_id, state=Claim.State.WAITING)
    unread = waiting.filter(proven_at__isnull=True)
    if challenge.placed_at is not None:
        unread = unread.filter(first_at__lt=Now() - FAIR)
    unread.update(challenged_at=Now())
    waiting.update(looked_at=None, proven_at=None)
