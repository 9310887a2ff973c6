"""What each generation of OpenStack can be asked to do (../shared/CLOUDS.md §0, §2.4 to §2.6).

`diablo-1.0` is Nova v1.0, `diablo` v1.1 of the same release, `essex` every Nova v1.1 or v2 without microversions,
`modern` v2.1 and all that come after it. UNPROVEN: no capture of a real cloud shows it. What `modern`
says yes to, `make test-openstack` has done to a real one.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from accounts.clouds.base import State
from accounts.clouds.operations import UNPROVEN, YES, Capabilities, Capability, Operation, no, only

_RUNNING: Final = only("Start it first.", State.RUNNING)
_NO_POWER: Final = no("OpenStack Diablo has no call to start or stop a server. Reboot it, or delete it.")
_ADMIN_SUSPEND: Final = no("OpenStack Diablo lets only its own administrators suspend and resume servers.")
_NO_CONSOLE: Final = no("OpenStack Diablo gives customers no console.")
_NO_IMAGES_10: Final = no("Nova v1.0 of OpenStack Diablo cannot make an image of a server. Its v1.1 can.")
_HIDDEN_USER_DATA: Final = no("OpenStack shows the user data of a server to the server itself only.")
_FIXED_USER_DATA: Final = no("OpenStack takes user data only when a server is created or rebuilt from an image.")
_NO_FREE_SIZE: Final = no("OpenStack takes CPUs and memory by size only. Choose one that is on offer.")
_NO_PROPERTIES: Final = no("OpenStack gives its servers no guest properties. They read their metadata.")
_AFTER_RESIZE: Final = "Resize it first."


def _with(base: Capabilities, changes: Mapping[Operation, Capability]) -> Capabilities:
    return MappingProxyType({**base, **changes})


_MODERN: Final[Capabilities] = MappingProxyType(
    {
        Operation.LIST: YES,
        Operation.CHANGES: YES,
        Operation.SIZES: YES,
        Operation.IMAGES: YES,
        Operation.NETWORKS: YES,
        Operation.KEY_PAIRS: YES,
        Operation.CREATE: YES,
        Operation.FREE_SIZE: _NO_FREE_SIZE,
        Operation.ORDER_USER_DATA: YES,
        Operation.START: only("It must be stopped to be started.", State.STOPPED),
        Operation.STOP: _RUNNING,
        Operation.REBOOT: _RUNNING,
        Operation.RESET: only(
            "Wait until the cloud is done with it.", State.RUNNING, State.STOPPED, State.SUSPENDED, State.FAILED
        ),
        Operation.SUSPEND: _RUNNING,
        Operation.RESUME: only("It must be suspended to be resumed.", State.SUSPENDED),
        Operation.RESIZE: only("Start or stop it first.", State.RUNNING, State.STOPPED),
        Operation.CONFIRM_RESIZE: only(_AFTER_RESIZE, State.CHANGING),
        Operation.REVERT_RESIZE: only(_AFTER_RESIZE, State.CHANGING),
        Operation.RENAME: YES,
        Operation.SNAPSHOT: only(
            "Wait until the cloud is done with it.", State.RUNNING, State.STOPPED, State.SUSPENDED
        ),
        Operation.SNAPSHOTS: YES,
        Operation.REVERT_SNAPSHOT: only("Start or stop it first.", State.RUNNING, State.STOPPED, State.FAILED),
        Operation.DELETE_SNAPSHOT: YES,
        Operation.DELETE: YES,
        Operation.CONSOLE_URL: _RUNNING,
        Operation.CONSOLE_TEXT: YES,
        Operation.METADATA: YES,
        Operation.SET_METADATA: YES,
        Operation.USER_DATA: _HIDDEN_USER_DATA,
        Operation.SET_USER_DATA: _FIXED_USER_DATA,
        Operation.SET_GUEST_PROPERTY: _NO_PROPERTIES,
    }
)

_ESSEX: Final = _with(
    _MODERN,
    {
        # os-networks answers administrators only, and os-tenant-networks came later (captures/essex.txt: 404).
        Operation.NETWORKS: no("OpenStack Essex shows its networks to administrators only. It picks one itself."),
        Operation.ORDER_USER_DATA: UNPROVEN,
        Operation.RESET: only("Start it first.", State.RUNNING, unproven=True),
        Operation.RESIZE: _RUNNING,
        Operation.CONFIRM_RESIZE: only(_AFTER_RESIZE, State.CHANGING, unproven=True),
        Operation.REVERT_RESIZE: only(_AFTER_RESIZE, State.CHANGING, unproven=True),
        Operation.SNAPSHOT: _RUNNING,
        Operation.SNAPSHOTS: UNPROVEN,
        Operation.DELETE_SNAPSHOT: UNPROVEN,
        Operation.REVERT_SNAPSHOT: _RUNNING,
    },
)

_DIABLO: Final = _with(
    _ESSEX,
    {
        Operation.NETWORKS: no("OpenStack Diablo has no call for networks. It picks one itself."),
        Operation.START: _NO_POWER,
        Operation.STOP: _NO_POWER,
        Operation.SUSPEND: _ADMIN_SUSPEND,
        Operation.RESUME: _ADMIN_SUSPEND,
        Operation.RESIZE: only("Wait until it runs.", State.RUNNING),
        Operation.REVERT_SNAPSHOT: only("Wait until it runs.", State.RUNNING, unproven=True),
        Operation.REBOOT: only("Wait until it runs.", State.RUNNING),
        Operation.RESET: only("Wait until it runs.", State.RUNNING, unproven=True),
        Operation.SNAPSHOT: only("Wait until it runs.", State.RUNNING),
        Operation.CONSOLE_URL: _NO_CONSOLE,
        Operation.CONSOLE_TEXT: _NO_CONSOLE,
        Operation.METADATA: UNPROVEN,
        Operation.SET_METADATA: UNPROVEN,
    },
)

_DIABLO_10: Final = _with(
    _DIABLO,
    {
        Operation.KEY_PAIRS: no("Nova v1.0 of OpenStack Diablo knows no key pairs. It tells a first password instead."),
        Operation.ORDER_USER_DATA: no("Nova v1.0 of OpenStack Diablo takes no user data with a new server."),
        Operation.SNAPSHOT: _NO_IMAGES_10,
        Operation.SNAPSHOTS: _NO_IMAGES_10,
        Operation.REVERT_SNAPSHOT: _NO_IMAGES_10,
        Operation.DELETE_SNAPSHOT: _NO_IMAGES_10,
        Operation.METADATA: YES,  # with the server itself (captures/diablo.txt)
        Operation.SET_METADATA: no("Nova v1.0 of OpenStack Diablo takes metadata only when a server is created."),
    },
)

CAPABILITIES: Final[Mapping[str, Capabilities]] = MappingProxyType(
    {"diablo-1.0": _DIABLO_10, "diablo": _DIABLO, "essex": _ESSEX, "modern": _MODERN}
)
"""Generation → what it can do; the oldest first."""
