"""What a server looks like after something was done to it, written at once by the sync's own hand."""

from __future__ import annotations

from dataclasses import dataclass

import structlog
from django.db import IntegrityError, transaction

from accounts import calling
from accounts.clouds import ServerFacts
from accounts.clouds.acting import ActingDriver
from accounts.models import CloudAccount
from console.lib import notify
from console.lib.faults import Fault
from console.lib.jobs.leases import Lease, Lost
from servers import comparing, writing
from servers.actions.models import Action
from servers.holding import holding
from servers.models import Server

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Seen:
    """A server as its cloud shows it just now; `facts` None: there is none of this id."""

    external_id: str
    facts: ServerFacts | None


def seen(account: CloudAccount, driver: ActingDriver, external_id: str) -> Seen | None:
    """Ask for the server; None when there is no id to ask for, or the cloud does not say."""
    if not external_id:
        return None
    try:
        with calling.heard(account):
            return Seen(external_id, driver.server(external_id))
    except Fault as fault:  # the next reading of the account brings it
        log.info("a server was not read for its action", account=str(account.pk), reason=fault.words)
        return None


def show(account: CloudAccount, told: Seen, *, deleted: bool = False) -> Server | None:
    """Bring the server's row up to what was seen; returns the row, None when there is none.

    `deleted`: we had it deleted, so that it is gone at once when its cloud has it no more; otherwise it is stamped as
    missing, and whole listings decide. Nothing is written when the account went meanwhile, or got other credentials.
    """
    try:
        with holding(account):
            _write(account, told, deleted)
    except Lost as lost:
        log.info("a server was seen too late", account=str(account.pk), reason=str(lost))
    found: Server | None = Server.objects.filter(account=account, external_id=told.external_id).first()
    return found


def _write(account: CloudAccount, told: Seen, deleted: bool) -> None:
    if told.facts is not None:
        found = comparing.compare_some(account.pk, [told.facts], [])
    else:
        found = comparing.compare_some(account.pk, [], [told.external_id])
        if deleted:
            listed = Server.objects.listed().filter(account=account, external_id=told.external_id)
            found.vanished, found.gone = [], list(listed.values_list("external_id", flat=True))
    if found.empty:
        return
    writing.write(account, found)
    if found.added or found.gone:
        notify.changed(account.customer_id, "servers")


def bind(row: Action, lease: Lease, account: CloudAccount, told: Seen) -> Server | None:
    """Write the new server down and make it the row's own; None when another action has it already, which then is
    its own at the end."""
    try:
        with transaction.atomic():
            found = show(account, told)
            if found is not None:
                lease.write(server=found)
    except IntegrityError as taken:
        log.info("a new server has an action already", action=str(row.pk), reason=str(taken))
        return None
    if found is not None:
        notify.changed(row.customer_id, f"action-{row.pk}")
        notify.changed(row.customer_id, f"server-{found.pk}")
    return found
