"""What one process does for its agents: who may come in, what is kept of what they bring, what they are given."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import time
from collections.abc import Mapping
from typing import Any, Final
from uuid import UUID

import orjson
import structlog
from django.conf import settings
from django.db import DatabaseError

from servers.agents import checkin, cloning, samples
from servers.agents.lean import flushing, known, looking, parse, replies, writing
from servers.agents.lean.batches import Batch
from servers.agents.lean.buffer import Buffer
from servers.agents.lean.hearing import Hearing
from servers.agents.lean.known import Known, Sessions
from servers.agents.lean.looking import Due
from servers.agents.lean.replies import Refused
from servers.agents.lean.sequences import Sequences
from servers.agents.lean.threads import Threads
from servers.agents.lean.waiting import Waiting
from servers.agents.models import Agent
from servers.agents.program import protocol

log = structlog.get_logger(__name__)
LOOK: Final = 5.0  # seconds between two looks at what may have changed unheard
GRACE: Final = 5.0  # seconds for which requests of the session before may still be on their way
MOST: Final = 60  # requests of one session in a second
FACTS: Final = 5  # times that one session may tell its facts
WITHIN: Final = 15.0  # in so many seconds: each time is a write
SPREAD: Final = 1.0  # seconds over which those that wait are let go when this process ends
Head = Mapping[bytes, bytes]


class Desk:
    """Belongs to the event loop that it was made on."""

    def __init__(self) -> None:
        self.threads = Threads()
        self.sessions = Sessions(self.threads)
        self.waiting = Waiting()
        self.buffer = Buffer(flushing.write)
        self.due = Due()
        self._sequences = Sequences(self._seeds)
        self._work: Batch[UUID, list[dict[str, Any]]] = Batch(self._due)
        self.hearing = Hearing(self._ring, self._drop)
        self.buffer.start()
        self._looking = asyncio.get_running_loop().create_task(self._look())

    def leave(self) -> None:
        """The process is asked to end: nobody waits any longer."""
        self.waiting.close(SPREAD)

    async def end(self) -> None:
        """Write what is not written, and let go of everything."""
        self._looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._looking
        await self.hearing.end()
        await self.waiting.end()
        await self.buffer.end()
        await self._sequences.end()
        await self.threads.end()

    async def checkin(self, head: Head, body: bytes) -> bytes:
        """The answer to a check-in; what it brought is stored by then."""
        agent = await self._admit(head, protocol.CHECKIN_PATH, body)
        told = parse.body(body)
        del head, body  # here too
        now = time.time()
        version = parse.clean(told.version)
        version = version[:40] if version else agent.version
        heard = not agent.managed or agent.silent or version != agent.version
        if told.facts is not None:
            self._count_facts(agent, now)
        if heard or told.facts is not None or told.work or told.release is not None:
            await self.threads.run(_bring, agent.agent, version, told, heard)
            if told.release is not None:
                self.sessions.drop([agent.id])  # what it was offered counts no more
            agent.managed, agent.silent, agent.version = True, False, version
        agent.heard = now
        if told.samples:
            self._keep(agent, told.samples, now)
        wait = told.wait or 0.0
        del told
        given = await self._given(agent, wait)
        if agent.dropped and not given:
            await self._still(agent)
        offered = self.due.offer(agent)
        answer = {"time": time.time(), "interval": settings.AGENT_INTERVAL, "work": given}
        if offered:
            answer["release"] = offered
        return orjson.dumps(answer)

    async def output(self, head: Head, body: bytes) -> bytes:
        agent = await self._admit(head, protocol.OUTPUT_PATH, body)
        await self.threads.run(writing.piece, agent.agent, parse.piece(body))
        return b"{}"

    async def leaving(self, head: Head, body: bytes) -> bytes:
        agent = await self._admit(head, protocol.LEAVE_PATH, body)
        await self.threads.run(checkin.leave, agent.agent)
        return b"{}"

    async def _admit(self, head: Head, path: str, body: bytes) -> Known:
        """Whose request this is. Refused unless it is new, whole, and of an agent that may be here."""
        session, sequence = head.get(b"muster-session", b""), head.get(b"muster-sequence", b"")
        moment, signature = head.get(b"muster-time", b""), head.get(b"muster-signature", b"")
        if not (session and signature and _is_number(sequence) and _is_number(moment)):
            raise Refused(401, "unauthenticated", "Sign the request: see the agents' protocol.")
        self.buffer.ready()
        agent = await self.sessions.find(session)
        if agent is None:
            raise replies.unknown_session()
        digest = hashlib.sha256(body).hexdigest().encode()
        text = b"\n".join((b"muster-request-1", b"POST", path.encode(), digest, session, sequence, moment))
        if not hmac.compare_digest(hmac.digest(agent.key, text, "sha256").hex().encode(), signature):
            words = "The signature does not fit. Something may have altered the request."
            raise Refused(401, "wrong_signature", words)
        now = time.time()
        if abs(now - int(moment)) > protocol.CLOCK:
            raise Refused(401, protocol.WRONG_TIME, "The time of this request is not ours. Begin another session.")
        checkin.refuse(agent.state)
        if agent.former:
            if int(moment) > agent.since + GRACE:
                await self.threads.run(_twice, agent.agent)
                raise checkin.ProveAgain
            raise replies.unknown_session()
        self._count(agent, int(now))
        number = int(sequence)
        await self._sequences.take(agent, number)
        self.buffer.hear(agent, number, now)
        return agent

    async def _still(self, agent: Known) -> None:
        """Refused when the agent changed while it waited, and may not be here any more."""
        found = await self.sessions.find(agent.session)
        if found is None:
            raise replies.unknown_session()
        checkin.refuse(found.state)

    def _count(self, agent: Known, second: int) -> None:
        if agent.second != second:
            agent.second, agent.calls = second, 0
        agent.calls += 1
        if agent.calls > MOST:
            raise Refused(429, "slow_down", "Too many requests. Wait a second.", retry=1)

    def _count_facts(self, agent: Known, now: float) -> None:
        if now - agent.told > WITHIN:
            agent.told, agent.facts = now, 0
        agent.facts += 1
        if agent.facts > FACTS:
            raise Refused(429, "slow_down", "Too many facts. Tell them again in some seconds.", retry=int(WITHIN))

    def _keep(self, agent: Known, told: list[parse.Sample], now: float) -> None:
        """Samples of the time that is open, each once: those of a lost answer come again. And no closer together than
        half the time between two that we ask for, so that no agent fills the database."""
        earliest, latest = now - samples.LATE.total_seconds(), now + samples.EARLY.total_seconds()
        heard, apart = self.buffer.hear(agent, 0, now), settings.AGENT_INTERVAL / 2
        for sample in told:
            if sample.at >= agent.brought + apart and earliest < sample.at < latest:
                agent.brought = sample.at
                heard.samples.append((sample.at, parse.kept(sample)))

    async def _given(self, agent: Known, wait: float) -> list[dict[str, Any]]:
        """The agent's work, waited for so many seconds at most."""
        if agent.id in self.due.agents and (found := await self._read(agent)):
            return found
        if wait < 1:
            return []
        future = self.waiting.wait(agent.id, min(wait, protocol.WAIT_MAX))
        if agent.id in self.due.agents:  # rung for in between
            self.waiting.ring([agent.id])
        try:
            await future
        finally:
            self.waiting.over(agent.id, future)
        return await self._read(agent) if agent.id in self.due.agents else []

    async def _read(self, agent: Known) -> list[dict[str, Any]]:
        self.due.agents.discard(agent.id)  # before the look: a hint that comes meanwhile counts
        found = await self._work.ask(agent.agent)
        if found:
            self.due.agents.add(agent.id)  # until it told of it
        return found

    def _ring(self, agents: Any) -> None:
        rung = list(agents)
        self.due.ring(rung)
        self.waiting.ring(rung)

    def _drop(self, agents: Any) -> None:
        """They changed: whoever waits is told now what holds."""
        dropped = list(agents)
        self.sessions.drop(dropped)
        self.waiting.ring(dropped)

    async def _due(self, agents: list[UUID]) -> list[list[dict[str, Any]]]:
        return await self.threads.run(looking.due, agents)

    async def _seeds(self, asked: list[bytes]) -> list[int]:
        return await self.threads.run(known.sequences, asked)

    async def _look(self) -> None:
        """What hints would have told, had none been lost."""
        while True:
            try:
                self.due.begin()
                busy, offers = await self.threads.run(looking.look)
                self.due.seen(busy, offers)
                self.waiting.ring(busy)
                self.waiting.ring(await self.sessions.compare())
            except (DatabaseError, OSError, Refused) as fault:
                log.warning("agents_not_looked_at", reason=str(fault))
            await asyncio.sleep(LOOK)


def _bring(agent: UUID, version: str, told: parse.Body, heard: bool) -> None:
    writing.bring(agent, version, told.facts, told.work, told.release, heard=heard)


def _twice(agent: UUID) -> None:
    cloning.twice(Agent.objects.get(pk=agent))


def _is_number(text: bytes) -> bool:
    return text.isdigit() and len(text) < 16
