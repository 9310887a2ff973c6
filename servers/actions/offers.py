"""What a cloud offers for an action at the moment, asked live and kept for a little: sizes, a server's snapshots."""

from __future__ import annotations

from typing import Final, cast

from django.core.cache import cache

from accounts import linking
from accounts.clouds.acting import ActingDriver
from accounts.clouds.operations import Size, Snapshot
from accounts.models import CloudAccount
from servers.models import Server

KEPT: Final = 300  # seconds


def sizes(account: CloudAccount) -> tuple[Size, ...]:
    """The sizes of this account's cloud, smallest first. Raises the faults of the driver."""
    key = f"sizes:{account.pk}:{account.credentials_version}"
    found: tuple[Size, ...] | None = cache.get(key)
    if found is None:
        listed = _driver(account).sizes()
        found = tuple(sorted(listed, key=lambda one: (one.memory_mb or 0, one.cpus or 0, one.disk_gb or 0, one.name)))
        cache.set(key, found, KEPT)
    return found


def snapshots(server: Server) -> tuple[Snapshot, ...]:
    """The server's snapshots, newest first; never kept, since somebody is about to delete one. Raises faults."""
    listed = _driver(server.account).snapshots(server.external_id)
    dated = sorted((one for one in listed if one.created_at), key=lambda one: str(one.created_at), reverse=True)
    return (*dated, *(one for one in listed if not one.created_at))


def _driver(account: CloudAccount) -> ActingDriver:
    whole = CloudAccount.objects.select_related("endpoint").get(pk=account.pk)  # pages read it without its secrets
    return cast(ActingDriver, linking.live(whole))
