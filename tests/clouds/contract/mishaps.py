"""What each mishap of a simulated cloud must become for a driver, on every platform."""

from __future__ import annotations

from console.demo.mishaps import Kind
from console.lib.faults import BadCredentials, Fault, Refused, SlowDown, Unexpected, Unreachable

FAULTS: dict[Kind, type[Fault]] = {
    Kind.UNAUTHORIZED: BadCredentials,
    Kind.FORBIDDEN: Refused,
    Kind.OVER_LIMIT: SlowDown,
    Kind.TOO_MANY: SlowDown,
    Kind.UNAVAILABLE: SlowDown,
    Kind.BROKEN: Unexpected,
    Kind.TRUNCATED: Unreachable,
    Kind.DRIP: Unreachable,
    Kind.HANG: Unreachable,
    Kind.HANG_UP: Unreachable,
    Kind.RUBBISH: Unexpected,
    Kind.WRONG_SHAPE: Unexpected,
    Kind.HTML: Unexpected,
    Kind.REDIRECT: Refused,
    Kind.HUGE: Unexpected,
    Kind.BOMB: Unexpected,
    Kind.ENTITIES: Unexpected,
}
"""Those that always end a call in a fault. The others have tests of their own: ELSEWHERE is no fault but a lie, and
EMPTY one that no single call can tell from the truth."""

SLOW = frozenset({Kind.DRIP, Kind.HANG})
LARGE = frozenset({Kind.HUGE, Kind.BOMB})
QUICK = [kind for kind in FAULTS if kind not in SLOW | LARGE | {Kind.TRUNCATED}]
"""Those that a test of every call can afford. TRUNCATED takes nothing away from a reply without a body."""
TOO_MUCH = 9 * 2**20  # bytes: just over the largest page that is taken
DEADLINE = 0.5  # seconds for one page, once the driver is signed in
