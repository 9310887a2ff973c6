"""Cloud credentials of a customer: pushed with a version that only grows, verified by really signing in, rotated.

Fresh credentials wait in `pending_*`; the old ones stay live until the new ones have passed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import structlog
from django.db import models, transaction
from django.db.models import Case, Max, Sum, When
from django.db.models.functions import Greatest, Now
from django.utils import timezone

from accounts import clouds, opening
from accounts.models import CloudAccount, CredentialPush, SyncRun
from accounts.signals import account_removed
from console.lib import audit, notify
from console.lib.denials import Denied, Wrong
from console.lib.faults import BadCredentials, Refused, Unexpected
from console.lib.jobs import leases, ring
from console.lib.jobs.leases import Lease
from console.lib.jobs.rows import ACTIVE
from console.lib.outbound import Transport
from console.lib.seal import SealBroken
from providers import events, quotas
from providers.models import CloudEndpoint, Customer, Provider
from providers.platforms import PLATFORMS

log = structlog.get_logger(__name__)

SYNC: Final = "accounts.sync"  # the task that verifies, lists and writes (servers/tasks.py)


class Replaced(Exception):
    """The credentials that were being verified are not the newest any more. Verify again."""


@dataclass(frozen=True)
class Pushed:
    """`created`: the account is new, or was removed before. `changed`: these credentials were not known yet."""

    account: CloudAccount
    created: bool
    changed: bool


def push(
    customer: Customer,
    external_id: str,
    *,
    endpoint: CloudEndpoint,
    name: str,
    version: int,
    credentials: Mapping[str, str],
    actor: audit.Actor,
) -> Pushed:
    """Take credentials over from the provider; a worker verifies them. The same push again changes nothing.

    Raises Wrong for credentials of the wrong form or another provider's endpoint; Denied for a new account when the
    provider may have no more servers, for a version that is older than one pushed before, for other credentials under
    the same version, for a closed customer, and for a move to another endpoint while credentials are live (they would
    be sent to a cloud they were not meant for).
    """
    credentials = {key: value for key, value in credentials.items() if value}
    check(customer.provider_id, endpoint, version, credentials)
    with transaction.atomic():
        # Locks go customer, account, run, everywhere; "no key" lets a sync of the customer insert servers meanwhile.
        # Twenty pushes at once come one after the other here.
        open_ones = Customer.objects.exclude(status=Customer.Status.CLOSED).select_for_update(no_key=True)
        if not open_ones.filter(pk=customer.pk).exists():
            raise Denied("This customer is closed. Make it again first.", "customer_closed")
        theirs = CloudAccount.objects.filter(customer=customer, external_id=external_id)
        account: CloudAccount | None = theirs.select_for_update(no_key=True).first()
        created = account is None or account.removed_at is not None
        if created:
            _require_room(customer)
        if account is None:
            account = CloudAccount(customer=customer, external_id=external_id, endpoint=endpoint, name=name)
        elif account.endpoint_id != endpoint.pk:
            if account.sealed:
                raise Denied(
                    "This account has credentials for another endpoint. Remove it, or push another account.",
                    "endpoint_differs",
                )
            account.endpoint = endpoint
        changed = _take(account, version, credentials, actor)
        if created or changed:
            account.status, account.status_at = CloudAccount.Status.PENDING, timezone.now()
            stays = f" Version {account.credentials_version} stays in use until it passes." if account.sealed else ""
            account.status_reason = f"Version {version} of the credentials is being verified.{stays}"
        if created or changed or account.name != name:
            account.name, account.removed_at = name, None
            account.save(update_fields=None if account._state.adding else [
                "name", "removed_at", "endpoint", "status", "status_at", "status_reason",
                "pending_sealed", "pending_version",
            ])  # fmt: skip
            notify.changed(customer.pk, "accounts")
        if created or changed:
            verb = "account.linked" if created else "account.credentials_pushed"
            audit.note(actor, verb, target=account, customer_id=customer.pk, provider_id=customer.provider_id,
                       detail={"version": version})  # fmt: skip
        if account.pending_sealed:
            ask(account, SyncRun.Trigger.PUSH)
    account.refresh_from_db()
    account.endpoint, account.customer = endpoint, customer
    return Pushed(account, created, changed)


def _require_room(customer: Customer) -> None:
    """An account more may bring servers: there must be room for one at least. One that was not read yet counts as one
    server. Under a lock of the provider, so that of two at once one is told."""
    provider = customer.provider
    if provider is None or provider.max_servers is None:
        return
    Provider.objects.select_for_update(no_key=True).get(pk=provider.pk)
    theirs = CloudAccount.objects.present().filter(customer__provider=provider)
    count = Case(When(swept_at=None, then=Greatest("server_count", 1)), default="server_count")
    quotas.require(provider, "servers", theirs.aggregate(all=Sum(count))["all"] or 0)


def ask(account: CloudAccount, trigger: str) -> SyncRun:
    """A sync of this account, soon: the one that waits already, or a new one. Call it inside a transaction."""
    run = SyncRun(account=account, trigger=trigger)
    SyncRun.objects.bulk_create([run], ignore_conflicts=True)  # one active run an account: the database sees to it
    active: SyncRun = account.sync_runs.filter(state__in=ACTIVE).first() or run
    # If that one is past its sign-in already, the schedule makes the next one when it has ended.
    CloudAccount.objects.filter(pk=account.pk).update(next_sync_at=Now())
    ring(SYNC, active.pk)
    return active


def verify(account: CloudAccount, lease: Lease, before_call: Callable[[str], None] | None = None) -> clouds.Driver:
    """Sign in with the pending credentials; when that works they are the live ones. Returns the driver that signed in.

    No transaction may be open. BadCredentials ends the push as refused, and what was live stays live. After Refused or
    Unexpected it counts as failed, which the provider is told once, and is tried again; any other fault leaves it
    pending. Raises Replaced when a newer push came meanwhile, Lost when the lease is gone.
    """
    with ExitStack() as unless_passed:
        driver = _passed(account, lease, before_call, unless_passed)
        unless_passed.pop_all()
    return driver


def _passed(
    account: CloudAccount, lease: Lease, before_call: Callable[[str], None] | None, unless_passed: ExitStack
) -> clouds.Driver:
    version = account.pending_version
    credentials = _opened(account.pending_credentials)
    try:
        driver = opening.driver(account, credentials, before_call)
        unless_passed.callback(driver.close)
        checked = driver.check()
    except BadCredentials as fault:
        with _still_pending(account, version, lease) as held:
            held.pending_sealed, held.pending_version = "", 0
            held.save(update_fields=["pending_sealed", "pending_version"])
            _waiting(held, version).update(outcome=CredentialPush.Outcome.REFUSED, reason=fault.words, ended_at=Now())
            status = CloudAccount.Status.BAD_CREDENTIALS
            tell(held, "account.failed", version=version, status=status, reason=fault.words)
        raise
    except (Refused, Unexpected) as fault:
        with _still_pending(account, version, lease) as held:
            first = held.pushes.filter(version=version, outcome=CredentialPush.Outcome.PENDING).update(
                outcome=CredentialPush.Outcome.FAILED, reason=fault.words, ended_at=Now()
            )
            if first:  # of all the tries of this version
                refused = isinstance(fault, Refused)
                status = CloudAccount.Status.REFUSED if refused else CloudAccount.Status.ERROR
                tell(held, "account.failed", version=version, status=status, reason=fault.words)
        raise
    with _still_pending(account, version, lease) as held:
        held.promote_pending()
        held.version_found = checked.version[:60]
        held.generation = checked.generation[:20]
        held.save(update_fields=[
            "sealed", "credentials_version", "pending_sealed", "pending_version", "version_found", "generation",
        ])  # fmt: skip
        # Other credentials may see other servers: what changed since the last reading is not all.
        CloudAccount.objects.filter(pk=held.pk).update(verified_at=Now(), changes_from=None)
        CloudEndpoint.objects.filter(pk=held.endpoint_id).update(version_found=checked.version[:60])
        _waiting(held, version).update(outcome=CredentialPush.Outcome.PASSED, reason="", ended_at=Now())
        audit.note(audit.SYSTEM, "account.credentials_verified", target=held, customer_id=held.customer_id,
                   provider_id=held.endpoint.provider_id, detail={"version": version})  # fmt: skip
        tell(held, "account.verified", version=version)
    account.refresh_from_db()
    return driver


def _waiting(account: CloudAccount, version: int) -> models.QuerySet[CredentialPush]:
    """The pushes of that version that may still pass."""
    waits = (CredentialPush.Outcome.PENDING, CredentialPush.Outcome.FAILED)
    rows: models.QuerySet[CredentialPush] = account.pushes.filter(version=version, outcome__in=waits)
    return rows


def live(
    account: CloudAccount,
    before_call: Callable[[str], None] | None = None,
    through: Transport | None = None,
) -> clouds.Driver:
    """A driver with the credentials that passed (see `opening.driver`). BadCredentials when none have."""
    if not account.sealed:
        raise BadCredentials(refusal(account) or "No credentials were pushed yet.")
    return opening.driver(account, _opened(account.credentials), before_call, through)


def refusal(account: CloudAccount) -> str:
    """Why the newest push was refused, as a sentence; "" when it passed, waits, or there was none."""
    newest = account.pushes.order_by("-version", "-id").first()
    if newest is None or newest.outcome != CredentialPush.Outcome.REFUSED:
        return ""
    stays = f" Version {account.credentials_version} stays in use." if account.sealed else ""
    return f"Version {newest.version} of the credentials was refused. {newest.reason}{stays}"


def remove(account: CloudAccount, actor: audit.Actor) -> None:
    """The account leaves the lists and its credentials are wiped at once. Twice is harmless."""
    with transaction.atomic():
        held = _lock(CloudAccount.objects.filter(pk=account.pk, removed_at__isnull=True))
        if held is None:
            return
        wipe(held, "The account was removed.")
        CloudAccount.objects.filter(pk=held.pk).update(removed_at=Now())
        account_removed.send(sender=CloudAccount, account=held)
        audit.note(actor, "account.removed", target=held, customer_id=held.customer_id,
                   provider_id=held.customer.provider_id)  # fmt: skip
        tell(held, "account.removed")
        notify.changed(held.customer_id, "accounts")
        notify.changed(held.customer_id, "servers")


def wipe(account: CloudAccount, why: str) -> None:
    """Forget every credential of the account, and stop what runs with them. Call it inside a transaction."""
    CloudAccount.objects.filter(pk=account.pk).update(
        sealed="", credentials_version=0, pending_sealed="", pending_version=0
    )
    leases.cancel(SyncRun.objects.filter(account=account), why)
    account.pushes.filter(outcome=CredentialPush.Outcome.PENDING).update(
        outcome=CredentialPush.Outcome.REPLACED, reason=why, ended_at=Now()
    )


def tell(account: CloudAccount, type: str, **data: Any) -> None:
    """Fire something about this account to its provider's webhooks. Call it inside a transaction."""
    events.fire_for(account.customer, type, account_id=account.external_id, name=account.name, **data)


def _lock(accounts: models.QuerySet[CloudAccount]) -> CloudAccount | None:
    return accounts.select_for_update(of=("self",), no_key=True).select_related("customer", "endpoint").first()


@contextmanager
def _still_pending(account: CloudAccount, version: int, lease: Lease) -> Iterator[CloudAccount]:
    """The account, locked, in a short transaction of ours, while that version waits and the lease is ours."""
    with transaction.atomic():
        held = _lock(CloudAccount.objects.filter(pk=account.pk, removed_at__isnull=True, pending_version=version))
        if held is None:
            raise Replaced(f"version {version} of account {account.pk} waits no more")
        lease.hold()
        yield held


def _opened(read: Callable[[], dict[str, str]]) -> dict[str, str]:
    try:
        return read()
    except SealBroken as error:
        log.error("sealed credentials do not open", reason=str(error))
        raise Unexpected("The stored credentials do not open. Staff see why in the log; push them again.") from error


def check(provider: UUID | None, endpoint: CloudEndpoint, version: int, credentials: Mapping[str, str]) -> None:
    """Wrong (`endpoint`, `version`, `credentials`) when these cannot be pushed to this endpoint of that provider."""
    if endpoint.provider_id != provider or not endpoint.enabled:
        raise Wrong({"endpoint": ["This provider has no such endpoint. GET endpoints lists those it has."]})
    if not 1 <= version < 2**63:
        raise Wrong({"version": ["The version is a whole number from 1 on that only grows."]})
    forms = PLATFORMS[endpoint.platform].forms
    if not any(form.fits(frozenset(credentials)) for form in forms):
        wanted = " or ".join(map(str, forms))
        raise Wrong({"credentials": [f"{endpoint.get_platform_display()} takes {wanted}."]})


def _take(account: CloudAccount, version: int, credentials: dict[str, str], actor: audit.Actor) -> bool:
    """Seal the credentials as pending (not saved) unless they are known. Denied when the version does not fit."""
    fresh = account._state.adding
    newest = 0 if fresh else account.pushes.aggregate(newest=Max("version"))["newest"] or 0
    if version < newest:
        raise Denied(f"Version {version} is older than version {newest}, which was pushed before.", "version_is_older")
    if version == newest:
        held = {account.credentials_version: account.credentials, account.pending_version: account.pending_credentials}
        try:
            known = held[version]() if version in held else {}
        except SealBroken as error:  # what does not open is worth replacing
            log.error("sealed credentials do not open", reason=str(error))
            known = {}
        if known:
            if known == credentials:
                return False
            raise Denied(
                f"Version {version} was pushed before with other credentials. Push these as version {version + 1}.",
                "version_is_taken",
            )
    if not fresh:
        account.pushes.filter(outcome=CredentialPush.Outcome.PENDING).update(
            outcome=CredentialPush.Outcome.REPLACED, ended_at=Now()
        )
    account.close_pending(credentials, version)
    CredentialPush.objects.create(account=account, version=version, actor_name=actor.name[:254])
    return True
