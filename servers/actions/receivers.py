"""What others tell: a row ended, a customer or an account goes."""

from __future__ import annotations

from typing import Any

from django.db.models.functions import Now
from django.dispatch import receiver

from accounts.models import CloudAccount
from accounts.signals import account_removed
from console.lib import audit, notify
from console.lib.jobs.rows import ACTIVE, JobState
from console.lib.jobs.signals import ended
from providers.models import Customer
from providers.signals import customer_closing, customer_suspended
from servers.actions import actions, passwords
from servers.actions.models import Action, ActionBatch


@receiver(ended, sender=Action)
def settle(pk: Any, **_: Any) -> None:
    """A row ended: it goes into the log, and the last one of a batch ends the batch."""
    row = Action.objects.select_related("server").get(pk=pk)
    # Under the batch's lock each ending row sees those that ended before it, so exactly one of them is the last.
    batch = ActionBatch.objects.select_for_update(of=("self",), no_key=True).get(pk=row.batch_id)
    if not Action.objects.filter(batch=batch, state__in=ACTIVE).exists():
        ActionBatch.objects.filter(pk=batch.pk).update(ended_at=Now())
    if row.order_sealed:  # what was ordered is no longer needed, however it ended
        Action.objects.filter(pk=pk).update(order_sealed="")
    if row.state != JobState.CANCELED:
        by = str(batch.by) if batch.by else ""
        detail = {"kind": row.kind, "batch": str(batch.pk), "outcome": row.outcome, "by": by}
        if snapshot := row.params.get("snapshot_name"):
            detail["snapshot"] = snapshot
        audit.note(audit.SYSTEM, f"action.{row.state}", target=row.server or row, customer_id=row.customer_id,
                   detail=detail)  # fmt: skip
    told = [f"action-{pk}", f"batch-{batch.pk}"]
    for what in [*told, f"server-{row.server_id}"] if row.server_id else told:
        notify.changed(row.customer_id, what)


@receiver((customer_closing, customer_suspended))
def stop_for_customer(customer: Customer, **_: Any) -> None:
    actions.cancel_for(Action.objects.filter(customer=customer), "The customer was suspended or closed.")


@receiver(account_removed)
def stop_for_account(account: CloudAccount, **_: Any) -> None:
    rows = Action.objects.filter(account=account)
    actions.cancel_for(rows, "The server's account was removed.")
    passwords.wipe(rows)


@receiver(customer_closing)
def forget_for_customer(customer: Customer, **_: Any) -> None:
    passwords.wipe(Action.objects.filter(customer=customer))
