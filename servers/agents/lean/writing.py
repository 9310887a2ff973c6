"""What is in the database before the answer: the first check-in, facts, results of work, of releases, output."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from console.lib import signing
from console.lib.denials import Wrong
from servers.agents import checkin, releasing, reports, work
from servers.agents.lean.parse import Piece
from servers.agents.program import protocol


def bring(agent: UUID, version: str, facts: Any, results: Any, release: Any, *, heard: bool) -> None:
    """As check-in tells it. Wrong when a part is not what it has to be: nothing is written then."""
    cleaned = reports.facts(facts) if facts is not None else None
    told = reports.work(results)
    outcome = reports.release(release) if release is not None else None
    if heard or cleaned is not None:
        checkin.beat(agent, version, None, cleaned)
    if told:
        work.tell(agent, told)
    if outcome is not None:
        releasing.tell(agent, *outcome)


def piece(agent: UUID, told: Piece) -> None:
    """A piece of output. One that is nobody's, or too much, is passed over: the agent need not come again with it."""
    try:
        pk, data = UUID(told.work), signing.decode(told.data)
    except ValueError as fault:
        raise Wrong({"data": ["This is the id of a piece of work, and base64url."]}) from fault
    if len(data) > protocol.MAX_OUTPUT:
        raise Wrong({"data": [f"This is at most {protocol.MAX_OUTPUT} bytes."]})
    work.wrote(agent, pk, told.stream, told.offset, data)
