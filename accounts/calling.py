"""Calling an account's cloud for something small: at the account's pace, and not at all while its endpoint rests.

Whoever calls outside a whole reading goes through here, so that what a cloud asks of one worker, all of them heed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, cast

from accounts import breaker, keeping, pacing
from accounts.clouds.acting import ActingDriver
from accounts.models import CloudAccount
from console.lib.faults import BadCredentials, Fault, Unexpected, Unreachable

RESTING: Final = "This cloud did not answer several times, so it is left alone for a few minutes. Try again then."


@contextmanager
def opened(account: CloudAccount, patience: float, within: float | None = None) -> Iterator[ActingDriver]:
    """A driver with the live credentials, signed in already where this process was of late (accounts.keeping).

    Each call waits up to `patience` seconds for the account's turn, and raises SlowDown when that is not enough; one
    that would begin later than `within` seconds from now raises Unreachable.
    `account` was just read, with customer and endpoint. Raises what `linking.live` raises, and Unreachable while the
    endpoint rests. Make its calls inside `heard`.
    """
    if breaker.paused([account.endpoint_id]):
        raise Unreachable(RESTING)
    with keeping.driver(account, pacing.Pace(account.pk, patience, within=within)) as driver:
        yield cast(ActingDriver, driver)


@contextmanager
def heard(account: CloudAccount) -> Iterator[None]:
    """Faults pass through, and what they tell of the cloud is kept: its wish for fewer calls, and its silence."""
    try:
        yield
    except Fault as fault:
        pacing.heed(account.pk, fault)
        if isinstance(fault, Unreachable):
            breaker.failed(account.endpoint_id)
        if isinstance(fault, BadCredentials | Unexpected):
            keeping.forget(account.pk)  # a new sign-in may find another state of things
        raise
    breaker.worked(account.endpoint_id)


@contextmanager
def calling(account: CloudAccount, patience: float, within: float | None = None) -> Iterator[ActingDriver]:
    """`opened` and `heard` in one, for calls whose faults go on to the caller."""
    with opened(account, patience, within) as driver, heard(account):
        yield driver
