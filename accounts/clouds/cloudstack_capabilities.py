"""What each generation of CloudStack can do, and the sentences for what it cannot (../shared/CLOUDS.md §2.3).

A generation is named for the release that brought something. No real CloudStack of any release has confirmed what
changes a server, so those are unproven; what only reads is held to recorded replies.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Final

from accounts.clouds.base import State
from accounts.clouds.operations import UNPROVEN, YES, Capabilities, Operation, no, only

_READY: Final = (State.RUNNING, State.STOPPED)
_STEADY: Final = only("Wait until it runs or is stopped.", *_READY, unproven=True)
_OLD_SNAPSHOT: Final = no(
    "CloudStack before 4.2 keeps snapshots of the root disk only, and cannot put a disk back to one."
)
_NO_RESIZE_STEP: Final = no("CloudStack resizes in one step: there is nothing to confirm or to take back.")
_NO_READ_BACK: Final = no("CloudStack before 4.4 does not give user data back.")
_NO_TAGS: Final = no("CloudStack before 4.0 has no tags on servers.")
_NO_EVENT_IDS: Final = no(
    "Events of CloudStack before 4.17 do not say which server they are about, so all servers are read each time."
)
_NO_FORCE: Final = no("CloudStack before 4.17 may reboot softly when told to cut the power. Stop it, then start it.")

_3: Final[Capabilities] = {
    Operation.LIST: YES,
    Operation.CHANGES: _NO_EVENT_IDS,
    Operation.SIZES: YES,
    Operation.IMAGES: YES,
    Operation.NETWORKS: YES,
    Operation.KEY_PAIRS: YES,
    Operation.CREATE: UNPROVEN,
    Operation.FREE_SIZE: no("CloudStack needs a size. Choose one on offer; some leave CPUs and memory open."),
    Operation.ORDER_USER_DATA: UNPROVEN,
    Operation.START: only("It must be stopped first.", State.STOPPED, unproven=True),
    Operation.STOP: only("It must be running.", State.RUNNING, unproven=True),
    Operation.REBOOT: only("Start it first.", State.RUNNING, unproven=True),
    Operation.RESET: _NO_FORCE,
    Operation.SUSPEND: no("CloudStack has no suspend."),
    Operation.RESUME: no("CloudStack has no suspend, so there is nothing to resume."),
    Operation.RESIZE: only("Stop it first.", State.STOPPED, unproven=True),
    Operation.CONFIRM_RESIZE: _NO_RESIZE_STEP,
    Operation.REVERT_RESIZE: _NO_RESIZE_STEP,
    Operation.RENAME: UNPROVEN,
    Operation.SNAPSHOT: _STEADY,
    Operation.SNAPSHOTS: YES,
    Operation.REVERT_SNAPSHOT: _OLD_SNAPSHOT,
    Operation.DELETE_SNAPSHOT: UNPROVEN,
    Operation.DELETE: UNPROVEN,
    Operation.CONSOLE_URL: only("Start it first.", State.RUNNING, unproven=True),
    Operation.CONSOLE_TEXT: no("CloudStack keeps no text of the console."),
    Operation.METADATA: _NO_TAGS,
    Operation.SET_METADATA: _NO_TAGS,
    Operation.USER_DATA: _NO_READ_BACK,
    Operation.SET_USER_DATA: UNPROVEN,
    Operation.SET_GUEST_PROPERTY: no("CloudStack gives its servers no guest properties. They read their user data."),
}
_4_0: Final[Capabilities] = {**_3, Operation.METADATA: YES, Operation.SET_METADATA: UNPROVEN}
_4_2: Final[Capabilities] = {
    **_4_0,
    Operation.RESIZE: _STEADY,
    Operation.SNAPSHOTS: UNPROVEN,
    Operation.REVERT_SNAPSHOT: _STEADY,
}
_4_4: Final[Capabilities] = {**_4_2, Operation.USER_DATA: UNPROVEN}
_4_17: Final[Capabilities] = {
    **_4_4,
    Operation.CHANGES: UNPROVEN,
    Operation.RESET: only("Start it first.", State.RUNNING, unproven=True),
}
_4_18: Final[Capabilities] = _4_17  # what it brought, a command for a console, the driver looks at

# Oldest first: (the first release of the generation, its name). What is older than all speaks like the oldest.
_SINCE: Final = (
    ((3, 0), "3.x"),
    ((4, 0), "4.0"),
    ((4, 2), "4.2"),
    ((4, 4), "4.4"),
    ((4, 17), "4.17"),
    ((4, 18), "4.18"),
)
NEWEST: Final = _SINCE[-1][1]
CAPABILITIES: Final = MappingProxyType({"3.x": _3, "4.0": _4_0, "4.2": _4_2, "4.4": _4_4, "4.17": _4_17, "4.18": _4_18})


def generation(version: str) -> str:
    """The generation that a version belongs to: "4.2.1-SNAPSHOT" is "4.2", "5.0" and what cannot be read the newest."""
    written = re.match(r"\s*v?(\d{1,4})(?:\.(\d{1,4}))?", version)
    if written is None:
        return NEWEST
    spoken = int(written.group(1)), int(written.group(2) or 0)
    found = _SINCE[0][1]
    for since, name in _SINCE:
        if spoken >= since:
            found = name
    return found


def since(found: str, wanted: str) -> bool:
    """Whether a generation is `wanted` or newer."""
    order = [name for _, name in _SINCE]
    return order.index(found) >= order.index(wanted)
