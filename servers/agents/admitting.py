"""A claim becomes an agent: by a proof through the cloud, by its network, or because a person says so (SECURITY.md §1).

Each way reads the server from its cloud once more, and then binds in one transaction. What is in doubt waits for a
person, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from accounts import calling, ready
from accounts.clouds import ServerFacts
from accounts.clouds.acting import ActingDriver
from accounts.clouds.operations import Operation
from console.lib import audit, notify
from console.lib.denials import Denied
from console.lib.faults import Fault
from console.lib.jobs.leases import Lease
from console.lib.jobs.rows import JobState
from console.models import User
from providers.models import Customer
from servers.actions.models import Action
from servers.agents import alarms, enrol
from servers.agents.models import Agent, Claim
from servers.agents.program import protocol
from servers.models import Server

log = structlog.get_logger(__name__)

REBUILT: Final = timedelta(hours=1)  # for which a rebuild explains that another machine is there
PATIENCE: Final = 10.0  # seconds for the account's turn
REPLACING: Final = (Operation.REVERT_SNAPSHOT.value,)  # actions of ours that put another disk into a server
REFUSED: Final = "claim.refused"  # in the audit log: who did not know a machine
OPEN: Final = (Claim.State.WAITING, Claim.State.PENDING)

TWO: Final = "Two machines proved to be this server at the same time. Approve the one whose code its console shows."
BUSY: Final = "This server has an agent that reports. The machine is let in by itself once that one is silent."
MANNED: Final = "This server has an agent. A proof through its cloud, or a person, may put another in its place."
OTHER_KEY: Final = "The server's console names another key, so somebody without root may have answered for it."
SEVERAL: Final = "Accounts of more than one customer show this instance, so nobody gets it by itself."


@dataclass(frozen=True)
class Seen:
    """The server as its cloud shows it now (None: not any more), and the text of its console where there is one."""

    facts: ServerFacts | None
    console: str


def look(driver: ActingDriver, server: Server) -> Seen:
    """Two calls at most. Raises the cloud's faults."""
    facts = driver.server(server.external_id)
    console = ""
    if facts is not None and not driver.capabilities()[Operation.CONSOLE_TEXT].refusal():
        try:
            console = driver.console_text(server.external_id)
        except Fault as fault:  # it is a second opinion only
            log.info("console not read", server=str(server.pk), reason=fault.words)
    return Seen(facts, console)


def proven(server_id: UUID) -> QuerySet[Claim]:
    """Claims that answered the nonce at this server, and were not looked at since."""
    return Claim.objects.filter(server=server_id, state=Claim.State.WAITING, proven_at__isnull=False)


def settle(server: Server, seen: Seen, lease: Lease) -> str:
    """What becomes of the claims that answered; in words, for the challenge. The nonce is used up with it."""
    with transaction.atomic():
        lease.hold()
        Server.objects.select_for_update(no_key=True).get(pk=server.pk)
        claims = list(proven(server.pk).select_for_update().order_by("proven_at", "pk"))
        lease.write(sealed="")
        if seen.facts is None:
            Claim.objects.filter(pk__in=[one.pk for one in claims]).update(
                proven_at=None, server=None, level=0, looked_at=None
            )
            return "The cloud does not know this server any more."
        if len(claims) > 1:
            _hold(claims, server, TWO)
            alarms.raise_(server, alarms.CONFLICT, TWO, claims=len(claims))
            return TWO
        for claim in claims:
            return _settle(claim, server, seen)
    return "Nobody answered."


def _settle(claim: Claim, server: Server, seen: Seen) -> str:
    keys = [line.partition(protocol.CONSOLE_KEY)[2].strip() for line in seen.console.splitlines()
            if protocol.CONSOLE_KEY in line]  # fmt: skip
    if keys and claim.public_key not in keys:
        _hold([claim], server, OTHER_KEY)
        return OTHER_KEY
    return _bind(claim, server, Agent.Way.PROOF, seen.facts)


def by_network(claim: Claim, server: Server) -> None:
    """Level 2: nothing but its public address, its card and its age speak for it, and the customer lets that do.

    It never puts another in the place of an agent, however long that was silent: a neighbour has the same to show.
    """
    try:
        with calling.calling(server.account, PATIENCE) as driver:
            facts = driver.server(server.external_id)
    except Fault as fault:
        log.info("claim waits for its cloud", claim=str(claim.pk), reason=fault.words)
        return
    if facts is None or claim.address not in {address.ip for address in facts.addresses}:
        return
    with transaction.atomic():
        held = Claim.objects.select_for_update().filter(pk=claim.pk, state__in=OPEN).first()
        if held is not None:
            _bind(held, server, Agent.Way.NETWORK, facts)


def approve(claim: Claim, server: Server, by: User) -> Agent:
    """A person compared the code and lets the machine in as this server. Denied in words when it cannot be.

    Whatever agent the server had is revoked. Both rows were found for this person.
    """
    if claim.server_id not in (None, server.pk) and claim.level == 3:
        raise Denied("This machine proved to be another server.", "another_server")
    if words := ready.refusal(server.account, owner=server.customer):
        raise Denied(words, "account_not_ready")
    try:
        with calling.calling(server.account, PATIENCE) as driver:
            facts = driver.server(server.external_id)
    except Fault as fault:
        raise Denied(f"Its cloud could not be asked about the server. {fault.words}", "cloud_away") from fault
    if facts is None:
        raise Denied("The cloud does not know this server any more.", "server_gone")
    with transaction.atomic():
        held = Claim.objects.select_for_update().filter(pk=claim.pk, state=Claim.State.PENDING).first()
        if held is None:
            raise Denied("This machine does not wait any more.", "not_pending")
        enrol.room(server.customer, 1)
        agent = _enrolled(held, server, Agent.Way.PERSON)
        audit.note(audit.Actor.of(by), "claim.approved", target=server, customer_id=server.customer_id,
                   detail={"code": held.code, "address": held.address})  # fmt: skip
    return agent


def refuse(claim: Claim, customers: Iterable[UUID], by: User) -> None:
    """A person does not know this machine: it is shown no more to these customers, and not again for a week."""
    with transaction.atomic():
        held = Claim.objects.select_for_update().filter(pk=claim.pk, state=Claim.State.PENDING).first()
        if held is None:
            raise Denied("This machine does not wait any more.", "not_pending")
        mine = [one for one in held.customers if one in set(customers)]
        left = [one for one in held.customers if one not in mine]
        held.customers, held.state = left, Claim.State.PENDING if left else Claim.State.REFUSED
        held.save(update_fields=["customers", "state"])
        for customer in mine:
            audit.note(audit.Actor.of(by), REFUSED, target=held, customer_id=customer,
                       detail={"code": held.code, "address": held.address})  # fmt: skip
            notify.changed(customer, "machines")


def allow_network(customer: Customer, allow: bool, by: User) -> None:
    """Level 2 for this customer's machines, or not. The same again changes nothing."""
    with transaction.atomic():
        changed = Customer.objects.filter(pk=customer.pk, admit_by_network=not allow).update(admit_by_network=allow)
        if changed:
            audit.note(audit.Actor.of(by), "customer.admits_by_network", target=customer, customer_id=customer.pk,
                       detail={"allowed": allow})  # fmt: skip
            notify.changed(customer.pk, "machines")


def pend(claim: Claim, customers: Iterable[UUID], server: UUID | None, level: int, words: str) -> None:
    """Show it to these customers' people until one of them decides, for seven days at most."""
    shown = sorted(set(customers), key=str)
    if (claim.state, claim.server_id, claim.level, claim.trouble, claim.customers) == (
        Claim.State.PENDING, server, level, words, shown,
    ):  # fmt: skip
        return
    changed = Claim.objects.filter(pk=claim.pk, state__in=OPEN).update(
        state=Claim.State.PENDING, server=server, level=level, trouble=words, customers=shown,
        expires_at=claim.first_at + timedelta(days=7),
    )  # fmt: skip
    for customer in shown if changed else ():
        notify.changed(customer, "machines")


def _bind(claim: Claim, server: Server, way: Agent.Way, facts: ServerFacts | None) -> str:
    """Make it the server's agent, unless that needs a person."""
    shown_to = set(
        Server.objects.listed()
        .filter(external_id=server.external_id, account__endpoint=server.account.endpoint_id,
                account__removed_at__isnull=True)
        .values_list("customer_id", flat=True)
    )  # fmt: skip
    if len(shown_to) > 1:
        pend(claim, shown_to, None, 1, SEVERAL)
        return SEVERAL
    if way == Agent.Way.NETWORK and Agent.objects.filter(server=server).exists():  # it came meanwhile
        _hold([claim], server, MANNED)
        return MANNED
    agent = Agent.objects.live().filter(server=server).first()
    another = agent is not None and agent.public_key != claim.public_key
    if agent is not None and another and enrol.reports(agent) and not _rebuilt(agent, facts):
        _hold([claim], server, BUSY)
        alarms.raise_(server, alarms.CONFLICT, BUSY, code=claim.code, address=claim.address)
        return BUSY
    try:
        with transaction.atomic():
            enrol.room(server.customer, 0 if agent is not None else 1)
            _enrolled(claim, server, way)
    except Denied as denied:
        _hold([claim], server, denied.words)
        return denied.words
    return f"{claim.code} was let in."


def _enrolled(claim: Claim, server: Server, way: Agent.Way) -> Agent:
    facts: dict[str, Any] = {"hostname": claim.hostname or None, "instance_id": claim.instance_id or None}
    agent = enrol.bind(server, claim.public_key, way, claim.version, facts, claim.instance_id)
    Claim.objects.filter(pk=claim.pk).update(
        state=Claim.State.ADMITTED, agent=agent, server=server, trouble="", customers=[], looked_at=Now()
    )
    for customer in {server.customer_id, *claim.customers}:
        notify.changed(customer, "machines")
    return agent


def _hold(claims: Iterable[Claim], server: Server, words: str) -> None:
    for claim in claims:
        pend(claim, [server.customer_id], server.pk, claim.level, words)


def _rebuilt(agent: Agent, facts: ServerFacts | None) -> bool:
    """Whether the server's disk was replaced since this agent came: by us, or at this moment."""
    if facts is not None and facts.raw_state.upper().startswith("REBUILD"):
        return True
    return Action.objects.filter(
        server=agent.server_id, kind__in=REPLACING, state=JobState.DONE, ended_at__gt=timezone.now() - REBUILT,
        ended_at__gte=agent.enrolled_at,
    ).exists()  # fmt: skip
