"""Many customers in one call: each line its own outcome, worked in slices that a killed worker cannot do twice.

Walk: the API checks each line → `take` keeps them, credentials sealed, and rings → `perform` (claimed) → slices: what
is new in a few statements (`founding`), everything else by the deeds of a single call → the batch ends with counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import orjson
from django.db import transaction
from django.db.models import Count
from django.db.models.functions import Now

from accounts import founding as new_accounts
from accounts import linking
from accounts.models import Import, ImportLine
from console.lib import audit, copying, seal
from console.lib.denials import Denied, Wrong
from console.lib.jobs import ring
from console.lib.jobs.leases import Lease
from console.lib.jobs.rows import ACTIVE, JobState
from providers import customers, events, founding
from providers.models import CloudEndpoint, Customer, Provider

TASK: Final = "imports.run"
MOST: Final = 10_000  # lines
SLICE: Final = 250
KEPT: Final = timedelta(days=30)  # of ended ones, with their lines
FORGOTTEN: Final = 20  # in one look
AT_ONCE: Final = 3  # imports of one provider that wait or run
Outcome = ImportLine.Outcome


@dataclass(frozen=True)
class Account:
    """An account of a line. `credentials` are as they came: whether they fit the endpoint is seen when it is pushed."""

    external_id: str
    endpoint: str
    name: str
    version: int
    credentials: Mapping[str, str]


@dataclass(frozen=True)
class Line:
    """A customer's fields as `customers.put` takes them, and its accounts; or `errors` by field: it is refused."""

    external_id: str
    fields: Mapping[str, Any]
    accounts: Sequence[Account] = ()
    errors: Mapping[str, Any] | None = None


def take(provider: Provider, lines: Sequence[Line], form: str, actor: audit.Actor, *, send_mail: bool) -> Import:
    """Keep the lines, credentials sealed, and ring. Wrong when there are none or too many; Denied while others run."""
    if not 1 <= len(lines) <= MOST:
        raise Wrong({"customers": [f"Send 1 to {MOST:,} lines; these are {len(lines):,}."]})
    with transaction.atomic():
        Provider.objects.select_for_update(no_key=True).get(pk=provider.pk)
        if Import.objects.filter(provider=provider, state__in=ACTIVE).count() >= AT_ONCE:
            raise Denied(f"Already {AT_ONCE} imports wait or run. Send this one when one has ended.", "imports_running")
        batch = Import.objects.create(
            provider=provider, form=form, total=len(lines), send_mail=send_mail,
            actor_kind=actor.kind, actor_id=actor.id, actor_name=actor.name[:254],
        )  # fmt: skip
        copying.insert(_kept(batch, number, line) for number, line in enumerate(lines, 1))
        audit.note(actor, "import.sent", target=batch, provider_id=provider.pk, detail={"lines": len(lines)})
        ring(TASK, batch.pk)
    return batch


def counts(batch: Import) -> dict[str, int]:
    """How many lines have which outcome; every outcome is named."""
    return counts_of([batch])[batch.pk]


def counts_of(batches: Sequence[Import]) -> dict[UUID, dict[str, int]]:
    """The same of several, by their ids, in one look."""
    told = {batch.pk: dict.fromkeys(Outcome.values, 0) for batch in batches}
    rows = ImportLine.objects.filter(batch__in=list(told)).order_by().values_list("batch", "outcome")
    for pk, outcome, count in rows.annotate(count=Count("pk")):
        told[pk][outcome] = count
    return told


def perform(batch: Import, lease: Lease) -> None:
    """Work off what waits, slice by slice; a slice and its outcomes are one transaction under the row's fence."""
    actor = audit.Actor(batch.actor_kind, batch.actor_id, batch.actor_name)
    provider = Provider.objects.get(pk=batch.provider_id)
    while provider.status == Provider.Status.ENABLED and _slice(batch, provider, lease, actor):
        provider.refresh_from_db()
    if provider.status != Provider.Status.ENABLED and (left := counts(batch)[Outcome.WAITING]):
        words = f"{provider} was suspended meanwhile: {left} of {batch.total} lines were not taken."
        lease.end(JobState.CANCELED, f"{words} Send them again once it is enabled.")
        return
    told = counts(batch)
    words = f"{batch.total} lines: " + ", ".join(f"{told[one]} {one}" for one in Outcome.values if told[one]) + "."
    with transaction.atomic():
        lease.end(JobState.DONE, words)
        events.fire(provider, "import.ended", {"import_id": str(batch.pk), "total": batch.total, "counts": told})


def wipe(batch: Any) -> None:
    """Of an import that ended, however it did, keep what became of its lines and nothing that was sent in them."""
    lines = ImportLine.objects.filter(batch=batch).exclude(sealed="", fields={})
    lines.update(sealed="", fields={})


def tidy() -> None:
    """Forget imports that ended a while ago, with their lines."""
    over = Import.objects.exclude(state__in=ACTIVE).filter(ended_at__lt=Now() - KEPT).order_by("ended_at")
    Import.objects.filter(pk__in=list(over.values_list("pk", flat=True)[:FORGOTTEN])).delete()


def _slice(batch: Import, provider: Provider, lease: Lease, actor: audit.Actor) -> int:
    with transaction.atomic():
        lease.hold()
        waiting = batch.lines.filter(outcome=Outcome.WAITING).order_by("number")
        lines = list(waiting.select_for_update(of=("self",))[:SLICE])
        endpoints = {one.slug: one for one in CloudEndpoint.objects.filter(provider=provider, enabled=True)}
        people = {line.pk: _opened(batch, line) for line in lines}
        for line in lines:
            if line.pk in people:
                _refuse_early(line, people, provider, endpoints)
        fresh = _found(provider, people, endpoints, actor, batch.send_mail)
        for line in lines:
            if line.pk in fresh:
                line.outcome = Outcome.CREATED
            elif line.pk in people:
                _single(line, people[line.pk], provider, endpoints, actor, batch.send_mail)
        _write(lines)
    return len(lines)


def _write(lines: Sequence[ImportLine]) -> None:
    """How they ended. What was sealed for them is gone, and so is who they were about: the customers have that now,
    and it must go with them."""
    ended: dict[str, list[int]] = {}
    for line in lines:
        if line.errors:
            line.sealed, line.fields = "", {}
            line.save(update_fields=["outcome", "errors", "sealed", "fields"])
        else:
            ended.setdefault(line.outcome, []).append(line.pk)
    for outcome, pks in ended.items():
        ImportLine.objects.filter(pk__in=pks).update(outcome=outcome, sealed="", fields={})


def _refuse_early(
    line: ImportLine, people: dict[int, Line], provider: Provider, endpoints: Mapping[str, CloudEndpoint]
) -> None:
    """A line whose accounts cannot be is refused whole, before anything of it is made."""
    for at, account in enumerate(people[line.pk].accounts):
        try:
            endpoint = endpoints.get(account.endpoint)
            if endpoint is None:
                raise Wrong({"endpoint": ["You have no endpoint of that name. GET endpoints lists yours."]})
            linking.check(provider.pk, endpoint, account.version, account.credentials)
        except Wrong as wrong:
            _refuse(line, Wrong({f"accounts.{at}.{name}": said for name, said in wrong.fields.items()}))
            del people[line.pk]
            return


def _found(
    provider: Provider,
    people: Mapping[int, Line],
    endpoints: Mapping[str, CloudEndpoint],
    actor: audit.Actor,
    send_mail: bool,
) -> set[int]:
    """Make those that are new and named once; which lines these were."""
    often = Counter(person.external_id for person in people.values())
    once = {pk: one for pk, one in people.items() if often[one.external_id] == 1}
    if provider.max_servers is not None:
        once = {pk: one for pk, one in once.items() if not one.accounts}
    made = founding.customers(
        provider, {one.external_id: one.fields for one in once.values()}, actor, send_mail=send_mail
    )
    new_accounts.accounts(provider, [
        new_accounts.New(made[one.external_id], account.external_id, endpoints[account.endpoint], account.name,
                         account.version, account.credentials)
        for one in once.values() if one.external_id in made for account in one.accounts
    ], actor)  # fmt: skip
    return {pk for pk, one in once.items() if one.external_id in made}


def _single(
    line: ImportLine,
    person: Line,
    provider: Provider,
    endpoints: Mapping[str, CloudEndpoint],
    actor: audit.Actor,
    send_mail: bool,
) -> None:
    """The line by the deeds of single calls, all of it or nothing."""
    try:
        with transaction.atomic():
            before = Customer.objects.filter(provider=provider, external_id=person.external_id).first()
            outcome = customers.put(provider, person.external_id, {**person.fields, "send_mail": send_mail}, actor)
            pushed = [
                linking.push(
                    outcome.customer, account.external_id, endpoint=endpoints[account.endpoint], name=account.name,
                    version=account.version, credentials=account.credentials, actor=actor,
                )
                for account in person.accounts
            ]  # fmt: skip
    except Wrong as wrong:
        _refuse(line, wrong)
        return
    except Denied as denied:
        _refuse(line, Wrong({"line": [denied.words]}))
        return
    changed = any(one.created or one.changed for one in pushed) or _differs(before, outcome.customer)
    line.outcome = Outcome.CREATED if outcome.created else Outcome.UPDATED if changed else Outcome.UNCHANGED


def _differs(before: Customer | None, after: Customer) -> bool:
    return before is None or any(getattr(before, name) != getattr(after, name) for name in customers.FIELDS)


def _refuse(line: ImportLine, wrong: Wrong) -> None:
    line.outcome, line.errors = Outcome.REFUSED, wrong.fields or {"line": [wrong.words]}


def _kept(batch: Import, number: int, line: Line) -> ImportLine:
    """The row of a line: credentials apart, sealed. Of a refused one nothing but its id and what was wrong is kept."""
    row = ImportLine(batch=batch, number=number, external_id=line.external_id[:120].replace("\0", ""))
    if line.errors is not None:
        row.outcome, row.errors = Outcome.REFUSED, dict(line.errors)
        return row
    accounts = [
        {"account_id": one.external_id, "endpoint": one.endpoint, "name": one.name, "version": one.version}
        for one in line.accounts
    ]
    row.fields = {"customer": dict(line.fields), "accounts": accounts}
    secrets = {str(at): orjson.dumps(dict(one.credentials)).decode() for at, one in enumerate(line.accounts)}
    row.sealed = seal.close(secrets, _place(batch, number)) if secrets else ""
    return row


def _opened(batch: Import, row: ImportLine) -> Line:
    secrets = seal.open_(row.sealed, _place(batch, row.number)) if row.sealed else {}
    accounts = [
        Account(one["account_id"], one["endpoint"], one["name"], one["version"], orjson.loads(secrets[str(at)]))
        for at, one in enumerate(row.fields["accounts"])
    ]
    return Line(row.external_id, row.fields["customer"], accounts)


def _place(batch: Import, number: int) -> seal.Place:
    return seal.Place("accounts_importline", "sealed", f"{batch.pk}:{number}", str(batch.provider_id))
