"""What an account's cloud offers for a new server, asked live, with what could not be had and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from accounts import clouds, ready
from accounts.clouds.operations import Image, KeyPair, Network, Operation, Size
from accounts.models import CloudAccount
from console.lib.faults import Fault
from servers.actions import measures, offers


@dataclass
class Choices:
    """`never`: list, or "user_data" → the sentence why this platform has none. `failed`: list → the cloud's words of
    just now. `free`: CPUs and memory can be said instead of a size."""

    sizes: tuple[Size, ...] = ()
    images: tuple[Image, ...] = ()
    networks: tuple[Network, ...] = ()
    key_pairs: tuple[KeyPair, ...] = ()
    never: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    free: bool = False

    @property
    def fault(self) -> str:
        """Why nothing can be ordered at the moment; "" when it can."""
        return self.failed.get("images") or ("" if self.free else self.failed.get("sizes")) or ""

    @property
    def lacks(self) -> str:
        """What must be there and is not, as a sentence."""
        if self.fault:
            return ""
        if not self.images:
            return "This account offers no image to create a server from."
        return "" if self.sizes or self.free else "This account offers no size."

    @property
    def zones(self) -> list[str]:
        """Where a server can be, when the cloud says so with its offers."""
        zones = [image.zone for image in self.images] + [network.zone for network in self.networks]
        return sorted(set(filter(None, zones)))

    def within(self, zone: str) -> Choices:
        """Those of one zone, and those that are everywhere."""
        if not zone:
            return self
        images = tuple(one for one in self.images if one.zone in ("", zone))
        networks = tuple(one for one in self.networks if one.zone in ("", zone))
        return replace(self, images=images, networks=networks)


_LISTS: tuple[tuple[str, Operation, Callable[[CloudAccount], tuple[Any, ...]]], ...] = (
    ("images", Operation.IMAGES, offers.images),
    ("sizes", Operation.SIZES, offers.sizes),
    ("networks", Operation.NETWORKS, offers.networks),
    ("key_pairs", Operation.KEY_PAIRS, offers.key_pairs),
)


def of(account: CloudAccount) -> Choices:
    """Ask the cloud for all of it. Ends early where it cannot be ordered without what failed."""
    table = ready.table(account) or list(clouds.tables(account.endpoint.platform).values())[-1]
    found = Choices(free=measures.free(table))
    if words := table[Operation.ORDER_USER_DATA].refusal():
        found.never["user_data"] = words
    for name, operation, ask in _LISTS:
        if words := table[operation].refusal():
            found.never[name] = words
            continue
        try:
            setattr(found, name, ask(account))
        except Fault as fault:
            found.failed[name] = fault.words
            if found.fault:
                break
    return found
