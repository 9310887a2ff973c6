"""A person asks for an account to be read now."""

from __future__ import annotations

from django.db import transaction

from accounts import linking
from accounts.models import CloudAccount, SyncRun
from console.lib import audit, notify
from console.lib.denials import Denied
from console.lib.jobs.rows import ACTIVE
from console.models import User


def cannot(account: CloudAccount, active: bool) -> str:
    """Why it cannot be asked for at the moment, as a sentence; empty when it can. `active`: a reading is under way."""
    if active:
        return "A sync is under way."
    if account.customer.status != "active":
        return "This workspace is suspended: accounts are not read. Ask your provider."
    if not account.endpoint.enabled:
        return "Staff turned this cloud endpoint off."
    if not account.credentials_version and not account.pending_version:
        return f"There are no credentials. Ask {account.endpoint.provider} to send them."
    return ""


def sync_now(account: CloudAccount, *, by: User) -> SyncRun:
    """Queue a reading. Denied with the reason when there can be none; one that waits already is the one asked for."""
    running: SyncRun | None = account.sync_runs.filter(state__in=ACTIVE).first()
    if running is not None:
        return running
    if reason := cannot(account, active=False):
        raise Denied(reason)
    with transaction.atomic():
        audit.note(audit.Actor.of(by), "account.sync_asked", target=account, customer_id=account.customer_id,
                   provider_id=account.customer.provider_id)  # fmt: skip
        notify.changed(account.customer_id, f"account-{account.pk}")
        return linking.ask(account, SyncRun.Trigger.PERSON)
