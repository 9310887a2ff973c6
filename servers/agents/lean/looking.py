"""What every few seconds is read for all agents at once: who has work, which releases go out."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models.functions import Now

from servers.agents import releasing, work
from servers.agents.lean.known import Known
from servers.agents.models import Work
from servers.agents.releasing import FAILED, Offer


class Due:
    """Agents that have something to come for, as of the last look and of the hints since."""

    def __init__(self) -> None:
        self.agents: set[str] = set()
        self.offers: list[Offer] = []
        self._rung: set[str] = set()  # since the last look began

    def ring(self, agents: list[str]) -> None:
        """A hint: they have something to come for."""
        self.agents.update(agents)
        self._rung.update(agents)

    def begin(self) -> None:
        """A look begins: it sees what was hinted at before."""
        self._rung = set()

    def seen(self, agents: set[str], offers: list[Offer]) -> None:
        """It has ended, and may have missed what was hinted at meanwhile."""
        self.agents, self.offers = agents | self._rung, offers

    def offer(self, known: Known) -> dict[str, str] | None:
        """The release that this agent is offered; read once for each list of offers and version."""
        if not self.offers:
            return None
        if known.offered is None or known.offered[0] is not self.offers or known.offered[1] != known.version:
            known.offered = (self.offers, known.version, self._offer(known))
        found: dict[str, str] | None = known.offered[2]
        return found

    def _offer(self, known: Known) -> dict[str, str] | None:
        for offer in self.offers:
            if known.release == offer.pk and known.release_state in FAILED:
                return None  # it could not keep this one; another may suit it
            if offer.is_for(known.agent, known.version):
                return offer.told
        return None


def look() -> tuple[set[str], list[Offer]]:
    """Agents with work that waits, and what goes out."""
    waiting = Work.objects.filter(state=Work.State.QUEUED, expires_at__gt=Now())
    return {str(pk) for pk in waiting.values_list("agent_id", flat=True).distinct()}, releasing.offers()


def due(agents: list[UUID]) -> list[list[dict[str, Any]]]:
    """The work of each of these agents."""
    found = work.due(set(agents))
    return [found.get(agent, []) for agent in agents]
