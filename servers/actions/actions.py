"""Acting on servers: what a person or a program asks for becomes rows, one for each server, and a worker is rung.

A batch (`ActionBatch`): `kind`, `params`, `by`, `created_at`, `ended_at` (None while it goes on), `progress(batch)`.
Its rows (`batch.actions`): `server` (None when its row is gone), `name`, `status` (label and tone), `phase` (the
cloud's own word for where it is), `percent` (where the cloud says), `outcome` (how it ended, or why it waits).
Hints (console/lib/notify): `action-<row id>`, `batch-<batch id>`, `server-<id>`; rows by the hundred: `actions`.

Nothing here touches the network: that is done in working.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.db import transaction
from django.db.models import Count, Q
from django.utils import timezone

from accounts import ready
from accounts.clouds.operations import Operation
from console.lib import audit, notify
from console.lib.denials import Wrong
from console.lib.jobs import leases, sharing
from console.lib.jobs.rows import ACTIVE, JobState
from console.models import User
from providers.models import Customer
from servers.actions import ability, measures
from servers.actions.kinds import CREATE, KINDS, Kind
from servers.actions.models import Action, ActionBatch
from servers.models import Server

TASK = "actions.run"
MOST = 1000  # servers in one batch
GIVEN_UP = "Given up: deleted."
GONE = "This server is no longer there. Select again in the list."


def start(
    servers: Iterable[Server], *, kind: str, params: Mapping[str, Any] | None = None, by: User, customer: Customer
) -> ActionBatch:
    """Do this to these servers of `customer`: one batch, and a row for each.

    A server on which it cannot be done gets a row that failed, with the reason; none is dropped. `params`: rename
    `{name}`, snapshot `{name?}`, resize `{size}` (its id) or, where the
    cloud takes them (vCloud), `{cpus?, memory_mb?}`, revert_snapshot and delete_snapshot `{snapshot_id}` (and
    `snapshot_name`, to be shown).
    Wrong (fields `kind`, `servers`, and those of `params`) when it cannot be tried at all.
    """
    wanted = {server.pk: server for server in servers}
    does = KINDS.get(kind)
    if does is None:
        raise Wrong({"kind": [f"There is no such action. Known: {', '.join(KINDS)}."]})
    given = _checked(does, dict(params or {}), len(wanted))
    with transaction.atomic():
        batch = ActionBatch(customer=customer, by=by, kind=kind, params=given)
        # In this order and under a lock, so that of two people who ask at once one is told that the other did.
        # "of self": a suspension of the customer is seen by the receivers, which cancel what was asked before it.
        rows = Server.objects.filter(pk__in=wanted, customer=customer)
        rows = rows.select_for_update(of=("self",), no_key=True).order_by("pk")
        found = {server.pk: server for server in rows.select_related("customer", "account__endpoint")}
        refused = ability.refusals(found.values(), does)
        if does.operation == Operation.RESIZE:
            refused = _measured(found.values(), given) | refused
        if does.operation == Operation.DELETE:
            # Whoever makes such a server finds out at its next write that the row is not its own any more.
            making = Action.objects.filter(server__in=found.keys() - refused.keys(), kind=CREATE.name)
            cancel_for(making, GIVEN_UP)
        made = [_row(batch, found.get(pk), server, refused) for pk, server in wanted.items()]
        failed = sum(row.state == JobState.FAILED for row in made)
        if failed == len(made):
            batch.ended_at = timezone.now()
        batch.save()
        Action.objects.bulk_create(made)
        announce(batch, made)
    return batch


def announce(batch: ActionBatch, rows: list[Action]) -> None:
    """What follows once these rows are written, in the same transaction: the audit entry, the hints, and the bells, of
    which a customer has few on their way at a time (jobs.sharing)."""
    failed = sum(row.state == JobState.FAILED for row in rows)
    told = {"kind": batch.kind, "servers": len(rows), "refused": failed, "params": batch.params}
    by = audit.Actor.of(batch.by) if batch.by else audit.SYSTEM
    audit.note(by, "action.started", target=batch, customer_id=batch.customer_id, detail=told)
    notify.changed(batch.customer_id, "batches")
    for row in rows:
        if row.server_id:
            notify.changed(batch.customer_id, f"server-{row.server_id}")
    if failed < len(rows):
        sharing.ring_for(TASK, Action.objects.filter(customer=batch.customer_id))


def _row(batch: ActionBatch, server: Server | None, asked: Server, refused: Mapping[Any, str]) -> Action:
    row = Action(
        batch=batch, customer=batch.customer, account_id=asked.account_id, server=server, name=asked.name,
        kind=batch.kind, params=batch.params,
    )  # fmt: skip
    if words := refused.get(asked.pk, "" if server else GONE):
        row.state, row.outcome, row.ended_at = JobState.FAILED, words, timezone.now()
    return row


def _measured(servers: Iterable[Server], given: Mapping[str, Any]) -> dict[Any, str]:
    """Where a resize to this is not taken: server id → why."""
    said = {server.pk: measures.refusal(given, ready.table(server.account)) for server in servers}
    return {pk: words for pk, words in said.items() if words}


def _checked(does: Kind, params: dict[str, Any], count: int) -> dict[str, Any]:
    """The parameters as they are kept. Wrong, with all that is wrong."""
    wrong: dict[str, list[str]] = {}
    if not count:
        wrong["servers"] = ["Select at least one server."]
    if count > MOST:
        wrong["servers"] = [f"Select at most {MOST:,} servers at once; these are {count:,}."]
    if does.single and count > 1:
        wrong["servers"] = [f"{does.label} is done to one server at a time."]
    if does.name == "snapshot" and not str(params.get("name") or "").strip():
        params["name"] = f"muster-{timezone.now():%Y-%m-%d-%H%M%S}"
    kept = {name: params[name] for name in (*does.needs, *_BESIDES.get(does.name, ())) if params.get(name)}
    for name, value in kept.items():
        if name in _NUMBERS:
            if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**31:
                wrong[name] = ["Write a whole number from 1."]
        elif not isinstance(value, str) or not value.strip() or len(value) > 255 or not value.isprintable():
            wrong[name] = ["Write 1 to 255 characters, without line breaks."]
        else:
            kept[name] = value.strip()
    for name in does.needs:
        if name not in kept:
            wrong[name] = ["This field is required."]
    if does.name == "resize" and not kept:
        wrong["size"] = [f"{measures.CHOOSE} Or say CPUs and memory, where the cloud takes those."]
    if strangers := sorted(set(params) - {*does.needs, *_BESIDES.get(does.name, ())}):
        wrong |= {name: [f"{does.label} takes no such field."] for name in strangers if params[name]}
    if wrong:
        raise Wrong(wrong)
    return kept


_NUMBERS = ("cpus", "memory_mb", "disk_gb")
_BESIDES = {
    "resize": ("size", "size_name", *_NUMBERS),  # cpus and memory_mb: instead, or beside one that leaves them open
    "revert_snapshot": ("snapshot_name",),
    "delete_snapshot": ("snapshot_name",),
}


def cancel_for(rows: Any, words: str) -> int:
    """Stop those of `rows` (a queryset of Action) that have not ended, because of what `words` says. How many.

    What a cloud has taken on by then goes on there; nobody watches it any more.
    """
    return len(leases.cancel(rows, words))


def progress(batch: ActionBatch) -> dict[str, int]:
    """`{"total": n, "active": n, "done": n, "failed": n}`; all that ended otherwise is failed."""
    counted: dict[str, int] = batch.actions.aggregate(
        total=Count("pk"),
        active=Count("pk", filter=Q(state__in=ACTIVE)),
        done=Count("pk", filter=Q(state=JobState.DONE)),
        failed=Count("pk", filter=~Q(state__in=(*ACTIVE, JobState.DONE))),
    )
    return counted
