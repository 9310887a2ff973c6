"""What a cloud says by id of servers that its listings lack: whether they are there all the same, or gone.

A listing can lack a server that lives: clouds that page by number skip one for each that was deleted meanwhile, and
Nova leaves out what a cell holds that is down. So none is missing before the cloud said by its id that it does not
exist. It is gone when two complete listings, ten minutes apart, lacked it, and the cloud says so once more.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

import structlog

from accounts import clouds, pacing
from accounts.clouds import ServerFacts
from console.lib.faults import Fault, Refused, Unexpected
from servers import comparing
from servers.comparing import TWICE, Difference, many

log = structlog.get_logger(__name__)

MOST: Final = 50  # asked for by id in one reading, of those that vanished and of those that are ripe; others wait
FAULTS: Final = 5  # a cloud that fails for so many is in trouble: nothing more is asked of it


def look(account_id: Any, driver: clouds.Driver, found: Difference, *, vouched: bool) -> None:
    """Ask by id for those that vanished from a whole listing, before they are stamped as missing.

    Those that the cloud knows are brought up to what it tells; those that it could not be asked for, or that it failed
    at, stand as they were and go to `found.unread`, unless a person `vouched` for their being deleted.
    """
    told: list[ServerFacts] = []
    missing: list[str] = []
    for external_id, facts in _answers(account_id, driver, found.vanished):
        if facts is None:
            missing.append(external_id)
        else:
            told.append(facts)
    known = {facts.external_id for facts in told}
    left = [external_id for external_id in found.vanished if external_id not in known]
    settled = set(left if vouched else missing)
    found.vanished = [external_id for external_id in left if external_id in settled]
    found.unread = [external_id for external_id in left if external_id not in settled]
    if told:
        log.info("left out of a listing, but there", account=str(account_id), servers=len(told))
        found.include(comparing.compare_some(account_id, told, ()))


def ripe(found: Difference, now: datetime) -> list[str]:
    """The servers that this complete listing lacks, as one at least ten minutes ago did."""
    return [external_id for external_id, since in found.absent if now - since >= TWICE]


def overdue(found: Difference, now: datetime, vouched: datetime | None) -> int:
    """How many would be gone at once though nobody vouched for them, when those are too many; 0 when they are not."""
    unvouched = sum(now - since >= TWICE and (vouched is None or since > vouched) for _, since in found.absent)
    return unvouched if many(unvouched, found.present + len(found.absent)) else 0


def confirm(account_id: Any, driver: clouds.Driver, found: Difference, now: datetime) -> None:
    """Ask for the ripe ones by id, and put them into `found.gone`, or among the changed when they answer after all.

    A fault leaves a server as it is: the listing was complete without it.
    """
    for external_id, facts in _answers(account_id, driver, ripe(found, now)):
        if facts is None:
            found.gone.append(external_id)
        else:
            found.changed.append(facts)
            found.returned += 1


def _answers(
    account_id: Any, driver: clouds.Driver, external_ids: Sequence[str]
) -> Iterator[tuple[str, ServerFacts | None]]:
    """Id and facts, None when the cloud says that there is no such server, for those that it answers about.

    Of more than MOST, chance decides whom this reading asks for: the same ones each time would keep others waiting
    where the cloud fails at them.
    """
    faults = 0
    chosen = external_ids if len(external_ids) <= MOST else random.sample(external_ids, MOST)
    for external_id in chosen:
        try:
            facts = driver.server(external_id)
        except Fault as fault:
            pacing.heed(account_id, fault)
            log.info("no answer about a server", account=str(account_id), reason=fault.words)
            faults += 1
            # What is said of one server is asked for the next; a cloud that is away or wants fewer calls is let alone.
            if faults >= FAULTS or not isinstance(fault, Refused | Unexpected):
                return
        else:
            yield external_id, facts
