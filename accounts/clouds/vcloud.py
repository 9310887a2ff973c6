"""vCloud: 1.0, 1.5, 5.x and VMware Cloud Director to 39 and beyond, by one client that follows links.

What differs is the version (in the path or in Accept), the namespace and the way to sign in: vcloud_signin.py. The
promise of each method is in `accounts.clouds.base.Driver` and `accounts.clouds.acting.ActingDriver`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final, NoReturn

from accounts.clouds.base import Checked, Page, ServerFacts
from accounts.clouds.known import KnownRows
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
    require,
)
from accounts.clouds.vcloud_acting import Acting
from accounts.clouds.vcloud_capabilities import CAPABILITIES
from accounts.clouds.vcloud_listing import Listing
from accounts.clouds.vcloud_offers import Offers
from accounts.clouds.vcloud_tasks import Tasks
from accounts.clouds.vcloud_wire import Wire
from console.lib.faults import Unexpected
from console.lib.outbound import Transport


class VCloud:
    """One organisation at one cell. `region` is the name of a virtual data centre. Not for use by two threads."""

    changes_are_complete: Final = False  # tasks: a guest that stops by itself has none
    page: Final = 128  # servers that a call of a listing brings at most

    def __init__(
        self,
        *,
        url: str,
        credentials: Mapping[str, str],
        version: str | None = None,
        region: str | None = None,
        transport: Transport,
    ) -> None:
        self._wire = Wire(url, credentials, version, transport)
        self._listing = Listing(self._wire, region)
        self._tasks = Tasks(self._wire)
        self._acting = Acting(self._wire, self._listing, self._tasks)
        self._offers = Offers(self._wire, self._listing, self._tasks)

    @property
    def calls(self) -> int:
        return self._wire.calls

    def close(self) -> None:
        self._wire.close()

    def check(self) -> Checked:
        self._listing.first()
        spoken = self._wire.spoken
        return Checked(f"vCloud API {spoken.number}", spoken.generation)

    def capabilities(self) -> Capabilities:
        return CAPABILITIES[self._wire.spoken.generation]

    def _require(self, operation: Operation) -> None:
        require(self.capabilities(), operation)

    def _never(self, operation: Operation) -> NoReturn:
        """No generation of vCloud has this."""
        self._require(operation)
        raise Unexpected(f"The table of vCloud says yes to {operation}, which it does not have.")

    def rates(self) -> tuple[Rate, ...]:
        return ()  # no version tells any

    # --- reading

    def servers(self, known: KnownRows | None = None) -> Iterator[Page]:
        self._require(Operation.LIST)
        return self._listing.pages(known)

    def server(self, external_id: str) -> ServerFacts | None:
        self._require(Operation.LIST)
        return self._listing.one(external_id)

    def changes(self, since: datetime) -> tuple[tuple[ServerFacts, ...], frozenset[str]]:
        self._require(Operation.CHANGES)
        return self._listing.changes(since)

    def sizes(self) -> tuple[Size, ...]:
        self._require(Operation.SIZES)
        return self._offers.sizes()

    def images(self) -> tuple[Image, ...]:
        self._require(Operation.IMAGES)
        return self._offers.images()

    def networks(self) -> tuple[Network, ...]:
        self._require(Operation.NETWORKS)
        return self._offers.networks()

    def key_pairs(self) -> tuple[KeyPair, ...]:
        self._never(Operation.KEY_PAIRS)

    # --- acting

    def create(self, order: Order) -> Task:
        self._require(Operation.CREATE)
        if order.user_data:
            self._require(Operation.ORDER_USER_DATA)
        return self._offers.create(order)

    def start(self, external_id: str) -> Task:
        self._require(Operation.START)
        return self._acting.start(external_id)

    def stop(self, external_id: str) -> Task:
        self._require(Operation.STOP)
        return self._acting.stop(external_id)

    def reboot(self, external_id: str) -> Task:
        self._require(Operation.REBOOT)
        return self._acting.follow(external_id, "power:reboot")

    def reset(self, external_id: str) -> Task:
        self._require(Operation.RESET)
        return self._acting.follow(external_id, "power:reset")

    def suspend(self, external_id: str) -> Task:
        self._require(Operation.SUSPEND)
        return self._acting.follow(external_id, "power:suspend", already="3")

    def resume(self, external_id: str) -> Task:
        self._require(Operation.RESUME)
        return self._acting.start(external_id)

    def resize(self, external_id: str, size: Size) -> Task:
        self._require(Operation.RESIZE)
        return self._acting.resize(external_id, size)

    def confirm_resize(self, external_id: str) -> Task:
        self._never(Operation.CONFIRM_RESIZE)

    def revert_resize(self, external_id: str) -> Task:
        self._never(Operation.REVERT_RESIZE)

    def rename(self, external_id: str, name: str) -> Task:
        self._require(Operation.RENAME)
        return self._acting.rename(external_id, name)

    def delete(self, external_id: str) -> Task:
        self._require(Operation.DELETE)
        return self._acting.delete(external_id)

    def snapshot(self, external_id: str, name: str) -> Task:
        self._require(Operation.SNAPSHOT)
        return self._acting.snapshot(external_id, name)

    def snapshots(self, external_id: str) -> tuple[Snapshot, ...]:
        self._require(Operation.SNAPSHOTS)
        return self._acting.snapshots(external_id)

    def revert_snapshot(self, external_id: str, snapshot_id: str) -> Task:
        self._require(Operation.REVERT_SNAPSHOT)
        return self._acting.with_snapshot(external_id, snapshot_id, "snapshot:revertToCurrent")

    def delete_snapshot(self, external_id: str, snapshot_id: str) -> Task:
        self._require(Operation.DELETE_SNAPSHOT)
        return self._acting.with_snapshot(external_id, snapshot_id, "snapshot:removeAll")

    def console_url(self, external_id: str) -> Console:
        self._require(Operation.CONSOLE_URL)
        return self._acting.console_url(external_id)

    def console_text(self, external_id: str, lines: int = 200) -> str:
        self._never(Operation.CONSOLE_TEXT)

    def metadata(self, external_id: str) -> Mapping[str, str]:
        self._require(Operation.METADATA)
        return self._acting.metadata(external_id)

    def set_metadata(self, external_id: str, values: Mapping[str, str | None]) -> None:
        self._require(Operation.SET_METADATA)
        self._acting.set_metadata(external_id, values)

    def user_data(self, external_id: str) -> bytes:
        self._require(Operation.USER_DATA)
        return self._acting.user_data(external_id)

    def set_user_data(self, external_id: str, data: bytes) -> None:
        self._require(Operation.SET_USER_DATA)
        self._acting.set_user_data(external_id, data)

    def set_guest_property(self, external_id: str, key: str, value: str | None) -> None:
        self._require(Operation.SET_GUEST_PROPERTY)
        self._acting.set_guest_property(external_id, key, value)

    def recent_task(self, operation: Operation, external_id: str, since: datetime) -> Task | None:
        return self._tasks.recent(operation, external_id, since)

    def task(self, task: Task) -> Progress:
        return self._tasks.progress(task)
