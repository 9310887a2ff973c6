"""What a cloud offers at the moment, asked live and kept for a little: for new servers, and for what is done to one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from django.core.cache import cache

from accounts import calling
from accounts.clouds.acting import ActingDriver
from accounts.clouds.operations import Image, KeyPair, Network, Size, Snapshot
from accounts.models import CloudAccount
from servers.models import Server

KEPT: Final = 300  # seconds
BRIEFLY: Final = 60  # seconds: people add a key or a network at their cloud, and come back for it
PATIENCE: Final = 3.0  # seconds that a page waits for the account's turn
T = TypeVar("T")


def sizes(account: CloudAccount) -> tuple[Size, ...]:
    """The sizes of this account's cloud, smallest first. Raises the faults of the driver."""
    return _kept(account, "sizes", KEPT, lambda one: (one.memory_mb or 0, one.cpus or 0, one.disk_gb or 0, one.name))


def images(account: CloudAccount) -> tuple[Image, ...]:
    """What servers can be created from, by name. Raises the faults of the driver."""
    return _kept(account, "images", KEPT, lambda one: (one.name.lower(), one.zone, one.id))


def networks(account: CloudAccount) -> tuple[Network, ...]:
    """The networks that a server can be put into, by name. Raises the faults of the driver."""
    return _kept(account, "networks", BRIEFLY, lambda one: (one.name.lower(), one.zone, one.id))


def key_pairs(account: CloudAccount) -> tuple[KeyPair, ...]:
    """The key pairs whose public half a new server can get, by name. Raises the faults of the driver."""
    return _kept(account, "key_pairs", BRIEFLY, lambda one: (one.name.lower(),))


def snapshots(server: Server) -> tuple[Snapshot, ...]:
    """The server's snapshots, newest first; never kept, since somebody is about to delete one. Raises faults."""
    listed: tuple[Snapshot, ...] = _ask(server.account, lambda driver: driver.snapshots(server.external_id))
    dated = sorted((one for one in listed if one.created_at), key=lambda one: str(one.created_at), reverse=True)
    return (*dated, *(one for one in listed if not one.created_at))


def _kept(account: CloudAccount, what: str, seconds: int, order: Callable[[Any], Any]) -> tuple[Any, ...]:
    key = f"{what}:{account.pk}:{account.credentials_version}"
    found: tuple[Any, ...] | None = cache.get(key)
    if found is None:
        found = tuple(sorted(_ask(account, lambda driver: getattr(driver, what)()), key=order))
        cache.set(key, found, seconds)
    return found


def _ask(account: CloudAccount, question: Callable[[ActingDriver], T]) -> T:
    # Pages read it without its secrets.
    whole = CloudAccount.objects.select_related("customer", "endpoint").get(pk=account.pk)
    with calling.calling(whole, PATIENCE) as driver:
        return question(driver)
