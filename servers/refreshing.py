"""Servers that matter just now are asked for by id, between two readings of their account.

Walk: beat → `due` (who looks at what, what is under way) → ring → `refresh_wanted`, which takes a place of the endpoint
→ `refresh` → `driver.server` → the sync's own write.
"""

from __future__ import annotations

import random
import time
from collections.abc import Collection, Iterable
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from django.apps import apps
from django.db.models import F, Q
from redis.exceptions import RedisError

from accounts import breaker, calling, clouds, pacing, places
from accounts.models import CloudAccount, SyncRun
from console.lib import notify
from console.lib.faults import Fault
from console.lib.jobs.bell import ring_now
from console.lib.jobs.leases import Lost
from console.lib.jobs.rows import Job
from console.lib.valkey import client
from servers import comparing, watching, writing
from servers.comparing import Difference
from servers.holding import holding
from servers.models import Server

log = structlog.get_logger(__name__)

REFRESH: Final = "servers.refresh"  # the task that asks for the servers of one account (servers/tasks.py)
EVERY: Final = 10.0  # seconds between two looks at a server; with beat's five it is seen within 15
LIMITED: Final = 21.0  # seconds between whole readings of a cloud with limits: Essex tells changes three times a minute
BY_ID: Final = 20  # servers of one account; when more are wanted, the whole account is read
ACCOUNTS: Final = 200  # that are asked in one look
SHARE: Final = 6  # a whole reading that takes a second comes again after six at the earliest
PATIENCE: Final = 1.0  # seconds that a refresh waits for the account's turn
USE: Final = "refresh"
AT_ONCE: Final = 2  # refreshes of one endpoint: one that crawls leaves room in the worker for others
WITHIN: Final = 30.0  # seconds in which a refresh begins with another server; the others are asked for the next time
LONGEST: Final = 90.0  # seconds in which it may begin another call: so long for one server, and the cloud is not there


def due(now: datetime) -> int:
    """Ring for each account that has servers to be refreshed and whose turn it is, ACCOUNTS at most; returns for how
    many. Beat asks every five seconds."""
    wanted = _wanted(now)
    resting = breaker.paused({endpoint for endpoint, _ in wanted.values()})
    rung = 0
    # In any order: where more are wanted than one look asks, the same ones would always come first.
    for account_id, (endpoint, ids) in random.sample(list(wanted.items()), len(wanted)):  # noqa: S311
        if rung >= ACCOUNTS:
            break
        if endpoint in resting:
            continue
        if len(ids) > BY_ID:
            rung += hurry(account_id, now)
        elif _turn(account_id):
            rung += ring_now(REFRESH, account_id)
    return rung


def hurry(account_id: Any, now: datetime) -> bool:
    """Let the account be read as a whole as soon as its turn comes, unless it just was, or readings take long."""
    last = SyncRun.objects.filter(account=account_id, seconds__isnull=False).order_by("-queued_at").first()
    least = LIMITED if pacing.known(account_id) else EVERY
    pause = timedelta(seconds=max(least, SHARE * (last.seconds or 0.0) if last else 0.0))
    accounts = CloudAccount.objects.filter(
        Q(last_sync_at__isnull=True) | Q(last_sync_at__lte=now - pause), pk=account_id, failures=0, next_sync_at__gt=now
    )
    return bool(accounts.update(next_sync_at=now))


def refresh_wanted(account_id: UUID, now: datetime) -> int:
    """What the ring asks for: the servers of this account that are wanted now, at most BY_ID. How many were asked; 0
    too when AT_ONCE others of its endpoint are at it."""
    endpoint, ids = _wanted(now, account_id).get(account_id, (None, []))
    if not ids:
        return 0
    with places.place(USE, endpoint, AT_ONCE, LONGEST) as taken:
        return refresh(account_id, ids[:BY_ID]) if taken else 0


def refresh(account_id: Any, ids: Collection[UUID]) -> int:
    """Ask the cloud for these servers of one account by id, and write what differs; returns how many answers came.

    A fault ends it: the next reading of the account tells people of it. One that the cloud does not know is stamped as
    missing; whether it is gone, whole listings decide. So many that are missing at once change nothing.
    """
    account = CloudAccount.objects.readable().select_related("customer", "endpoint").filter(pk=account_id).first()
    if account is None or not account.sealed:
        return 0
    rows = dict(Server.objects.listed().filter(account=account, pk__in=ids).values_list("external_id", "pk"))
    told, missing = _asked(account, rows)
    if not told and not missing:
        return 0
    found = comparing.compare_some(account.pk, told, missing)
    in_doubt = bool(found.vanished)
    if found.suspicious:
        log.warning("many servers unknown by id", account=str(account.pk), servers=len(found.vanished))
        found.vanished = []
    try:
        _write(account, found, rows, in_doubt)
    except Lost as lost:
        log.info("refresh came too late", account=str(account.pk), reason=str(lost))
        return 0
    return len(told) + len(missing)


def _asked(account: CloudAccount, external_ids: Iterable[str]) -> tuple[list[clouds.ServerFacts], list[str]]:
    """The cloud's answers until the first fault, or WITHIN: facts, and the ids that it does not know."""
    told: list[clouds.ServerFacts] = []
    missing: list[str] = []
    until = time.monotonic() + WITHIN
    try:
        with calling.calling(account, PATIENCE, within=LONGEST) as driver:
            for external_id in external_ids:
                if time.monotonic() > until:
                    break
                facts = driver.server(external_id)
                if facts is None:
                    missing.append(external_id)
                else:
                    told.append(facts)
    except Fault as fault:
        log.info("refresh ended early", account=str(account.pk), reason=fault.words)
    return told, missing


def _write(account: CloudAccount, found: Difference, rows: dict[str, UUID], in_doubt: bool) -> None:
    if found.empty and not in_doubt:
        return
    with holding(account):
        if in_doubt:  # a whole listing says more: soon, and not only the changes
            CloudAccount.objects.filter(pk=account.pk).update(changes_from=None)
        # One that was deleted while the cloud was asked is gone already, and stays so.
        rows = dict(Server.objects.listed().filter(pk__in=rows.values()).values_list("external_id", "pk"))
        found.changed = [facts for facts in found.changed if facts.external_id in rows]
        if found.empty:
            return
        writing.write(account, found)
        for external_id in [*(facts.external_id for facts in found.changed), *found.back, *found.vanished]:
            if external_id in rows:
                notify.changed(account.customer_id, f"server-{rows[external_id]}")


def _wanted(now: datetime, account_id: Any = None) -> dict[Any, tuple[Any, list[UUID]]]:
    """Account → its endpoint and the servers that are looked at or have work under way."""
    servers = Server.objects.listed().filter(
        pk__in=watching.looked_at(now.timestamp()) | _under_way(), account__in=CloudAccount.objects.readable()
    )
    if account_id is not None:
        servers = servers.filter(account=account_id)
    by_account: dict[Any, tuple[Any, list[UUID]]] = {}
    for account, endpoint, pk in servers.values_list("account_id", F("account__endpoint_id"), "pk"):
        by_account.setdefault(account, (endpoint, []))[1].append(pk)
    return by_account


def _under_way() -> set[UUID]:
    """The servers of every job that changes one and is not ended: installs, actions …"""
    ids: set[UUID] = set()
    for model in apps.get_models():
        if (
            issubclass(model, Job)
            and model.changes_server
            and any(field.name == "server" for field in model._meta.fields)
        ):
            active = model._default_manager.active().filter(server__isnull=False)
            ids.update(active.values_list("server_id", flat=True)[: watching.ALL])
    return ids


def _turn(account_id: Any) -> bool:
    """Whether nobody refreshed this account within EVERY seconds; who asks has the turn."""
    try:
        return bool(client().set(f"servers:refreshed:{account_id}", 1, nx=True, px=int(EVERY * 1000)))
    except RedisError as fault:
        log.warning("turn not taken", account=str(account_id), reason=str(fault))
        return False
