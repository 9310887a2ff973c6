"""Drivers that stay signed in between two tasks of one process, so that a look at a server is one call and not six.

What is kept is in the memory of this process only, for AGE at most: the session that the cloud gave, and inside the
driver what it was got with, since tokens run out. Nothing of it is ever written down. Each use looks at the account's
row first: other credentials, another endpoint or a suspension end what was kept.
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

from accounts import clouds, linking, opening, ready
from accounts.models import CloudAccount
from console.lib.faults import Fault
from console.lib.outbound import Transport

MOST: Final = 64  # accounts
AGE: Final = 600.0  # seconds since it was made: its catalog may be old by then, and vCloud ends what is idle for 1,800
PATIENCE: Final = 1.0  # seconds: no sign-out is begun after them
_ENDPOINT: Final = slice(2, None)  # of a stamp


@dataclass(eq=False)
class _Kept:
    driver: clouds.Driver
    transport: Transport
    stamp: tuple[Any, ...]
    until: float
    spoilt: bool = False


class Keep:
    """At most `most` drivers, each for `age` seconds by `clock`, each for one user at a time."""

    def __init__(self, most: int = MOST, age: float = AGE, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._age, self._clock = most, age, clock
        self.clear()

    def clear(self) -> None:
        """Everything is forgotten."""
        self._lock = threading.Lock()
        self._idle: OrderedDict[Any, _Kept] = OrderedDict()
        self._lent: list[tuple[Any, _Kept]] = []
        self._dropped: list[_Kept] = []

    def __len__(self) -> int:
        return len(self._idle)

    @contextmanager
    def driver(
        self, account: CloudAccount, before_call: Callable[[str], None] | None = None
    ) -> Iterator[clouds.Driver]:
        """The account's driver, as it was left by the last user, or a new one that has not called yet.

        `account` is a row that was just read, with its customer and endpoint. `before_call`: see Transport; it is this
        user's only. While somebody has it, another gets one of its own. Raises what `linking.live` raises.
        """
        refused = bool(ready.refusal(account))
        if refused:
            self.forget(account.pk, quietly=not account.endpoint.enabled)
        through = opening.transport(account.endpoint)
        stamp = _stamp(account, through)
        kept = self._take(account, stamp)
        if kept is None:
            driver = linking.live(account, through=through)
            kept = _Kept(driver, through, stamp, self._clock() + self._age, spoilt=refused)
            with self._lock:
                self._lent.append((account.pk, kept))
        kept.transport.before_call = before_call
        try:
            yield kept.driver
        except Fault:
            raise  # which of them spoil the driver, `forget` was told
        except BaseException:
            kept.spoilt = True  # it was left in the middle of something
            raise
        finally:
            kept.transport.before_call = None
            kept.transport.hang_up()
            self._give_back(account.pk, kept)
            self._sign_out()

    def forget(self, account_id: Any, *, quietly: bool = False) -> None:
        """What is kept for this account is not used again, nor what somebody has at the moment.

        `quietly`: its cloud is not even told.
        """
        with self._lock:
            idle = self._idle.pop(account_id, None)
            if idle is not None and not quietly:
                self._dropped.append(idle)
            for owner, kept in self._lent:
                kept.spoilt |= owner == account_id

    def _take(self, account: CloudAccount, stamp: tuple[Any, ...]) -> _Kept | None:
        now = self._clock()
        with self._lock:
            for old in [pk for pk, kept in self._idle.items() if kept.until <= now]:
                self._dropped.append(self._idle.pop(old))
            kept = self._idle.pop(account.pk, None)
            if kept is None:
                return None
            if kept.stamp != stamp:
                if kept.stamp[_ENDPOINT] == stamp[_ENDPOINT]:  # where staff changed it, the old one is called no more
                    self._dropped.append(kept)
                return None
            self._lent.append((account.pk, kept))
            return kept

    def _give_back(self, account_id: Any, kept: _Kept) -> None:
        with self._lock:
            self._lent.remove((account_id, kept))
            if kept.spoilt or kept.until <= self._clock():
                self._dropped.append(kept)
                return
            self._idle[account_id] = kept
            self._idle.move_to_end(account_id)
            while len(self._idle) > self._most:
                self._dropped.append(self._idle.popitem(last=False)[1])

    def _sign_out(self) -> None:
        """End the sessions of what was dropped: without the lock, and after the work of whoever is here. One that
        follows a slow one waits for the next user; the cell ends it by itself if none comes."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            with self._lock:
                del self._dropped[: -self._most]
                if not self._dropped:
                    return
                kept = self._dropped.pop()
            kept.driver.close()


def _stamp(account: CloudAccount, through: Transport) -> tuple[Any, ...]:
    """What the driver of an account depends on; without a secret in it."""
    end = account.endpoint
    sealed = blake2b(account.sealed.encode(), digest_size=16).digest()
    return (
        account.credentials_version, sealed, end.platform, end.url, end.version, end.region, end.ca,
        tuple(map(str, through.approved)), through.allow_http, through.old_tls,
        through.origins, through.listeners,
    )  # fmt: skip


_keep: Final = Keep()
# Two processes must not talk over one session, nor wait for a lock that nobody will open.
os.register_at_fork(after_in_child=_keep.clear)

driver: Final = _keep.driver
forget: Final = _keep.forget
