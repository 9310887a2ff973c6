"""How large a server shall be, told as a size or as CPUs and memory, and why a cloud does not take it so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from accounts.clouds.operations import Capabilities, Operation

CHOOSE: Final = "Choose a size."


def refusal(given: Mapping[str, Any], table: Capabilities | None) -> str:
    """Why a cloud with this table does not take `size`, or `cpus` and `memory_mb` without one; "" when it does.

    Nothing is said while nobody knows what cloud it is. CPUs and memory beside a size are left to the cloud.
    """
    if table is None:
        return ""
    if given.get("size"):
        return table[Operation.SIZES].refusal()
    words = table[Operation.FREE_SIZE].refusal()
    return words if not words or given.get("cpus") or given.get("memory_mb") else CHOOSE


def free(table: Capabilities | None) -> bool:
    """Whether CPUs and memory can be said instead of a size, for all that is known."""
    return table is not None and table[Operation.FREE_SIZE].allowed
