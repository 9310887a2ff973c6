"""Installing the agent on a customer's servers: what a person asks for, and what becomes of the credentials.

What a page shows. A batch (`InstallBatch`): `created_at`, `by`, `ssh_user`, `method`, `port`, `ended_at` (None while it
goes on), `progress(batch)`. Its rows (`batch.installs`): `server`, `address`, `status` (label and tone), `stage` (with
its label), `stages` (a list of `{"stage", "started_at", "seconds", "ok"}`; the live one is last, its `seconds` and
`ok` are None), `outcome`, and for one that failed or waits `cause` and `fix`. A row that waits for a person has state
`waiting`, stage `verify_host`, and `host_key_type`, `fingerprint`: post those fingerprints to `trusting.confirm`.
A failed row that has a `fingerprint` met a changed host key: offer `trusting.forget` for its server.
A batch with `jump_fingerprint` waits for the jump host's key: that is confirmed by the same call. Rows of a batch that
is `held` stop in state `waiting`, stage `sign_in`, once they were found reachable: `go_on` lets them go further.
Hints (console/lib/notify): `install-<row id>`, `batch-<batch id>`, `server-<id>`; rows by the hundred: `installs`.

Nothing here touches the network: rows are written and a worker is rung (tasks.py, working.py).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Count, F, Q
from django.db.models.functions import Now
from django.utils import timezone

from console.lib import audit, jobs, notify
from console.lib.denials import Denied, Wrong
from console.lib.jobs import leases
from console.lib.jobs.rows import ACTIVE, JobState
from console.models import User
from providers.models import Customer
from servers.agents import enrol
from servers.agents.models import Agent
from servers.installs import keys
from servers.installs.models import Install, InstallBatch
from servers.installs.through import USER, Jump
from servers.models import Server

TASK = "installs.run"
MOST = 1000  # servers in one batch
CREDENTIALS_LIVE = timedelta(minutes=60)
# What a row waits for: a host key to be confirmed, or the word to go on.
WAITS = Q(state=JobState.WAITING, stage=Install.Stage.VERIFY_HOST)
REACHABLE = Q(state=JobState.WAITING, stage=Install.Stage.SIGN_IN)
REUSED = "This Idempotency-Key came with other servers before. Use a new key for a new install."
GONE = "The SSH credentials of this install were deleted: they are kept for 60 minutes at most."


def start(
    servers: Iterable[Server],
    *,
    by: User,
    customer: Customer,
    user: str,
    private_key: str = "",
    passphrase: str = "",
    password: str = "",
    sudo_password: str = "",
    port: int = 22,
    use_sudo: bool = True,
    trust_new_host_keys: bool = False,
    look_first: bool = False,
    jump: Jump | None = None,
    request_key: str = "",
) -> InstallBatch:
    """Install the agent on these servers of `customer`, signing in as `user` with a private key or a password.

    One batch and a row for each server; a server on which it makes no sense gets a row that failed, with the reason.
    With `look_first` nobody signs in anywhere before `go_on`. With `jump` the servers are reached through that host.
    Wrong (fields `user`, `port`, `private_key`, `passphrase`, `password`, `servers`, and the same of the jump host with
    `jump_` before them) when it cannot be tried at all; Denied when the customer is suspended, or its provider may not
    have so many agents more.

    The same `request_key` of a customer gives the same batch again; Denied when it came with other servers before.
    """
    wanted = {server.pk: server for server in servers}
    _check(wanted, user, port, private_key, passphrase, password, jump)
    if customer.status != Customer.Status.ACTIVE:
        raise Denied("This customer is suspended: nothing can be installed.", "suspended")
    enrol.room(customer, len(wanted))
    batch = InstallBatch(
        customer=customer,
        by=by,
        ssh_user=user,
        method=InstallBatch.Method.KEY if private_key else InstallBatch.Method.PASSWORD,
        port=port,
        use_sudo=use_sudo,
        trust_new_host_keys=trust_new_host_keys,
        held=look_first,
        request_key=request_key,
        sealed_until=timezone.now() + CREDENTIALS_LIVE,
    )
    given = {"private_key": private_key, "passphrase": passphrase, "password": password, "sudo_password": sudo_password}
    if jump:
        batch.jump_host, batch.jump_port, batch.jump_user = jump.host, jump.port, jump.user or user
        given |= {f"jump_{name}": value for name, value in jump.secrets().items()}
    batch.close_credentials({name: value for name, value in given.items() if value})
    with transaction.atomic():
        # In this order and under a lock, so that of two people who ask at once one is told that the other did.
        found = list(
            Server.objects.filter(pk__in=wanted, customer=customer, account__removed_at__isnull=True)
            .select_for_update(of=("self",), no_key=True)
            .order_by("pk")
        )
        if len(found) != len(wanted):
            raise Wrong({"servers": ["Some of these servers are no longer there. Select them again."]})
        if request_key and (before := _asked_before(customer, request_key, set(wanted))):
            return before
        rows = _rows(batch, found)
        refused = sum(row.state == JobState.FAILED for row in rows)
        if refused == len(rows):
            batch.sealed, batch.sealed_until, batch.ended_at = "", None, timezone.now()
        try:
            with transaction.atomic():
                batch.save()
        except IntegrityError as rival:  # the same key, for other servers, at the same moment
            raise Denied(REUSED, "idempotency_key_reused") from rival
        Install.objects.bulk_create(rows)
        detail = {"servers": len(rows), "refused": refused, "user": user, "port": port, "method": batch.method}
        audit.note(audit.Actor.of(by), "install.started", target=batch, customer_id=customer.pk, detail=detail)
        for row in rows:
            notify.changed(customer.pk, f"server-{row.server_id}")
        if refused < len(rows):
            jobs.ring(TASK, batch.pk)
    return batch


def _check(
    servers: Collection[Any], user: str, port: int, private_key: str, passphrase: str, password: str, jump: Jump | None
) -> None:
    wrong: dict[str, list[str]] = jump.wrong() if jump else {}
    if not servers:
        wrong["servers"] = ["Select at least one server."]
    if len(servers) > MOST:
        wrong["servers"] = [f"Select at most {MOST} servers at once; these are {len(servers)}."]
    if not USER.fullmatch(user):
        wrong["user"] = ["Write the name of a user on the server, such as root, ubuntu or debian."]
    if not 1 <= port <= 65535:
        wrong["port"] = ["A port is a number from 1 to 65535."]
    if bool(private_key) == bool(password):
        wrong["private_key"] = ["Give either a private key or a password."]
    elif private_key:
        wrong |= keys.wrong(private_key, passphrase)
    if wrong:
        raise Wrong(wrong)


def _asked_before(customer: Customer, key: str, servers: set[Any]) -> InstallBatch | None:
    """The batch that this key made. The servers' locks are held, so of two calls at once the second one finds it."""
    before: InstallBatch | None = InstallBatch.objects.filter(customer=customer, request_key=key).first()
    if before is not None and set(before.installs.values_list("server_id", flat=True)) != servers:
        raise Denied(REUSED, "idempotency_key_reused")
    return before


def _rows(batch: InstallBatch, servers: list[Server]) -> list[Install]:
    """A row for each server, failed from the start where an install makes no sense."""
    refused = refusals(servers)
    rows = []
    for server in servers:
        row = Install(batch=batch, server=server, address=server.address, expires_at=batch.sealed_until)
        if said := refused.get(server.pk):
            row.cause, row.fix = said
            row.state, row.outcome, row.ended_at = JobState.FAILED, row.cause, timezone.now()
        rows.append(row)
    return rows


def refusals(servers: Collection[Server]) -> dict[Any, tuple[str, str]]:
    """Where an install makes no sense at the moment: server id → cause and fix. The form shows it beforehand."""
    reporting = set(Agent.objects.reporting().filter(server__in=servers).values_list("server_id", flat=True))
    under_way = set(Install.objects.active().filter(server__in=servers).values_list("server_id", flat=True))
    said = {server.pk: _refusal(server, server.pk in reporting, server.pk in under_way) for server in servers}
    return {pk: words for pk, words in said.items() if words is not None}


def _refusal(server: Server, reporting: bool, under_way: bool) -> tuple[str, str] | None:
    if reporting:
        return "Its agent reports already.", "There is nothing to do. To install it anew, remove the agent first."
    if under_way:
        return "Another install is under way on this server.", "Wait until that one has ended."
    if server.missing_since is not None:
        return "Its cloud no longer lists this server.", "Sync its account, and look whether the server still exists."
    if not server.address:
        return "Its cloud shows no address for this server.", "Give the server an address, and sync its account."
    if server.state in (Server.State.STOPPED, Server.State.SUSPENDED):
        return f"The server is {server.state}.", "Start the server, then try again."
    return None


def retry_failed(
    batch: InstallBatch,
    *,
    by: User,
    private_key: str = "",
    passphrase: str = "",
    password: str = "",
    sudo_password: str = "",
    jump_private_key: str = "",
    jump_passphrase: str = "",
    jump_password: str = "",
) -> InstallBatch:
    """A new batch, the same way, for those servers of this one on which it failed and whose agent does not report.

    The credentials are asked for again, since those of the batch are gone. Wrong and Denied as `start`; Denied when
    nothing failed.
    """
    failed = (JobState.FAILED, JobState.EXPIRED, JobState.INTERRUPTED)
    servers = Server.objects.filter(installs__batch=batch, installs__state__in=failed)
    servers = servers.exclude(agent__in=Agent.objects.reporting()).distinct()
    if not servers.exists():
        raise Denied("Nothing failed here that could be tried again.", "nothing_failed")
    jump = None
    if batch.jump_host:
        jump = Jump(batch.jump_host, batch.jump_port, batch.jump_user, jump_private_key, jump_passphrase, jump_password)
    return start(
        servers, by=by, customer=batch.customer, user=batch.ssh_user, private_key=private_key, passphrase=passphrase,
        password=password, sudo_password=sudo_password, port=batch.port, use_sudo=batch.use_sudo,
        trust_new_host_keys=batch.trust_new_host_keys, jump=jump,
    )  # fmt: skip


def go_on(batch: InstallBatch, *, by: User) -> int:
    """The look is over: install on those that were found reachable, and on those found so from now on. How many are.

    Denied when the batch is not held, has ended, or its credentials are gone.
    """
    with transaction.atomic():
        now = InstallBatch.objects.select_for_update(of=("self",), no_key=True).get(pk=batch.pk)
        if not now.held or now.ended_at is not None:
            raise Denied("Nothing waits here to go on.", "nothing_waits")
        if not now.sealed:
            raise Denied(f"{GONE} Start it again.", "credentials_gone")
        InstallBatch.objects.filter(pk=batch.pk).update(held=False)
        rows = list(batch.installs.select_for_update(of=("self",)).filter(REACHABLE))
        Install.objects.filter(pk__in=[row.pk for row in rows]).update(
            state=JobState.QUEUED, due_at=Now(), rung_at=None, attempts=0, outcome=""
        )
        detail = {"servers": len(rows)}
        audit.note(audit.Actor.of(by), "install.went_on", target=batch, customer_id=batch.customer_id, detail=detail)
        notify.changed(batch.customer_id, f"batch-{batch.pk}")
        jobs.ring(TASK, batch.pk)
    return len(rows)


def cancel(batch: InstallBatch, *, by: User) -> int:
    """Stop what has not ended; a running one loses its connection at once. How many were stopped."""
    with transaction.atomic():
        pks = leases.cancel(batch.installs.all(), f"Canceled by {by.email}.")
        if pks:
            audit.note(audit.Actor.of(by), "install.canceled", target=batch, customer_id=batch.customer_id,
                       detail={"servers": len(pks)})  # fmt: skip
    return len(pks)


def cancel_for(rows: Any, words: str) -> int:
    """Stop those of `rows` (a queryset of Install) that have not ended, because of what `words` says."""
    return len(leases.cancel(rows, words))


def forget() -> int:
    """Delete the credentials of batches whose time is over, and end what still waited for them. How many batches."""
    over = Q(sealed_until__lte=Now()) | Q(ended_at__isnull=False)
    count = 0
    for pk in InstallBatch.objects.exclude(sealed="").filter(over).values_list("pk", flat=True):
        with transaction.atomic():
            count += InstallBatch.objects.filter(pk=pk).exclude(sealed="").update(sealed="", sealed_until=None)
            left = Install.objects.filter(batch_id=pk, state__in=(JobState.QUEUED, JobState.WAITING))
            pks = list(left.select_for_update(of=("self",)).values_list("pk", flat=True))
            Install.objects.filter(pk__in=pks).update(
                state=JobState.EXPIRED, outcome=GONE, cause=GONE, fix="Start the install again.", ended_at=Now(),
                leased_until=None, fence=F("fence") + 1,
            )  # fmt: skip
            leases.announce(Install, pks)
    return count


def progress(batch: InstallBatch) -> dict[str, int]:
    """`{"total": n, "active": n, "waiting_for_you": n, "reachable": n, "done": n, "failed": n}`; all that ended
    otherwise is failed, and what waits for a person is not active."""
    counted: dict[str, int] = batch.installs.aggregate(
        total=Count("pk"),
        active=Count("pk", filter=Q(state__in=ACTIVE) & ~WAITS & ~REACHABLE),
        waiting_for_you=Count("pk", filter=WAITS),
        reachable=Count("pk", filter=REACHABLE),
        done=Count("pk", filter=Q(state=JobState.DONE)),
        failed=Count("pk", filter=~Q(state__in=(*ACTIVE, JobState.DONE))),
    )
    return counted
