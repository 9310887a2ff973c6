"""Machines from a provider's image say who they are, and prove it (SECURITY.md §1).

Walk: `claim` writes what was told and rings → `looking` finds the server it may be of → `challenging` puts a nonce
where only that server can read it → `prove` takes the answer → `admitting` makes it the server's agent. A machine
learns from the answers to a claim neither whether anybody knows it nor whether it is looked for: always the same words,
after the same work.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from django.db import connection, transaction
from django.db.models import Q
from django.db.models.functions import Now
from redis.exceptions import RedisError

from console.lib import signing
from console.lib.jobs.bell import ring_now
from console.lib.seal import SealBroken
from console.lib.valkey import client
from console.models import AuditEntry
from servers.agents import admitting, challenging
from servers.agents.models import Agent, Challenge, Claim
from servers.agents.program import protocol

log = structlog.get_logger(__name__)

LOOK: Final = "agents.look"  # the task that matches the claims of one provider (tasks.py)
LIVES: Final = timedelta(days=7)  # at most, without a proof
SILENT: Final = timedelta(minutes=30)  # without a word: whoever matches nothing is forgotten then
CALLS: Final = 6000  # a minute from one address: 200 machines behind one router claim every few seconds at first
PROOFS: Final = 4  # times as many of these: who claims much must not keep a neighbour from proving who it is
# Seconds until a claim is sent again, by its age in seconds.
PACES: Final = ((120, 5), (600, 10), (1800, 30))
SLOW: Final = 300
PROVEN: Final = 2  # seconds: a proof is looked at within a moment

# One statement for every claim, whoever sends it. A claim of an agent that is not live any more begins anew; what a
# person refused stays refused. Other facts are matched anew.
_WRITE: Final = """
INSERT INTO agents_claim AS held (id, provider_id, public_key, code, state, platform, instance_id, dmi_uuid, macs, ips,
    hostname, version, address, level, trouble, customers, expires_at)
SELECT gen_random_uuid(), id, %(public_key)s, %(code)s, 'waiting', %(platform)s, %(instance_id)s, %(dmi_uuid)s,
    %(macs)s::varchar[], %(ips)s::varchar[], %(hostname)s, %(version)s, %(address)s, 0, '', '{}', now() + %(silent)s
FROM providers_provider WHERE id = %(provider)s AND status = 'enabled'
ON CONFLICT (public_key) DO UPDATE SET
    provider_id = EXCLUDED.provider_id, platform = EXCLUDED.platform, instance_id = EXCLUDED.instance_id,
    dmi_uuid = EXCLUDED.dmi_uuid, macs = EXCLUDED.macs, ips = EXCLUDED.ips, hostname = EXCLUDED.hostname,
    version = EXCLUDED.version, address = EXCLUDED.address, last_at = now(),
    expires_at = CASE WHEN held.level > 0 OR held.state <> 'waiting' THEN held.expires_at
        ELSE least(held.first_at + %(lives)s, EXCLUDED.expires_at) END,
    looked_at = CASE WHEN held.provider_id = EXCLUDED.provider_id
        AND (held.instance_id, held.dmi_uuid, held.macs, held.ips, held.address)
        = (EXCLUDED.instance_id, EXCLUDED.dmi_uuid, EXCLUDED.macs, EXCLUDED.ips, EXCLUDED.address)
        THEN held.looked_at END
RETURNING id, extract(epoch FROM now() - first_at)
"""
_AGAIN: Final = """
UPDATE agents_claim AS held SET state = 'waiting', agent_id = NULL, proven_at = NULL, challenged_at = NULL,
    looked_at = NULL, server_id = NULL, level = 0, trouble = '', customers = '{}', first_at = now(),
    expires_at = now() + %(silent)s
WHERE id = %(claim)s AND state = 'admitted' AND NOT EXISTS (SELECT 1 FROM agents_agent AS agent
    WHERE agent.id = held.agent_id AND agent.state = 'live' AND agent.public_key = held.public_key)
"""
_COUNT: Final = """
local count = redis.call('INCR', KEYS[1])
if count == 1 then redis.call('EXPIRE', KEYS[1], 60) end
return count
"""


class TooMany(Exception):
    """One address sends more than all machines behind a router would. Asked before anything is looked up."""


@dataclass(frozen=True)
class Told:
    """A claim as it was read: cleaned, and signed by its key."""

    public_key: str
    provider: UUID
    platform: str
    instance_id: str
    dmi_uuid: str
    macs: list[str]
    ips: list[str]
    hostname: str
    version: str
    address: str


def count(address: str, kind: str = "claims") -> None:
    """A call of this kind from this address. TooMany; nobody is counted while Valkey is away."""
    try:
        calls = int(client().eval(_COUNT, 1, f"agents:{kind}:from:{address}"))
    except RedisError as fault:
        log.warning("claim not counted", reason=str(fault))
        return
    if calls > CALLS * (PROOFS if kind == "proofs" else 1):
        raise TooMany


def claim(told: Told) -> int:
    """Note the claim; in how many seconds it may be sent again. That is all that its sender learns."""
    code = protocol.code(signing.decode(told.public_key))
    values: dict[str, Any] = {**vars(told), "code": code, "silent": SILENT, "lives": LIVES}
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(_WRITE, values)
        found = cursor.fetchone()
        pk, age = found or (None, 0.0)
        cursor.execute(_AGAIN, {**values, "claim": pk})
    look_soon(told.provider)
    return pace(float(age))


def pace(age: float) -> int:
    """Seconds until the next call of a machine that first claimed so many seconds ago."""
    return next((seconds for until, seconds in PACES if age < until), SLOW)


def look_soon(provider: UUID) -> None:
    """Let a worker match this provider's claims: at once, and then once more for all that come within the second."""
    try:
        valkey = client()
        if valkey.set(f"agents:claims:look:{provider}", 1, nx=True, px=1000):
            ring_now(LOOK, provider)
        elif valkey.set(f"agents:claims:look:later:{provider}", 1, nx=True, px=1000):
            ring_now(LOOK, provider, 1.0)
    except RedisError as fault:
        log.warning("claims not looked at", provider=str(provider), reason=str(fault))  # beat asks soon


def prove(public_key: str, instance_id: str, proof: str | None, version: str, address: str) -> Agent | int:
    """The agent that this key is by now, or in how many seconds to ask again.

    `proof` is noted when it answers the nonce that stands at the instance; a worker does the rest. It needs no claim
    that we still have: who read the nonce is that server, whatever else claimed to be.
    """
    claim = Claim.objects.filter(public_key=public_key).select_related("agent").first()
    if claim is not None and claim.agent is not None and _is(claim.agent, public_key):
        return claim.agent
    challenge = _challenge(claim, instance_id)
    nonce = _nonce(challenge)
    text = protocol.proof_text(public_key, instance_id, nonce or secrets.token_urlsafe(32))
    right = proof is not None and signing.verifies(signing.decode(public_key), _bytes(proof), text)
    if challenge is None or nonce is None or not right:
        return pace((claim.last_at - claim.first_at).total_seconds() if claim is not None else 0.0)
    with transaction.atomic():
        _proven(challenge, claim, public_key, instance_id, version, address)
        challenging.nudge(challenge.server_id)
    return PROVEN


def _is(agent: Agent, public_key: str) -> bool:
    return agent.state == Agent.State.LIVE and agent.public_key == public_key


def _challenge(claim: Claim | None, instance_id: str) -> Challenge | None:
    """The one that stands at the server that the claim is of, or that the instance's id names."""
    named = Q(server__external_id__in={instance_id, instance_id.lower()} - {""})
    matched = claim is not None and claim.server_id is not None and claim.state != Claim.State.REFUSED
    which = Q(server=claim.server_id) if claim is not None and matched else named
    found = list(
        Challenge.objects.active()
        .filter(which, removed_at__isnull=True, placed_at__gt=Now() - challenging.GOOD)
        .select_related("server__account__endpoint")[:2]
    )
    return found[0] if len(found) == 1 else None


def _nonce(challenge: Challenge | None) -> str | None:
    try:
        return challenging.nonce(challenge) if challenge is not None else None
    except SealBroken as error:
        log.error("sealed nonce does not open", reason=str(error))
        return None


def _bytes(text: str) -> bytes:
    try:
        return signing.decode(text)
    except ValueError:
        return b""


def _proven(
    challenge: Challenge, claim: Claim | None, public_key: str, instance_id: str, version: str, address: str
) -> None:
    fields: dict[str, Any] = {
        "server_id": challenge.server_id, "level": 3, "proven_at": Now(), "instance_id": instance_id,
        "state": Claim.State.WAITING, "looked_at": None,
    }  # fmt: skip
    if claim is None:  # it was shed in a flood
        provider = challenge.server.account.endpoint.provider_id
        Claim.objects.create(
            **fields, provider_id=provider, public_key=public_key, code=protocol.code(signing.decode(public_key)),
            version=version, address=address, expires_at=Now() + LIVES,
        )  # fmt: skip
        return
    if not is_refused(claim, challenge.server.customer_id):
        Claim.objects.filter(pk=claim.pk).update(**fields, expires_at=Now() + LIVES)


def is_refused(claim: Claim, customer: UUID) -> bool:
    """Whether this customer's own people refused it. What a neighbour at the same address says of it is no answer to
    a proof."""
    if claim.state != Claim.State.REFUSED:
        return False
    said = AuditEntry.objects.filter(target_kind="claim", target_id=str(claim.pk), verb=admitting.REFUSED)
    return said.filter(customer_id=customer).exists()


def tidy() -> int:
    """Forget claims whose time is over, and ask for a look at what still waits. How many went."""
    over = Q(expires_at__lt=Now()) & (~Q(state=Claim.State.ADMITTED) | Q(agent__isnull=True))
    gone, _ = Claim.objects.filter(over).delete()
    waiting = Claim.objects.filter(state__in=(Claim.State.WAITING, Claim.State.PENDING))
    for provider in waiting.order_by().values_list("provider", flat=True).distinct():
        look_soon(provider)
    return gone
