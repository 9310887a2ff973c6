"""What the console gives an agent to do: scripts and newer versions. Most agents have neither, so most of it is loaded
when it is needed."""

import os
from typing import TYPE_CHECKING, Any, Dict, Optional

from . import files, process, protocol
from .client import Answer, Console, Unreached
from .clock import Clock
from .identity import Identity
from .log import Log
from .paths import Paths
from .session import Session

if TYPE_CHECKING:
    from .desk import Desk


class Errands:
    """One enrolled agent's. `news` goes into a check-in, `take` reads its answer; `close` when the agent is another."""

    def __init__(self, paths: Paths, console: Console, identity: Identity, clock: Clock, log: Log) -> None:
        self._paths = paths
        self._console = console
        self._identity = identity
        self._clock = clock
        self._log = log
        self._desk: Optional["Desk"] = None
        self._updated = os.path.exists(paths.update)  # an update was tried: there may be something to tell of it
        if os.path.isdir(paths.work):
            self._open_desk()  # what the program before us had begun is interrupted

    @property
    def busy(self) -> bool:
        """Something runs, or has to be told soon."""
        return self._desk is not None and self._desk.busy

    def close(self) -> None:
        if self._desk is not None:
            self._desk.close()

    def news(self, session: Session) -> Dict[str, Any]:
        """What a check-in tells besides: results of work, whose output goes first, and of an update.

        Unreached as the session says it; it may be closed afterwards.
        """
        found: Dict[str, Any] = {}
        if self._desk is not None:
            from . import base64url

            for piece in self._desk.pieces():
                told = {name: piece[name] for name in ("work", "stream", "offset")}
                answer = session.post(protocol.OUTPUT_PATH, dict(told, data=base64url.encode(piece["data"])))
                if answer.status != 200:
                    break  # what follows may only come after it
                self._desk.sent(piece)
            found["work"] = self._desk.results()
        if self._updated:
            from . import update

            said = update.report(self._paths)
            if said:
                found["release"] = said
        return found

    def take(self, answer: Answer, told: Dict[str, Any]) -> Optional[int]:
        """What the console knows now, and what it gave us; an exit code when a newer version starts in our place."""
        if self._desk is not None:
            self._desk.known(told.get("work", []))
        if answer.body.get("work"):
            if self._desk is None:
                self._open_desk()
            if self._desk is not None:
                self._desk.take(answer.body["work"])
        offer = answer.body.get("release")
        if not self._updated and not offer:
            return None
        from . import update

        try:
            if told.get("release"):
                update.told(self._paths, told["release"])
            update.settle(self._paths)
            return self._update(offer) if offer and not self.busy else None
        except OSError as error:
            self._log.say("An update is not possible now. {}".format(files.refusal(error).cause))
            return None

    def _update(self, offer: Any) -> Optional[int]:
        from . import envelope, update

        keys = envelope.pinned(self._identity.keys)
        try:
            version = update.take(self._paths, offer, keys, self._clock.now(), self._console.fetch)
        except (update.Fetch, Unreached) as error:
            self._log.say(str(error))
            return None
        finally:
            self._updated = os.path.exists(self._paths.update)
        if version is None:
            return None
        self._log.say("Version {} is fetched. Starting it.".format(version))
        return process.AGAIN

    def _open_desk(self) -> None:
        from . import desk, envelope

        if self._identity.agent_id is not None:
            keys = envelope.pinned(self._identity.keys)
            self._desk = desk.Desk(self._paths.work, self._identity.agent_id, keys, self._clock.now)
