"""What keeps a simulated account alive while nobody touches it: builds end, servers reboot, CI runners come and go."""

from __future__ import annotations

import threading
from datetime import timedelta

from console.demo.cloud import Cloud, Conflict
from console.demo.instance import Instance

RUNNER = "ci-runner-"
BUILD_TIME = timedelta(seconds=45)


class Pulse:
    """One small change a beat, chosen by the cloud's own seeded randomness and clock."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self._count = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def beat(self) -> str:
        """Does the next thing and says what: "built", "rebooted", "appeared", "left", or "rested"."""
        self._count += 1
        with self.cloud.lock:
            self.cloud.advance()
            if self._built():
                return "built"
            match self._count % 4:
                case 1:
                    return self._appear()
                case 3:
                    return self._leave()
                case _:
                    return self._reboot()

    def _built(self) -> bool:
        now = self.cloud.clock()
        for one in self.cloud.instances.values():
            if one.status == "BUILD" and one.ends is None and now - one.created >= BUILD_TIME:
                self.cloud.house(one)
                self.cloud.set_status(one.id, "ACTIVE")
                return True
        return False

    def _runners(self, status: str) -> list[Instance]:
        mine = self.cloud.instances.values()
        return [one for one in mine if one.name.startswith(RUNNER) and one.status == status]

    def _appear(self) -> str:
        if len(self._runners("BUILD")) + len(self._runners("ACTIVE")) > 12:
            return self._leave()
        alike = next(iter(self._runners("ACTIVE")), None)
        self.cloud.add(
            f"{RUNNER}{self.cloud.random.getrandbits(24):06x}",
            status="BUILD",
            flavor=alike.flavor if alike else None,
            image=alike.image if alike else None,
            metadata={"role": "ci"},
            key_name="ops",
        )
        return "appeared"

    def _leave(self) -> str:
        runners = sorted(self._runners("ACTIVE"), key=lambda one: one.created)
        if len(runners) < 4:
            return "rested"
        self.cloud.remove(runners[0].id)
        return "left"

    def _reboot(self) -> str:
        mine = [one for one in self.cloud.instances.values() if one.name.startswith("web-") and one.status == "ACTIVE"]
        if not mine:
            return "rested"
        try:
            self.cloud.act(self.cloud.random.choice(mine).id, "reboot:SOFT")
        except Conflict:
            return "rested"  # it is busy or locked
        return "rebooted"

    def start(self, every: float = 20.0) -> None:
        """A beat every so many seconds until `stop`, in a thread of its own."""
        self._thread = threading.Thread(target=self._run, args=(every,), name="demo-pulse", daemon=True)
        self._thread.start()

    def _run(self, every: float) -> None:
        while not self._stop.wait(every):
            self.beat()

    def stop(self) -> None:
        """No beat begins after this."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(5)

    def __enter__(self) -> Pulse:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
