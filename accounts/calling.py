"""Calling an account's cloud for something small: at the account's pace, and not at all while its endpoint rests.

Whoever calls outside a whole reading goes through here, so that what a cloud asks of one worker, all of them heed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, cast

from accounts import breaker, linking, pacing
from accounts.clouds.acting import ActingDriver
from accounts.models import CloudAccount
from console.lib.faults import Fault, Unreachable

RESTING: Final = "This cloud did not answer several times, so it is left alone for a few minutes. Try again then."


def opened(account: CloudAccount, patience: float) -> ActingDriver:
    """A driver with the live credentials, that has not called yet; each call waits up to `patience` seconds for the
    account's turn, and raises SlowDown when that is not enough.

    Raises what `linking.live` raises, and Unreachable while the endpoint rests. Make its calls inside `heard`.
    """
    if breaker.paused([account.endpoint_id]):
        raise Unreachable(RESTING)
    return cast(ActingDriver, linking.live(account, pacing.Pace(account.pk, patience)))


@contextmanager
def heard(account: CloudAccount) -> Iterator[None]:
    """Faults pass through, and what they tell of the cloud is kept: its wish for fewer calls, and its silence."""
    try:
        yield
    except Fault as fault:
        pacing.heed(account.pk, fault)
        if isinstance(fault, Unreachable):
            breaker.failed(account.endpoint_id)
        raise
    breaker.worked(account.endpoint_id)


@contextmanager
def calling(account: CloudAccount, patience: float) -> Iterator[ActingDriver]:
    """`opened` and `heard` in one, for calls whose faults go on to the caller."""
    driver = opened(account, patience)
    with heard(account):
        yield driver
