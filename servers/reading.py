"""How an account is read: as a whole, or only what changed since the last time where its cloud can tell."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from accounts import clouds
from accounts.clouds.operations import Capabilities, Operation, Untold
from accounts.models import CloudAccount, SyncRun
from accounts.pacing import Pace
from console.lib.faults import Fault
from servers import comparing
from servers.comparing import Difference
from servers.models import Server

log = structlog.get_logger(__name__)

OVERLAP: Final = timedelta(seconds=120)  # asked for again: the cloud's clock is not ours, and its writes take time
# Changes do not tell everything: Nova leaves a server's `updated` as it is when an address moves. So a whole listing
# comes every hour, which is more often than the night that every platform needs.
SWEEP: Final = timedelta(hours=1)
# Where changes are what was ordered through the cloud (events, tasks), a server that stops by itself is in none: until
# the next whole listing it is shown as running.
SWEEP_ORDERED: Final = timedelta(minutes=12)
LEAST_CALLS: Final = 2  # that changes of such a cloud take: a whole listing of so many pages costs no more


@dataclass(frozen=True)
class Reading:
    """One good reading. `began`: when, before the first call. `accepted`: a person vouched for what is missing."""

    mode: SyncRun.Mode
    found: Difference
    began: datetime
    accepted: bool
    calls: int
    started: float  # by the monotonic clock

    @property
    def changed(self) -> int:
        """Servers that we had and that differ."""
        return len(self.found.changed) - self.found.added

    @property
    def words(self) -> str:
        found = self.found
        gone = f", {len(found.gone)} gone" if found.gone else ""
        counts = f"{found.added} new, {self.changed} changed, {len(found.vanished)} missing{gone}."
        if unread := len(found.unread):
            counts += f" {unread} could not be read and stand as they were: the listing left them out."
        return f"{found.listed} servers: {counts}" if self.mode == SyncRun.Mode.FULL else f"Changes only: {counts}"


def read(account: CloudAccount, run: SyncRun, driver: clouds.Driver, now: datetime) -> tuple[SyncRun.Mode, Difference]:
    """What the account's cloud tells against what we have. Raises any fault."""
    if account.changes_from is None or not _may_ask_for_changes(account, run, driver, now):
        return SyncRun.Mode.FULL, comparing.compare(account.pk, driver.servers)
    try:
        told, deleted = driver.changes(account.changes_from - OVERLAP)  # type: ignore[attr-defined]  # it can: see below
    except Untold:
        return SyncRun.Mode.FULL, comparing.compare(account.pk, driver.servers)
    return SyncRun.Mode.CHANGES, comparing.compare_some(account.pk, told, deleted)


def _may_ask_for_changes(account: CloudAccount, run: SyncRun, driver: clouds.Driver, now: datetime) -> bool:
    """Not when a person asked, a worker died over it, or it was long ago; not while servers are missing, which only a
    whole listing settles; and not where the cloud cannot tell, or where a whole listing, which says more, costs as
    few calls."""
    if run.trigger != SyncRun.Trigger.SCHEDULE or run.attempts > 1 or not _tells_changes(driver):
        return False
    complete = bool(getattr(driver, "changes_are_complete", True))
    fresh = account.swept_at is not None and now - account.swept_at < (SWEEP if complete else SWEEP_ORDERED)
    if not fresh or (not complete and account.server_count <= LEAST_CALLS * getattr(driver, "page", 0)):
        return False
    return not _misses_some(account)


def _tells_changes(driver: clouds.Driver) -> bool:
    able = getattr(driver, "capabilities", None)
    if able is None or not hasattr(driver, "changes"):
        return False
    table: Capabilities = able()
    return table[Operation.CHANGES].allowed


def _misses_some(account: CloudAccount) -> bool:
    return Server.objects.listed().filter(account=account, missing_since__isnull=False).exists()


def learn_limits(driver: Any, pace: Pace) -> None:
    """Ask the cloud once a day how many calls it allows. One that does not say is paced by our own measure."""
    if pace.knows or not hasattr(driver, "rates"):
        return
    try:
        pace.learn(driver.rates())
    except Fault as fault:
        log.info("limits not told", account=str(pace.account_id), reason=fault.words)
        pace.learn(())
