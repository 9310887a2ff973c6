"""Sync of one account: list all of it, compare by digest, write what changed in one short transaction.

Walk: `due` → ring → `perform` (claimed) → `linking.verify` or `linking.live` → `comparing.compare` over all pages →
`writing.write` → hints. A fault becomes the account's status, with the reason, and changes no server.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

import structlog
from django.db import connection, transaction
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now

from accounts import breaker, clouds, generation, linking
from accounts.models import CloudAccount, SyncRun
from console.lib import notify
from console.lib.denials import Denied
from console.lib.faults import BadCredentials, Fault, Refused, SlowDown, Unexpected, Unreachable
from console.lib.jobs import ring
from console.lib.jobs.kinds import Kind, pause, work
from console.lib.jobs.leases import Keeper, Lease, Lost, claim
from console.lib.jobs.rows import ACTIVE, JobState
from providers.models import Customer, Provider
from servers import comparing, writing
from servers.comparing import Difference

log = structlog.get_logger(__name__)

KIND: Final = Kind(linking.SYNC, SyncRun)
EVERY: Final = 300.0  # seconds between two syncs of a healthy account
KEPT: Final = timedelta(days=30)  # of sync history
MOST_DUE: Final = 500  # accounts in one look

_STATUS: Final[dict[type[Fault], CloudAccount.Status]] = {
    BadCredentials: CloudAccount.Status.BAD_CREDENTIALS,
    Unreachable: CloudAccount.Status.UNREACHABLE,
    SlowDown: CloudAccount.Status.UNREACHABLE,
    Refused: CloudAccount.Status.REFUSED,
    Unexpected: CloudAccount.Status.ERROR,
}


def due(now: datetime) -> int:
    """Make and ring a run for each account whose time has come; returns how many.

    Left out: removed accounts, those without credentials, those of suspended or closed customers, of providers that
    are not enabled and of endpoints that are off or resting (`accounts.breaker`). Two at once are harmless.
    """
    with transaction.atomic():
        waiting = list(
            CloudAccount.objects.present()
            .filter(
                ~Exists(SyncRun.objects.filter(account=OuterRef("pk"), state__in=ACTIVE)),
                next_sync_at__lte=now,
                customer__status=Customer.Status.ACTIVE,
                endpoint__enabled=True,
                endpoint__provider__status=Provider.Status.ENABLED,
            )
            .exclude(sealed="", pending_sealed="")
            .order_by("next_sync_at")
            .select_for_update(skip_locked=True, no_key=True, of=("self",))
            .values_list("pk", "endpoint_id")[:MOST_DUE]
        )
        resting = breaker.paused({endpoint for _, endpoint in waiting})
        ready = [pk for pk, endpoint in waiting if endpoint not in resting]
        runs = [SyncRun(account_id=pk) for pk in ready]
        SyncRun.objects.bulk_create(runs, ignore_conflicts=True)
        # A run sets its own next time when it ends; this one stands when it cannot.
        CloudAccount.objects.filter(pk__in=ready).update(next_sync_at=now + timedelta(seconds=EVERY))
        CloudAccount.objects.filter(pk__in=[pk for pk, endpoint in waiting if endpoint in resting]).update(
            next_sync_at=now + timedelta(seconds=random.uniform(0.2, 1.2) * breaker.PAUSE)  # noqa: S311  # spreads load
        )
        for run in runs:
            ring(KIND.name, run.pk)
    return len(runs)


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
    started = time.monotonic()
    account = CloudAccount.objects.select_related("customer", "endpoint__provider").get(pk=run.account_id)
    if words := _stopped(account):
        lease.end(JobState.CANCELED, words)
        return
    # Should we break, the schedule comes back later and not at once. Who asks again meanwhile sets it to now.
    CloudAccount.objects.filter(pk=account.pk).update(next_sync_at=Now() + timedelta(seconds=EVERY))
    tried = account.pending_version
    driver: clouds.Driver | None = None
    found = Difference()
    try:
        driver, doubt = _sign_in(account, lease)
        found = comparing.compare(account.pk, driver.servers())
        if found.suspicious and not accept_missing:
            raise Unexpected(_frozen(account, found))
        generation.learn(account, driver)
    except linking.Replaced:
        lease.again(0, "Newer credentials came meanwhile.")
        ring(KIND.name, run.pk)
    except Fault as fault:
        _fail(account, lease, fault, tried, seen=found.seen, calls=driver.calls if driver else 0, **_took(started))
    else:
        _succeed(account, lease, found, doubt, tried, calls=driver.calls, started=started)


def _stopped(account: CloudAccount) -> str:
    """Why this account must not be read now, as a sentence; "" when it may be."""
    if account.removed_at is not None:
        return "The account was removed."
    if account.customer.status != Customer.Status.ACTIVE:
        return f"The customer is {account.customer.get_status_display().lower()}."
    if account.endpoint.provider.status != Provider.Status.ENABLED:
        return f"The provider is {account.endpoint.provider.get_status_display().lower()}."
    return "" if account.endpoint.enabled else "Staff turned this cloud endpoint off."


def _sign_in(account: CloudAccount, lease: Lease) -> tuple[clouds.Driver, Fault | None]:
    """A driver, and the fault of the pending credentials when the live ones had to do."""
    if not account.pending_sealed:
        return linking.live(account), None
    try:
        return linking.verify(account, lease), None
    except (BadCredentials, Refused, Unexpected) as fault:
        if not account.sealed:
            raise
        account.refresh_from_db()
        return linking.live(account), fault


def _frozen(account: CloudAccount, found: Difference) -> str:
    return (
        f"{len(found.vanished)} of {found.present} servers vanished from the listing at once, so nothing was changed. "
        f"If they were really deleted, staff can accept it: manage.py sync {account.pk} --accept-missing"
    )


def _took(started: float) -> dict[str, float]:
    return {"seconds": round(time.monotonic() - started, 3)}


@contextmanager
def _closing(account: CloudAccount, lease: Lease) -> Iterator[CloudAccount]:
    """One short transaction in which the account is locked and the lease is ours, or Lost."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            # Locks go customer, account, run, everywhere: new servers will want this one for their foreign key.
            cursor.execute("SELECT 1 FROM providers_customer WHERE id = %s FOR KEY SHARE", [account.customer_id])
        held = CloudAccount.objects.select_for_update(no_key=True).filter(pk=account.pk).first()
        if held is None:
            raise Lost(f"account {account.pk} is gone")
        lease.hold()
        yield held
        notify.changed(account.customer_id, f"account-{account.pk}")
        notify.changed(account.customer_id, "accounts")


def _succeed(
    account: CloudAccount, lease: Lease, found: Difference, doubt: Fault | None, tried: int, calls: int, started: float
) -> None:
    status, reason = CloudAccount.Status.OK, linking.refusal(account)
    if reason:
        status = CloudAccount.Status.BAD_CREDENTIALS
    elif doubt is not None:
        status = _STATUS[type(doubt)]
        reason = (
            f"Version {tried} of the credentials could not be verified. {doubt.words} "
            f"Version {account.credentials_version} stays in use."
        )
    with _closing(account, lease) as held:
        if not found.empty:
            writing.write(account, found)
            notify.changed(account.customer_id, "servers")
        _note(
            held, status, reason, tried, EVERY * random.uniform(0.9, 1.1),  # noqa: S311  # spreads load
            failures=0, last_sync_at=Now(), server_count=found.seen,
        )  # fmt: skip
        SyncRun.objects.filter(account=held, queued_at__lt=Now() - KEPT).exclude(state__in=ACTIVE).delete()
        changed = len(found.changed) - found.added
        lease.end(
            JobState.DONE,
            f"{found.seen} servers: {found.added} new, {changed} changed, {len(found.vanished)} missing.",
            seen=found.seen, added=found.added, changed=changed, missing=len(found.vanished), calls=calls,
            credentials_version=held.credentials_version, **_took(started),
        )  # fmt: skip
    breaker.worked(account.endpoint_id)


def _fail(account: CloudAccount, lease: Lease, fault: Fault, tried: int, **counts: Any) -> None:
    base, most = (600.0, 21600.0) if isinstance(fault, BadCredentials) else (15.0, 3600.0)
    with _closing(account, lease) as held:
        wait = pause(min(held.failures + 1, 20), fault, base, most)
        status = next(status for kind, status in _STATUS.items() if isinstance(fault, kind))
        _note(held, status, fault.words, tried, wait, failures=held.failures + 1)
        lease.end(JobState.FAILED, fault.words, credentials_version=held.credentials_version, **counts)
    log.info("sync failed", account=str(account.pk), status=status.value, reason=fault.words)
    if isinstance(fault, Unreachable):
        breaker.failed(account.endpoint_id)
    else:
        breaker.worked(account.endpoint_id)


def _note(held: CloudAccount, status: str, reason: str, tried: int, wait: float, **fields: Any) -> None:
    """Write how the account is. If newer credentials came meanwhile, what we know is of the old ones: try again."""
    if held.pending_version not in (0, tried):
        status, reason, wait = held.status, held.status_reason, 0.0
    if (status, reason) != (held.status, held.status_reason):
        fields["status_at"] = Now()
    CloudAccount.objects.filter(pk=held.pk).update(
        status=status, status_reason=reason, next_sync_at=Now() + timedelta(seconds=wait), **fields
    )
