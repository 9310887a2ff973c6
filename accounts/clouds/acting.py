"""What a driver that can act promises, beyond reading (base.Driver)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from accounts.clouds.base import Driver, ServerFacts
from accounts.clouds.operations import (
    Capabilities,
    Console,
    Image,
    KeyPair,
    Network,
    Operation,
    Order,
    Progress,
    Rate,
    Size,
    Snapshot,
    Task,
)


class ActingDriver(Driver, Protocol):
    """Each call may raise any fault. What the table says no to is Refused with its reason before any call is made."""

    def capabilities(self) -> Capabilities:
        """The table of the generation that was negotiated (signs in when that is not known yet)."""

    def rates(self) -> tuple[Rate, ...]:
        """The cloud's own limits, where it tells them; empty otherwise."""

    def changes(self, since: datetime) -> tuple[tuple[ServerFacts, ...], frozenset[str]]:
        """Servers that changed since `since` (aware; ask with some overlap), and ids of those that were deleted.
        Untold when the cloud cannot tell them this time. A driver whose clouds tell only what was ordered through them
        has `changes_are_complete` False, and in `page` how many servers one call of its listing brings."""

    def sizes(self) -> tuple[Size, ...]: ...

    def images(self) -> tuple[Image, ...]: ...

    def networks(self) -> tuple[Network, ...]: ...

    def key_pairs(self) -> tuple[KeyPair, ...]: ...

    def create(self, order: Order) -> Task: ...

    def start(self, external_id: str) -> Task: ...

    def stop(self, external_id: str) -> Task: ...

    def reboot(self, external_id: str) -> Task: ...

    def reset(self, external_id: str) -> Task: ...

    def suspend(self, external_id: str) -> Task: ...

    def resume(self, external_id: str) -> Task: ...

    def resize(self, external_id: str, size: Size) -> Task:
        """To a size on offer, or (`Operation.FREE_SIZE`) to its cpus and memory_mb."""

    def confirm_resize(self, external_id: str) -> Task: ...

    def revert_resize(self, external_id: str) -> Task: ...

    def rename(self, external_id: str, name: str) -> Task: ...

    def delete(self, external_id: str) -> Task:
        """Done when the server is gone; done at once when it already is."""

    def snapshot(self, external_id: str, name: str) -> Task: ...

    def snapshots(self, external_id: str) -> tuple[Snapshot, ...]: ...

    def revert_snapshot(self, external_id: str, snapshot_id: str) -> Task: ...

    def delete_snapshot(self, external_id: str, snapshot_id: str) -> Task: ...

    def console_url(self, external_id: str) -> Console: ...

    def metadata(self, external_id: str) -> Mapping[str, str]: ...

    def set_metadata(self, external_id: str, values: Mapping[str, str | None]) -> None:
        """Set these keys; None deletes one; others stay."""

    def user_data(self, external_id: str) -> bytes: ...

    def set_user_data(self, external_id: str, data: bytes) -> None: ...

    def set_guest_property(self, external_id: str, key: str, value: str | None) -> None:
        """Set what the guest reads by its hypervisor's tools under this key; None takes it away. Others stay."""

    def recent_task(self, operation: Operation, external_id: str, since: datetime) -> Task | None:
        """The newest work of this kind that the cloud took on for this server at `since` (aware) or later, for a caller
        that never heard the answer; `task` reads on with it. Clocks differ, and the cloud's own date is compared: ask
        with some overlap.

        None when the cloud shows none or cannot tell: no proof that it was not done. Nothing is found again of a
        create, nor where the task alone does not show how it ends: vCloud's delete and resize, OpenStack's resize,
        snapshots in OpenStack and CloudStack.
        """

    def task(self, task: Task) -> Progress:
        """How it stands now: one or two calls, never a wait."""
