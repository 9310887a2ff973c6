"""The sessions that this process knows: read once, dropped when something changed, and compared every few seconds."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

import structlog
from django.db import connection
from django.db.models import Q
from django.db.models.fields.json import KeyTransform

from console.lib.seal import SealBroken
from servers.agents.lean.batches import Batch
from servers.agents.lean.threads import Threads
from servers.agents.models import Agent
from servers.agents.querysets import silent_after

log = structlog.get_logger(__name__)
FORGOTTEN: Final = 300.0  # seconds after which a session that is not used is read anew
_COLUMNS: Final = (
    "pk", "server_id", "server__customer_id", "state", "session", "session_key", "session_at", "former_session",
    "former_session_key", "version", "first_seen_at", "last_seen_at", "silence_told_at", "release_id",
    "release_state",
)  # fmt: skip
_CHANGED: Final = """
SELECT v.agent FROM unnest(%s::uuid[], %s::uuid[]) AS v (agent, session)
LEFT JOIN agents_agent a ON a.id = v.agent AND a.session = v.session AND a.state = 'live' WHERE a.id IS NULL
"""


@dataclass(slots=True, eq=False)
class Known:
    """A session and its agent. `session` is the text that stands in the header."""

    session: bytes
    key: bytes
    agent: UUID
    server: UUID | None
    customer: UUID | None
    state: str
    former: bool  # it is over: another one began `since`
    since: float  # seconds since 1970
    version: str
    managed: bool  # the first check-in is written down
    heard: float  # seconds since 1970
    silent: bool  # its silence was told of, and its end has to be
    read: float  # seconds since 1970: all of this held then
    release: UUID | None
    release_state: str
    id: str = field(default="")
    brought: float = 0.0  # time of the newest sample that was kept, here or as far as the database knows
    told: float = 0.0  # seconds since 1970: since when its facts are counted
    facts: int = 0  # that it told since then
    hinted: float = 0.0
    dropped: bool = False  # it does not hold any more
    second: int = 0
    calls: int = 0  # in that second
    offered: Any = None  # see offers.py


class Sessions:
    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._known: dict[bytes, Known] = {}
        self._of: dict[str, tuple[bytes, ...]] = {}  # agent → sessions
        self._reads: Batch[bytes, Known | None] = Batch(self._read)

    def __len__(self) -> int:
        return len(self._known)

    async def find(self, session: bytes) -> Known | None:
        """Of one that was not heard for a while, everything is read anew: its silence may have been told of."""
        known = self._known.get(session)
        if known is not None:
            now, pause = time.time(), silent_after().total_seconds() / 2
            if now - known.heard < pause or now - known.read < pause:
                return known
        return await self._reads.ask(session)

    def drop(self, agents: Iterable[str]) -> None:
        for agent in agents:
            for session in self._of.pop(agent, ()):
                if known := self._known.pop(session, None):
                    known.dropped = True

    async def compare(self) -> list[str]:
        """Drop those whose agent is live in this session no more, as a lost broadcast would have told; these agents."""
        since, live = time.time() - FORGOTTEN, str(Agent.State.LIVE)
        kept: list[Known] = []
        over: list[str] = []
        for known in self._known.values():
            if known.heard < since or known.state != live or known.former:
                over.append(known.id)
            else:
                kept.append(known)
        self.drop(over)
        if not kept:
            return []
        given = [known.agent for known in kept], [known.session.decode() for known in kept]
        changed = await self._threads.run(_changed, *given)
        self.drop(changed)
        return changed

    async def _read(self, sessions: list[bytes]) -> Sequence[Known | None]:
        found = await self._threads.run(_read, set(sessions))
        for known in found.values():
            self._known[known.session] = known
            others = [one for one in self._of.get(known.id, ()) if one != known.session]
            self._of[known.id] = (*others, known.session)
        return [found.get(session) for session in sessions]


def sequences(sessions: list[bytes]) -> list[int]:
    """What the database knows of their last sequences; 0 of one that is over."""
    rows = Agent.objects.filter(session__in=[one.decode() for one in sessions]).values_list("session", "sequence")
    found = {str(session).encode(): sequence for session, sequence in rows}
    return [found.get(session, 0) for session in sessions]


def _changed(agents: list[UUID], sessions: list[str]) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute(_CHANGED, [agents, sessions])
        return [str(agent) for (agent,) in cursor.fetchall()]


def _read(sessions: set[bytes]) -> dict[bytes, Known]:
    """By the session's text. One that is not written as a UUID is nobody's."""
    ids = []
    for session in sessions:
        try:
            made = UUID(session.decode())
        except ValueError:
            continue
        if str(made).encode() == session:
            ids.append(made)
    found: dict[bytes, Known] = {}
    rows = Agent.objects.filter(Q(session__in=ids) | Q(former_session__in=ids)).select_related("server")
    rows = rows.annotate(brought=KeyTransform("at", "metrics"))
    for agent in rows.only(*(name for name in _COLUMNS if name != "server_id"), "server__customer_id"):
        for session, sealed, former in (
            (agent.session, agent.session_key, False),
            (agent.former_session, agent.former_session_key, True),
        ):
            text = str(session).encode()
            if text not in sessions:
                continue
            try:
                found[text] = _known(agent, text, agent.opened_session_key(sealed), former, agent.brought)
            except SealBroken as fault:  # its key is gone: the agent begins another session, as after a time-out
                log.error("session_not_opened", agent=str(agent.pk), reason=str(fault))
    return found


def _known(agent: Agent, session: bytes, key: bytes, former: bool, brought: float | None) -> Known:
    return Known(
        session=session,
        key=key,
        agent=agent.pk,
        server=agent.server_id,
        customer=agent.server.customer_id if agent.server else None,
        state=agent.state,
        former=former,
        since=agent.session_at.timestamp() if agent.session_at else 0.0,
        version=agent.version,
        managed=agent.first_seen_at is not None,
        heard=agent.last_seen_at.timestamp() if agent.last_seen_at else time.time(),
        silent=agent.silence_told_at is not None,
        read=time.time(),
        release=agent.release_id,
        release_state=agent.release_state,
        id=str(agent.pk),
        brought=float(brought or 0.0),
    )
