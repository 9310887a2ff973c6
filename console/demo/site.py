"""What every served cloud has in common: it starts, it stops, and it can be in a mood."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from console.demo.mishaps import Mishap
from console.demo.wire import Listener, Request


class Served(Protocol):
    def start(self) -> None: ...

    def stop(self) -> None: ...


S = TypeVar("S", bound=Served)


class OnePort:
    """A site of one port. Whoever derives sets `_listener`."""

    _listener: Listener

    @property
    def listening(self) -> int:
        """The port."""
        return int(self._listener.server_address[1])

    def befall(self, mood: Callable[[Request], Mishap | None]) -> None:
        """What happens to a request by what it says; see `Listener.mood`."""
        self._listener.mood = mood

    def start(self) -> None:
        """Serves until `stop`."""
        self._listener.start()

    def stop(self) -> None:
        """Closes the port and every connection."""
        self._listener.stop()


@contextmanager
def served(site: S) -> Iterator[S]:
    """`site`, while the block runs."""
    site.start()
    try:
        yield site
    finally:
        site.stop()
