"""Which new server is ours, when its order's answer was never heard: ordering it once more could make two.

It carries our mark where metadata stands from the first moment on (OpenStack). Elsewhere it is known by its name:
nobody had seen it before the call, and the cloud says that it was made after that. Two orders of one name are never
under way in one account (creating.py).
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.utils import timezone

from accounts.clouds import ServerFacts, State
from accounts.clouds.acting import ActingDriver
from accounts.clouds.operations import Operation, Phase, Progress
from servers.actions.kinds import CREATE, MARK
from servers.actions.models import Action
from servers.actions.unknown import Unknown
from servers.models import Server

APPEARING: Final = timedelta(seconds=60)  # in which an order that was heard has begun to show
CLOCKS: Final = timedelta(minutes=5)  # by which a cloud's clock may differ from ours
OURS: Final = timedelta(seconds=10)  # by which the database's clock may
_MIDDLE: Final = "The worker stopped in the middle"


def carries_mark(driver: ActingDriver) -> bool:
    """Whether a new server there can be known by its metadata, however early one looks."""
    able = driver.capabilities()
    at_once: bool = getattr(driver, "metadata_at_once", False)
    return at_once and able[Operation.SET_METADATA].allowed and able[Operation.METADATA].allowed


def newcomer(row: Action, driver: ActingDriver, external_id: str) -> Progress:
    """How the ordered server stands, by its id once that is known. Raises Unknown, and the driver's faults."""
    found = driver.server(external_id) if external_id else _found(row, driver)
    fresh = row.called_at is not None and timezone.now() - row.called_at < APPEARING
    if found is None:
        if fresh and not external_id:
            return Progress(Phase.RUNNING)
        what = "the server is not there any more" if external_id else f"the cloud shows no new server called {row.name}"
        raise Unknown(
            f"{_MIDDLE}, and {what}. It was not ordered again, since that could make two. "
            "Look at your servers in some minutes, then decide."
        )
    made = found.external_id
    match found.state:
        case State.RUNNING:
            words = f"Created. {_MIDDLE}; if the cloud told a first password, it was lost with its answer."
            return Progress(Phase.DONE, words, server_id=made)
        case State.FAILED:
            words = f"The cloud made the server, and it went into the state {found.raw_state}."
            return Progress(Phase.FAILED, words, server_id=made)
        case State.CHANGING | State.UNKNOWN:
            return Progress(Phase.RUNNING, found.raw_state, server_id=made)
    if fresh:
        return Progress(Phase.RUNNING, found.raw_state, server_id=made)
    raise Unknown(
        f"{_MIDDLE}. The server was made and is {found.raw_state} now: look whether all is as ordered, then start it.",
        made,
    )


def _found(row: Action, driver: ActingDriver) -> ServerFacts | None:
    """The server that this order made, as far as it can be told; None when there is none yet."""
    others = _others(row)
    listed = (facts for page in driver.servers() for facts in page if isinstance(facts, ServerFacts))
    alike = [facts for facts in listed if facts.name == row.name and facts.external_id not in others]
    if not alike:
        return None
    if carries_mark(driver):
        return next((one for one in alike if driver.metadata(one.external_id).get(MARK) == str(row.pk)), None)
    since = (row.called_at or timezone.now()) - CLOCKS
    young = [facts for facts in alike if facts.created_at is None or facts.created_at >= since]
    if len(young) > 1:
        raise Unknown(
            f"{_MIDDLE}, and the cloud shows {len(young)} new servers called {row.name}. Look which of them you want."
        )
    return young[0] if young else None


def _others(row: Action) -> set[str]:
    """Servers of the account that were there before, or that another order made."""
    theirs = Server.objects.filter(account=row.account_id)
    before = theirs.filter(first_seen_at__lt=(row.called_at or timezone.now()) - OURS)
    made = theirs.filter(actions__kind=CREATE.name).exclude(actions=row)
    return {*before.values_list("external_id", flat=True), *made.values_list("external_id", flat=True)}
