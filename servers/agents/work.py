"""Work for agents: a signed script for each, given at every check-in until the agent tells of it (SECURITY.md §2).

The agent journals before it runs, so a piece that is given twice runs once. What an agent tells is true whatever we
thought meanwhile: one that we called expired or canceled, and that ran all the same, is shown as it ended.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import UUID, uuid4

from django.db import connection, models, transaction
from django.db.models import Q
from django.db.models.functions import Coalesce, Length, Now
from django.utils import timezone

from console.lib import audit, notify, signing
from console.lib.denials import Denied, Wrong
from console.models import User
from providers.models import Customer
from servers.agents import waking
from servers.agents.models import Agent, Work, WorkOutput
from servers.agents.program import protocol
from servers.models import Server

LIFE: Final = timedelta(hours=24)  # that work waits for an agent which does not come
SKEW: Final = timedelta(minutes=5)  # before now, from when on it may run: hosts' clocks differ
TIMEOUT: Final = 3600.0  # seconds that a script may run
KEPT: Final = timedelta(days=90)  # for which the output of work is there
MOST: Final = 10_000  # rows of it that are deleted at once
OPEN: Final = (Work.State.QUEUED, Work.State.STARTED)
# What an agent may still tell of: we gave it up without knowing.
GIVEN_UP: Final = (Work.State.CANCELED, Work.State.EXPIRED, Work.State.INTERRUPTED)
ENDS: Final = {protocol.DONE, protocol.FAILED, protocol.INTERRUPTED, protocol.REFUSED, protocol.EXPIRED}


@dataclass(frozen=True)
class Told:
    """What an agent says of one piece of its work."""

    work: UUID
    state: str
    exit_code: int | None
    reason: str


def order(
    servers: Iterable[Server],
    script: str,
    *,
    by: User,
    interpreter: str = "/bin/sh",
    arguments: Sequence[str] = (),
    run_as: str = "root",
    timeout: float = TIMEOUT,
    life: timedelta = LIFE,
) -> list[Work]:
    """Have the agents of these servers (of one customer) run the script: a signed row for each, and a hint to agents.

    Wrong when the script is too long or empty, or its timeout is not 1 s to a day. Denied when the customer is not
    active, or a server has no agent: nothing is ordered then.
    """
    data = script.encode()
    if not data.strip() or len(data) > protocol.MAX_SCRIPT:
        raise Wrong({"script": [f"Write a script of at most {protocol.MAX_SCRIPT // 1024} KiB."]})
    if not 1 <= timeout <= 86_400:
        raise Wrong({"timeout": ["Give seconds from 1 to 86400."]})
    wanted = {server.pk for server in servers}
    now = timezone.now()
    with transaction.atomic():
        agents = list(
            Agent.objects.live()
            .filter(server__in=wanted, server__customer__status=Customer.Status.ACTIVE)
            .select_related("server")
            .select_for_update(of=("self",), no_key=True)
            .order_by("pk")  # always in this order: two orders of the same agents do not block each other for good
        )
        if len(agents) != len(wanted):
            raise Denied(f"{len(wanted) - len(agents)} of these servers have no agent that may run this.", "no_agent")
        rows = []
        for agent in agents:
            server = agent.server
            agent.work_sequence += 1
            row = Work(
                pk=uuid4(),
                agent=agent,
                server=server,
                customer_id=server.customer_id,
                by=by,
                sequence=agent.work_sequence,
                script=script,
                expires_at=now + life,
            )
            key_id = signing.current()
            row.envelope = json.dumps(
                {
                    "work": str(row.pk),
                    "agent": str(agent.pk),
                    "tenant": str(server.customer_id),
                    "kind": row.kind,
                    "script_sha256": hashlib.sha256(data).hexdigest(),
                    "interpreter": interpreter,
                    "arguments": list(arguments),
                    "run_as": run_as,
                    "not_before": int((now - SKEW).timestamp()),
                    "expires_at": int((now + life).timestamp()),
                    "timeout": timeout,
                    "sequence": agent.work_sequence,
                    "key_id": key_id,
                },
                sort_keys=True,
                separators=(",", ":"),
            )
            row.key_id, row.signature = signing.sign(protocol.WORK_PURPOSE, row.envelope.encode())
            rows.append(row)
        Agent.objects.bulk_update(agents, ["work_sequence"], batch_size=500)
        Work.objects.bulk_create(rows, batch_size=500)
        for row in rows:
            detail = {"work": str(row.pk), "script": hashlib.sha256(data).hexdigest(), "run_as": run_as}
            audit.note(
                audit.Actor.of(by), "work.ordered", target=row.server, customer_id=row.customer_id, detail=detail
            )
        waking.ring([agent.pk for agent in agents])
    return rows


def due(agents: Collection[UUID]) -> dict[UUID, list[dict[str, str]]]:
    """What these agents have to be given, `[{envelope, signature, key_id, script}]`, the first MAX_WORK of each.

    One query, and one more when something is given for the first time.
    """
    with connection.cursor() as cursor:
        cursor.execute(_DUE, {"agents": list(agents), "most": protocol.MAX_WORK})
        found = cursor.fetchall()
    given: dict[UUID, list[dict[str, str]]] = {}
    for agent, _, _, envelope, signature, key_id, script in found:
        given.setdefault(agent, []).append(
            {"envelope": envelope, "signature": signature, "key_id": key_id, "script": script}
        )
    fresh = [row[1] for row in found if row[2] is None]
    if fresh:
        Work.objects.filter(pk__in=fresh, delivered_at__isnull=True).update(delivered_at=Now())
    return given


_DUE = """
SELECT w.agent_id, w.id, w.delivered_at, w.envelope, w.signature, w.key_id, w.script FROM agents_agent AS own
CROSS JOIN LATERAL (
    SELECT * FROM agents_work WHERE agent_id = own.id AND state = 'queued' AND expires_at > now()
    ORDER BY sequence LIMIT %(most)s
) AS w WHERE own.id = ANY(%(agents)s) AND own.state = 'live' ORDER BY w.agent_id, w.sequence
"""


def tell(agent: UUID, told: Iterable[Told]) -> None:
    """Write down what the agent says of its work. What is not its, or has ended before, is passed over."""
    hints: list[tuple[UUID, UUID, UUID]] = []
    with transaction.atomic():
        for one in told:
            rows = Work.objects.filter(pk=one.work, agent=agent)
            if one.state == protocol.STARTED:
                # One that we gave up is shown as running again: it does run.
                rows = rows.filter(Q(state=Work.State.QUEUED) | Q(state__in=GIVEN_UP, started_at__isnull=True))
                changed = rows.update(state=Work.State.STARTED, started_at=Now(), ended_at=None, reason="")
            elif one.state in ENDS:
                rows = rows.filter(Q(state__in=OPEN) | Q(state__in=GIVEN_UP, exit_code__isnull=True))
                changed = rows.update(
                    state=one.state,
                    exit_code=one.exit_code,
                    reason=one.reason,
                    started_at=Coalesce("started_at", Now()) if one.exit_code is not None else None,
                    ended_at=Now(),
                )
            else:
                continue
            if changed:
                hints += Work.objects.filter(pk=one.work).values_list("customer_id", "server_id", "pk")
        for customer, server, work in hints:
            notify.changed(customer, f"server-{server}")
            notify.changed(customer, f"work-{work}")


def wrote(agent: UUID, work: UUID, stream: int, offset: int, data: bytes) -> bool:
    """Keep a piece of output; what of it is kept already changes nothing. False when the agent has no such work.

    Small pieces that follow each other become one row. A stream has its first OUTPUT_HEAD bytes and its last
    OUTPUT_TAIL; what would be more than both is refused, False as well.
    """
    if stream not in WorkOutput.Stream.values or not 0 <= offset < 2**50:
        return False
    with transaction.atomic():
        if not Work.objects.select_for_update(no_key=True).filter(pk=work, agent=agent).exists():
            return False
        kept = WorkOutput.objects.filter(work=work, stream=stream)
        size = Coalesce(models.Sum(Length("data")), 0)
        before = kept.filter(offset__lte=offset).order_by("-offset").first()
        end = before.offset + len(before.data) if before else offset
        data = data[max(0, end - offset) :]
        if not data:
            return True
        total: int = kept.aggregate(size=size)["size"]
        if total + len(data) > protocol.OUTPUT_HEAD + protocol.OUTPUT_TAIL:
            return False
        if before and end >= offset and len(before.data) + len(data) <= protocol.MAX_OUTPUT:
            before.data = bytes(before.data) + data
            before.save(update_fields=["data"])
        else:
            kept.create(work_id=work, stream=stream, offset=max(offset, end), data=data)
        customer = Work.objects.values_list("customer_id", flat=True).get(pk=work)
        notify.changed(customer, f"work-{work}")
    return True


def output(work: Work, stream: int) -> list[tuple[int, bytes]]:
    """`[(offset, bytes)]` of a stream, in order. A gap in the offsets is what was left out of a long one."""
    rows = WorkOutput.objects.filter(work=work, stream=stream).order_by("offset")
    return [(offset, bytes(data)) for offset, data in rows.values_list("offset", "data")]


def cancel(work: Work, by: User) -> bool:
    """Give it up while it waits for the agent. False when it has begun or ended."""
    with transaction.atomic():
        rows = Work.objects.filter(pk=work.pk, state=Work.State.QUEUED)
        reason = f"Canceled by {by}."[:300]
        if not rows.update(state=Work.State.CANCELED, ended_at=Now(), reason=reason):
            return False
        detail = {"work": str(work.pk)}
        audit.note(audit.Actor.of(by), "work.canceled", target=work.server, customer_id=work.customer_id, detail=detail)
        notify.changed(work.customer_id, f"work-{work.pk}")
    return True


def tidy() -> int:
    """Delete what work wrote that ended long ago; the work itself stays. How many rows, some at a time."""
    old = WorkOutput.objects.filter(work__ended_at__lt=timezone.now() - KEPT).order_by().values("pk")[:MOST]
    return WorkOutput.objects.filter(pk__in=list(old.values_list("pk", flat=True))).delete()[0]


def sweep() -> int:
    """End what will not happen any more: nobody came for it in time, or its agent is gone. How many."""
    with transaction.atomic():
        late = Work.objects.filter(state=Work.State.QUEUED, expires_at__lt=Now())
        count = late.update(
            state=Work.State.EXPIRED, ended_at=Now(), reason="The agent was not there until its time was over."
        )
        gone = Work.objects.exclude(agent__state__in=(Agent.State.LIVE, Agent.State.SUSPENDED))
        count += gone.filter(state=Work.State.QUEUED).update(
            state=Work.State.CANCELED, ended_at=Now(), reason="The agent was removed before it came for this."
        )
        count += gone.filter(state=Work.State.STARTED).update(
            state=Work.State.INTERRUPTED, ended_at=Now(), reason="The agent was removed while this ran."
        )
    return count
