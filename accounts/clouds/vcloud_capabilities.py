"""What vCloud can do, by generation: "1.0", "1.5", "5.1" (to 27), "vcd" (29 to 32), "33" (and later).

No real cell could be reached while this was written: what works does so against recorded replies and the official
schemas (../shared/fixtures), and is marked unproven.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from accounts.clouds.base import State
from accounts.clouds.operations import UNPROVEN, Capabilities, Capability, Operation, no, only

_NO_SIZES: Final = no("There is no list of sizes in vCloud before 33: say how many CPUs and how much memory.")
_NO_KEYS: Final = no("There are no key pairs in vCloud: put the key into the start-up script.")
_NOT_KEPT: Final = no("A resize in vCloud is for good at once: there is nothing to confirm or to take back.")
_NO_TEXT: Final = no("The text of a server's serial console is not shown by vCloud.")
_NO_SNAPSHOTS: Final = no("Snapshots came with vCloud 5.1. This cloud speaks an older version.")

_OFF: Final = only("Stop it first.", State.STOPPED, unproven=True)
_ON: Final = only("Start it first.", State.RUNNING, unproven=True)

_1_5: Final[dict[Operation, Capability]] = {
    **dict.fromkeys(Operation, UNPROVEN),
    Operation.SIZES: _NO_SIZES,
    Operation.KEY_PAIRS: _NO_KEYS,
    Operation.START: only("It runs already.", State.STOPPED, State.SUSPENDED, unproven=True),
    Operation.STOP: only("It is stopped already.", State.RUNNING, State.SUSPENDED, State.STOPPED, unproven=True),
    Operation.REBOOT: _ON,
    Operation.RESET: _ON,
    Operation.SUSPEND: _ON,
    Operation.RESUME: only("It is not suspended.", State.SUSPENDED, unproven=True),
    Operation.RESIZE: _OFF,
    Operation.CONFIRM_RESIZE: _NOT_KEPT,
    Operation.REVERT_RESIZE: _NOT_KEPT,
    Operation.SNAPSHOT: _NO_SNAPSHOTS,
    Operation.SNAPSHOTS: _NO_SNAPSHOTS,
    Operation.REVERT_SNAPSHOT: _NO_SNAPSHOTS,
    Operation.DELETE_SNAPSHOT: _NO_SNAPSHOTS,
    Operation.CONSOLE_URL: _ON,
    Operation.CONSOLE_TEXT: _NO_TEXT,
    Operation.SET_USER_DATA: _OFF,
    Operation.SET_GUEST_PROPERTY: no("Guest properties came with vCloud 5.1. This cloud speaks an older version."),
}

_1_0: Final[dict[Operation, Capability]] = {
    **_1_5,
    Operation.ORDER_USER_DATA: no("A new server takes no start-up script in vCloud 1.0."),
    Operation.CHANGES: no("What changed is not told by vCloud 1.0: it is always read as a whole."),
    Operation.METADATA: no("Metadata came with vCloud 1.5. This cloud speaks an older version."),
    Operation.SET_METADATA: no("Metadata came with vCloud 1.5. This cloud speaks an older version."),
}

_5_1: Final[dict[Operation, Capability]] = {
    **_1_5,
    Operation.SNAPSHOT: UNPROVEN,
    Operation.SNAPSHOTS: UNPROVEN,
    Operation.REVERT_SNAPSHOT: UNPROVEN,
    Operation.DELETE_SNAPSHOT: UNPROVEN,
    Operation.SET_GUEST_PROPERTY: UNPROVEN,
}

_33: Final[dict[Operation, Capability]] = {**_5_1, Operation.SIZES: UNPROVEN}  # VM sizing policies, beside free sizes

CAPABILITIES: Final[Mapping[str, Capabilities]] = {"1.0": _1_0, "1.5": _1_5, "5.1": _5_1, "vcd": _5_1, "33": _33}
