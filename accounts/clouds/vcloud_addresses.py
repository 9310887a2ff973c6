"""What documents told of servers, remembered for an hour: records below 5.7 carry no addresses, and reading every vApp
at each sync would cost a call each (../shared/CLOUDS.md §2.2).

It is a saving only: whoever finds nothing here reads the document. Kept in the process, bounded, keyed by account.
"""

from __future__ import annotations

import random
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Final

from accounts.clouds.vcloud_rows import Details, Record

MOST: Final = 40_000  # servers, of all accounts of this process: about 30 MB
SECONDS: Final = 3600.0

_LOOKED_AT: Final = ("status", "isDeployed", "networkName", "name", "container", "ipAddress")

_kept: OrderedDict[tuple[bytes, str], tuple[tuple[str, ...], float, Details]] = OrderedDict()
_lock = threading.Lock()


class Known:
    """One account's part. `clock` is in seconds."""

    def __init__(self, url: str, credentials: Mapping[str, str], clock: Callable[[], float] = time.monotonic) -> None:
        whose = "\0".join([url, *(f"{key}={credentials[key]}" for key in sorted(credentials))])
        self._account = blake2b(whose.encode(), digest_size=16).digest()
        self._clock = clock

    def get(self, vm_id: str, record: Record) -> Details | None:
        """None when its record has changed since, when a task is at work on it, or when it is too long ago."""
        key = (self._account, vm_id)
        with _lock:
            held = _kept.get(key)
            if held is None:
                return None
            mark, until, details = held
            if record.get("isBusy", "") == "true" or mark != _mark(record) or until < self._clock():
                del _kept[key]
                return None
            _kept.move_to_end(key)
        return details

    def put(self, vm_id: str, record: Record, details: Details) -> None:
        if record.get("isBusy", "") == "true":
            return
        # Spread, so that not all of an account runs out in one sync.
        until = self._clock() + SECONDS * random.uniform(0.5, 1.0)  # noqa: S311  # spreads load
        with _lock:
            _kept[self._account, vm_id] = (_mark(record), until, details)
            _kept.move_to_end((self._account, vm_id))
            while len(_kept) > MOST:
                _kept.popitem(last=False)


def _mark(record: Record) -> tuple[str, ...]:
    return tuple(record.get(name, "") for name in _LOOKED_AT)
