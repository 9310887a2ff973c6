"""When a server is gone: missing from two complete listings, ten minutes apart, and unknown to the cloud by its id."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import structlog

from accounts import clouds, pacing
from console.lib.faults import Fault
from servers.comparing import TWICE, Difference, many

log = structlog.get_logger(__name__)

MOST: Final = 50  # asked for by id in one reading; the others wait for the next


def ripe(found: Difference, now: datetime) -> list[str]:
    """The servers that this complete listing lacks, as one at least ten minutes ago did."""
    return [external_id for external_id, since in found.absent if now - since >= TWICE]


def overdue(found: Difference, now: datetime, vouched: datetime | None) -> int:
    """How many would be gone at once though nobody vouched for them, when those are too many; 0 when they are not."""
    unvouched = sum(now - since >= TWICE and (vouched is None or since > vouched) for _, since in found.absent)
    return unvouched if many(unvouched, found.present + len(found.absent)) else 0


def confirm(account_id: Any, driver: clouds.Driver, found: Difference, now: datetime) -> None:
    """Ask for the ripe ones by id, and put them into `found.gone`, or among the changed when they answer after all.

    A fault ends the asking and nothing else: the listing was complete without it.
    """
    for external_id in ripe(found, now)[:MOST]:
        try:
            facts = driver.server(external_id)
        except Fault as fault:
            pacing.heed(account_id, fault)
            log.info("not confirmed that a server is gone", account=str(account_id), reason=fault.words)
            return
        if facts is None:
            found.gone.append(external_id)
        else:
            found.changed.append(facts)
            found.returned += 1
