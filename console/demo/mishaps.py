"""What may go wrong on the wire of a simulated cloud, on demand."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The mishaps that a served cloud knows."""

    UNAUTHORIZED = "unauthorized"
    """401 in the generation's own words, whatever the token."""
    FORBIDDEN = "forbidden"
    """403 with a compute fault."""
    OVER_LIMIT = "over_limit"
    """413 overLimit with Retry-After, as Essex says it; 403 without one from Diablo."""
    TOO_MANY = "too_many"
    """429 with Retry-After, as proxies in front of modern clouds say it."""
    UNAVAILABLE = "unavailable"
    """503 with an HTML body and, when asked for, Retry-After."""
    BROKEN = "broken"
    """500 computeFault."""
    TRUNCATED = "truncated"
    """The true reply, cut in the middle of the body; the connection closes."""
    DRIP = "drip"
    """The true reply, a few bytes at a time (`pause` seconds between them)."""
    HANG = "hang"
    """No reply for `pause` seconds, then the connection closes."""
    HANG_UP = "hang_up"
    """The connection closes without a reply."""
    RUBBISH = "rubbish"
    """200, application/json, and a body that is not JSON."""
    WRONG_SHAPE = "wrong_shape"
    """200 and good JSON of the wrong shape."""
    EMPTY = "empty"
    """200 and a good list with nothing in it, whatever there is."""
    HTML = "html"
    """200 and a login page."""
    REDIRECT = "redirect"
    """302 to `location`."""
    HUGE = "huge"
    """200 and a JSON body of `size` bytes."""
    BOMB = "bomb"
    """200 and `size` bytes of JSON, gzipped to a thousandth."""
    ENTITIES = "entities"
    """200 and an XML document whose DOCTYPE declares entities that grow without end."""
    ELSEWHERE = "elsewhere"
    """The true token reply, its catalog pointing at `location`."""


@dataclass(slots=True)
class Mishap:
    """One planned mishap. `seen` counts how often it befell."""

    kind: Kind
    path: str
    method: str | None
    times: int | None
    after: int
    retry_after: int | None
    location: str
    size: int
    pause: float
    seen: int = 0


class Mishaps:
    """The planned mishaps of one site. Safe to use from several threads."""

    def __init__(self) -> None:
        self._planned: list[Mishap] = []
        self._lock = threading.Lock()

    def inject(
        self,
        kind: str,
        *,
        path: str | None = None,
        method: str | None = None,
        times: int | None = 1,
        after: int = 0,
        retry_after: int | None = None,
        location: str = "http://198.51.100.7:8774/v2.1",
        size: int = 64 * 2**20,
        pause: float = 0.05,
    ) -> Mishap:
        """The next `times` requests (None: all) whose path and query contain `path`, after `after` good ones, go wrong.

        `path` is "/servers" unless given ("/tokens" for "elsewhere"). Raises ValueError for an unknown kind.
        """
        known = Kind(kind)
        where = path if path is not None else "/tokens" if known is Kind.ELSEWHERE else "/servers"
        mishap = Mishap(known, where, method, times, after, retry_after, location, size, pause)
        with self._lock:
            self._planned.append(mishap)
        return mishap

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        with self._lock:
            self._planned.clear()

    def befall(self, method: str, target: str) -> Mishap | None:
        """The mishap of this request, if any; counts it."""
        with self._lock:
            for mishap in self._planned:
                if mishap.path not in target or mishap.method not in (None, method):
                    continue
                if mishap.after > 0:
                    mishap.after -= 1
                elif mishap.times is None or mishap.seen < mishap.times:
                    mishap.seen += 1
                    return mishap
        return None
