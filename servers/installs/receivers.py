"""What others tell: an agent was heard, a row ended, a customer or an account goes."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models.functions import Now
from django.dispatch import receiver

from accounts.models import CloudAccount
from accounts.signals import account_removed
from console.lib import audit, notify
from console.lib.jobs.leases import Lease
from console.lib.jobs.rows import ACTIVE, JobState
from console.lib.jobs.signals import ended
from providers.models import Customer
from providers.signals import customer_closing, customer_suspended
from servers.agents.models import Agent
from servers.agents.signals import first_heartbeat
from servers.installs import heartbeat, install
from servers.installs.models import Install, InstallBatch
from servers.signals import servers_gone


@receiver(first_heartbeat)
def complete(agent: Agent, **_: Any) -> None:
    """The agent was heard: its server's install is done. One that is in an earlier stage finds out by itself, but
    only after this transaction, since the row stays locked until then (heartbeat.expect)."""
    running = Install.objects.select_for_update(of=("self",)).filter(server=agent.server_id, state=JobState.RUNNING)
    for row in running:
        if row.stage == Install.Stage.FIRST_HEARTBEAT or row.detached_at is not None:
            heartbeat.finish(row, Lease(Install, row.pk, row.fence, 0))


@receiver(ended, sender=Install)
def settle(pk: Any, **_: Any) -> None:
    """A row ended: the last one of a batch ends the batch, and with it its credentials."""
    row = Install.objects.select_related("server").get(pk=pk)
    if row.state not in (JobState.DONE, JobState.CANCELED) and not row.cause:
        Install.objects.filter(pk=pk).update(cause=row.outcome, fix="Try again.")
    # Under the batch's lock each ending row sees those that ended before it, so exactly one of them is the last.
    batch = InstallBatch.objects.select_for_update(of=("self",), no_key=True).get(pk=row.batch_id)
    if not Install.objects.filter(batch=batch, state__in=ACTIVE).exists():
        InstallBatch.objects.filter(pk=batch.pk).update(sealed="", sealed_until=None, ended_at=Now())
    if row.state != JobState.CANCELED:
        detail = {"batch": str(batch.pk), "outcome": row.outcome, "stage": row.stage}
        audit.note(
            audit.SYSTEM, f"install.{row.state}", target=row.server, customer_id=batch.customer_id, detail=detail
        )
    for what in (f"install-{pk}", f"batch-{batch.pk}", f"server-{row.server_id}"):
        notify.changed(batch.customer_id, what)


@receiver((customer_closing, customer_suspended))
def stop_for_customer(customer: Customer, **_: Any) -> None:
    install.cancel_for(Install.objects.filter(batch__customer=customer), "The customer was suspended or closed.")


@receiver(servers_gone)
def stop_for_gone_servers(ids: list[UUID], **_: Any) -> None:
    install.cancel_for(Install.objects.filter(server__in=ids), "The server is gone from its cloud.")


@receiver(account_removed)
def stop_for_account(account: CloudAccount, **_: Any) -> None:
    install.cancel_for(Install.objects.filter(server__account=account), "The server's account was removed.")
