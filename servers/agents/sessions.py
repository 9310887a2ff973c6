"""Sessions: an agent proves its key once, and is given a secret of 32 bytes for the requests that follow."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import F

from console.lib import signing
from servers.agents import checkin, cloning, waking
from servers.agents.models import Agent

MOST: Final = 2**53  # of an epoch and of a sequence: what every language counts exactly


class EpochUsed(Exception):
    """The epoch is not above the last one, which `last` tells."""

    def __init__(self, last: int) -> None:
        super().__init__(last)
        self.last = last


class WrongSignature(Exception):
    """It is not the key's own. What stands in between may have altered the request, so nobody is told to stop."""


@dataclass(frozen=True)
class Opened:
    """`key` is told this once. `time`: seconds since 1970, by which the agent counts from now on."""

    session: UUID
    key: bytes = field(repr=False)
    time: float


def open(agent_id: UUID, epoch: int, version: str, instance_id: str, text: bytes, signature: bytes) -> Opened:
    """Begin the agent's next session; `text` is what `signature` has to be the agent's own over.

    The session before it is over, but remembered: whoever goes on with it is a second machine. UnknownAgent, Removed,
    ProveAgain (also for another instance than it was given to), WrongSignature, EpochUsed.
    """
    columns = "state", "public_key", "instance_id", "epoch", "server__customer_id"
    agent = Agent.objects.filter(pk=agent_id).select_related("server").only(*columns).first()
    if agent is None or agent.public_key is None:
        raise checkin.UnknownAgent
    if not signing.verifies(signing.decode(agent.public_key), signature, text):
        raise WrongSignature
    checkin.refuse(agent.state)
    if agent.instance_id and instance_id and agent.instance_id.lower() != instance_id.lower():
        cloning.other_instance(agent, instance_id)
        raise checkin.ProveAgain
    if epoch <= agent.epoch:
        raise EpochUsed(agent.epoch)
    now, key = time.time(), secrets.token_bytes(32)
    opened = Opened(uuid4(), key, now)
    with transaction.atomic():
        done = (
            Agent.objects.live()
            .filter(pk=agent_id, epoch__lt=epoch)
            .update(
                epoch=epoch,
                former_session=F("session"),
                former_session_key=F("session_key"),
                session=opened.session,
                session_key=agent.sealed_session_key(key),
                session_at=datetime.fromtimestamp(now, UTC),
                sequence=0,
                instance_id=agent.instance_id or instance_id,
                version=version,
            )
        )
        if not done:
            _lost_the_race(agent_id)
        waking.drop([agent_id])
    return opened


def _lost_the_race(agent_id: UUID) -> None:
    """Somebody was faster: another session, or the end of the agent."""
    agent = Agent.objects.only("state", "epoch").get(pk=agent_id)
    checkin.refuse(agent.state)
    raise EpochUsed(agent.epoch)
