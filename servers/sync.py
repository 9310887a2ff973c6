"""Sync of one account: list it, compare by digest, write what changed in one short transaction.

Walk: `turns.due` → ring → `perform` (claimed) → `linking.verify` or `linking.live` → `reading.read`: all pages, or only
what changed since → `confirming.look` for those that a listing lacks → `writing.write` → hints. A fault becomes the
account's status, with the reason, and changes no server.
"""

from __future__ import annotations

import random
import time
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import structlog
from django.db.models.functions import Now
from django.utils import timezone

from accounts import breaker, clouds, generation, linking, pacing
from accounts.models import CloudAccount, SyncRun
from console.lib import notify
from console.lib.denials import Denied
from console.lib.faults import BadCredentials, Fault, Refused, SlowDown, Unexpected, Unreachable
from console.lib.jobs import ring
from console.lib.jobs.kinds import Kind, pause, work
from console.lib.jobs.leases import Keeper, Lease, claim
from console.lib.jobs.rows import ACTIVE, JobState
from providers.models import Customer, Provider
from servers import confirming, reading, writing
from servers.comparing import Difference
from servers.holding import holding

log = structlog.get_logger(__name__)

KIND: Final = Kind(linking.SYNC, SyncRun)
PATIENCE: Final = 60.0  # seconds that a call waits for the account's turn (accounts.pacing)
WHOLE: Final = 600.0  # seconds for a whole reading: hundreds of slow pages must not hold a worker for hours
KEPT: Final = timedelta(days=30)  # of sync history

_STATUS: Final[dict[type[Fault], CloudAccount.Status]] = {
    BadCredentials: CloudAccount.Status.BAD_CREDENTIALS,
    Unreachable: CloudAccount.Status.UNREACHABLE,
    SlowDown: CloudAccount.Status.UNREACHABLE,
    Refused: CloudAccount.Status.REFUSED,
    Unexpected: CloudAccount.Status.ERROR,
}


def now(account: CloudAccount, *, accept_missing: bool = False) -> SyncRun:
    """Sync at once, in this process; returns the run as it ended. Denied while another worker has it.

    `accept_missing`: stamp missing servers however many vanished.
    """
    SyncRun.objects.bulk_create([SyncRun(account=account, trigger=SyncRun.Trigger.COMMAND)], ignore_conflicts=True)
    for run, lease in claim(SyncRun.objects.filter(account=account, state__in=ACTIVE), KIND.seconds):
        with Keeper([lease]):
            work(KIND, partial(perform, accept_missing=accept_missing), run, lease)
        ended: SyncRun = run
        ended.refresh_from_db()
        return ended
    raise Denied("A sync of this account is running at the moment. Wait until it has ended.", "sync_running")


def perform(run: SyncRun, lease: Lease, *, accept_missing: bool = False) -> None:
    """The worker of a run: it ends the row itself, with counts and words. Raises Lost, and what is our own bug."""
    started, began = time.monotonic(), timezone.now()
    account = CloudAccount.objects.select_related("customer", "endpoint__provider").get(pk=run.account_id)
    if words := _stopped(account):
        lease.end(JobState.CANCELED, words)
        return
    # Should we break, the schedule comes back later and not at once. Who asks again meanwhile sets it to now.
    CloudAccount.objects.filter(pk=account.pk).update(next_sync_at=Now() + timedelta(seconds=pacing.EVERY))
    tried = account.pending_version
    pace = pacing.Pace(account.pk, PATIENCE, within=WHOLE)
    driver: clouds.Driver | None = None
    mode, found = SyncRun.Mode.FULL, Difference()
    try:
        driver, doubt = _sign_in(account, lease, pace)
        mode, found = reading.read(account, run, driver, began)
        if not accept_missing:
            _guard(account, found, began)
        if mode == SyncRun.Mode.FULL:  # what a cloud names as deleted needs no look
            confirming.look(account.pk, driver, found, vouched=accept_missing)
        confirming.confirm(account.pk, driver, found, began)
        reading.learn_limits(driver, pace)
        generation.learn(account, driver)
    except linking.Replaced:
        lease.again(0, "Newer credentials came meanwhile.")
        ring(KIND.name, run.pk)
    except Fault as fault:
        _fail(
            account, lease, fault, tried, live=driver is not None,
            mode=mode, seen=found.seen, calls=driver.calls if driver else 0, **_took(started),
        )  # fmt: skip
    else:
        read = reading.Reading(mode, found, began, accept_missing, driver.calls, started)
        _succeed(account, lease, read, doubt, tried)
    finally:
        if driver is not None:  # after the row has ended: nobody waits for it
            driver.close()


def _stopped(account: CloudAccount) -> str:
    """Why this account must not be read now, as a sentence; "" when it may be."""
    if account.removed_at is not None:
        return "The account was removed."
    if account.customer.status != Customer.Status.ACTIVE:
        return f"The customer is {account.customer.get_status_display().lower()}."
    if account.endpoint.provider.status != Provider.Status.ENABLED:
        return f"The provider is {account.endpoint.provider.get_status_display().lower()}."
    return "" if account.endpoint.enabled else "Staff turned this cloud endpoint off."


def _sign_in(account: CloudAccount, lease: Lease, pace: pacing.Pace) -> tuple[clouds.Driver, Fault | None]:
    """A driver, and the fault of the pending credentials when the live ones had to do."""
    if not account.pending_sealed:
        return linking.live(account, pace), None
    pacing.forget(account.pk)  # what a cloud asked for, it asked of the old credentials
    try:
        return linking.verify(account, lease, pace), None
    except (BadCredentials, Refused, Unexpected) as fault:
        if not account.sealed:
            raise
        account.refresh_from_db()
        return linking.live(account, pace), fault


def _guard(account: CloudAccount, found: Difference, at: datetime) -> None:
    """Unexpected when so many are missing at once that nothing may be changed (SECURITY.md §7)."""
    if found.suspicious:
        what = f"{len(found.vanished)} of {found.present} servers vanished from the listing at once"
    elif gone := confirming.overdue(found, at, account.vouched_at):
        what = f"{gone} of {found.present + len(found.absent)} servers would be gone at once"
    else:
        return
    raise Unexpected(
        f"{what}, so nothing was changed. "
        f"If they were really deleted, staff can accept it: manage.py sync {account.pk} --accept-missing"
    )


def _took(started: float) -> dict[str, float]:
    return {"seconds": round(time.monotonic() - started, 3)}


def _succeed(account: CloudAccount, lease: Lease, read: reading.Reading, doubt: Fault | None, tried: int) -> None:
    found = read.found
    status, reason = CloudAccount.Status.OK, linking.refusal(account)
    if reason:
        status = CloudAccount.Status.BAD_CREDENTIALS
    elif doubt is not None:
        status = _STATUS[type(doubt)]
        reason = (
            f"Version {tried} of the credentials could not be verified. {doubt.words} "
            f"Version {account.credentials_version} stays in use."
        )
    # Those that could not be read are among no changes: the next reading is a whole listing again.
    marks: dict[str, Any] = {"changes_from": None if found.unread else read.began}
    if read.mode == SyncRun.Mode.FULL:
        marks["swept_at"] = Now()
    if read.accepted:
        marks["vouched_at"] = Now()
    with holding(account, lease) as held:
        _tell(account)
        if held.status == CloudAccount.Status.BAD_CREDENTIALS and status == CloudAccount.Status.OK and not tried:
            linking.tell(account, "account.verified", version=held.credentials_version)  # the cloud takes them again
        writing.write(account, found)
        if not found.empty:
            notify.changed(account.customer_id, "servers")
        _note(
            held, status, reason, tried, pacing.EVERY * random.uniform(0.85, 0.97),  # noqa: S311  # spreads load
            failures=0, last_sync_at=Now(), server_count=found.listed,
            unread_count=len(found.unread), **marks,
        )  # fmt: skip
        SyncRun.objects.filter(account=held, queued_at__lt=Now() - KEPT).exclude(state__in=ACTIVE).delete()
        lease.end(
            JobState.DONE, read.words, mode=read.mode, seen=found.seen, added=found.added, changed=read.changed,
            missing=len(found.vanished), gone=len(found.gone), calls=read.calls,
            credentials_version=held.credentials_version, **_took(read.started),
        )  # fmt: skip
    breaker.worked(account.endpoint_id)


def _fail(account: CloudAccount, lease: Lease, fault: Fault, tried: int, *, live: bool, **counts: Any) -> None:
    """`live`: credentials that had passed were in use."""
    base, most = (600.0, 21600.0) if isinstance(fault, BadCredentials) else (15.0, 3600.0)
    pacing.heed(account.pk, fault)
    with holding(account, lease) as held:
        _tell(account)
        wait = pause(min(held.failures + 1, 20), fault, base, most)
        status = next(status for kind, status in _STATUS.items() if isinstance(fault, kind))
        if live and isinstance(fault, BadCredentials) and held.status != status:  # `verify` told of pushed ones itself
            version = held.credentials_version
            linking.tell(account, "account.failed", version=version, status=status, reason=fault.words)
        _note(held, status, fault.words, tried, wait, failures=held.failures + 1, changes_from=None)
        lease.end(JobState.FAILED, fault.words, credentials_version=held.credentials_version, **counts)
    log.info("sync failed", account=str(account.pk), status=status.value, reason=fault.words)
    if not isinstance(fault, Unreachable):
        breaker.worked(account.endpoint_id)
    elif account.endpoint.provider.sandbox_of_id is None:  # there, who signs in decides whether the cloud is away
        breaker.failed(account.endpoint_id)


def _tell(account: CloudAccount) -> None:
    notify.changed(account.customer_id, f"account-{account.pk}")
    notify.changed(account.customer_id, "accounts")


def _note(held: CloudAccount, status: str, reason: str, tried: int, wait: float, **fields: Any) -> None:
    """Write how the account is. If newer credentials came meanwhile, what we know is of the old ones: try again."""
    if held.pending_version not in (0, tried):
        status, reason, wait = held.status, held.status_reason, 0.0
    if (status, reason) != (held.status, held.status_reason):
        fields["status_at"] = Now()
    CloudAccount.objects.filter(pk=held.pk).update(
        status=status, status_reason=reason, next_sync_at=Now() + timedelta(seconds=wait), **fields
    )
