"""What a check-in carries: samples taken on the way, facts when they changed, all of it within what the wire takes."""

from typing import Any, Callable, Dict, List, Optional, Tuple

from . import client, facts, protocol
from .clock import Clock
from .metrics import Meter

ROOM = protocol.MAX_BODY - 4096  # bytes; the rest is for what stands around it
FACTS = 32 * 1024  # bytes: longer lists are cut


class Samples:
    """The newest MAX_SAMPLES that the console does not have yet, also while it cannot be reached."""

    def __init__(self, clock: Clock, meter: Optional[Meter] = None) -> None:
        self._clock = clock
        self._meter = meter or Meter()
        self._waiting: List[Tuple[float, Dict[str, Any]]] = []

    def take(self) -> None:
        self._waiting.append((self._clock.since(), self._meter.read()))
        del self._waiting[: -protocol.MAX_SAMPLES]

    def told(self, room: int) -> List[Dict[str, Any]]:
        """The oldest that fit into so many bytes, each with its time by the console's clock: the same one each time
        that it is told, so that a sample is known again."""
        found: List[Dict[str, Any]] = []
        for moment, sample in self._waiting:
            sample.setdefault("at", int(self._clock.at(moment)))
            found.append(sample)
            room -= len(client.encoded(found[-1])) + 1
            if room < 0:
                return found[:-1]
        return found

    def known(self, count: int) -> None:
        """The console has the oldest `count`."""
        del self._waiting[:count]

    def __len__(self) -> int:
        return len(self._waiting)


class Facts:
    """What the console was told of this host, so that only changes go out. `instance` is its cloud's own word for which
    instance it is, which goes before what the host itself knows."""

    def __init__(self, root: str, gather: Callable[[str], Dict[str, Any]] = facts.gather) -> None:
        self._root = root
        self._gather = gather
        self.instance: Optional[str] = None
        self._known: Optional[Dict[str, Any]] = None
        self._now: Dict[str, Any] = {}

    def look(self) -> Dict[str, Any]:
        """All of them, read anew."""
        found = self._gather(self._root)
        self._now = fitting(dict(found, instance_id=self.instance) if self.instance else found)
        return self._now

    def changed(self) -> Optional[Dict[str, Any]]:
        """Those of the last look, if the console does not have them."""
        return self._now if self._now and self._now != self._known else None

    def known(self, told: Optional[Dict[str, Any]]) -> None:
        if told is not None:
            self._known = told

    def forget(self) -> None:
        """A new session: all of them go out again."""
        self._known = None


def fitting(found: Dict[str, Any]) -> Dict[str, Any]:
    """Facts, with their longest lists cut until they fit: one check-in has to hold them."""
    while len(client.encoded(found)) > FACTS:
        name = max(("disks", "nics"), key=lambda n: len(client.encoded({n: found[n]})))
        if not found[name]:
            return found
        found[name] = found[name][: len(found[name]) // 2]
    return found


def body(samples: Samples, known: Facts, more: Dict[str, Any], wait: float) -> Dict[str, Any]:
    """One check-in's. `more` is what else has to go, already within its own limits. Where not all samples fit, the
    answer is not waited for: the others follow at once."""
    found = dict(more, version=protocol.VERSION)
    changed = known.changed()
    if changed is not None:
        found["facts"] = changed
    found["samples"] = samples.told(ROOM - len(client.encoded(found)))
    if wait and len(found["samples"]) == len(samples):
        found["wait"] = round(wait, 1)
    return found
