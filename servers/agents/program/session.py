"""A session with the console: opened by our key, carried on by a shared one, with a number on each request."""

import hashlib
import hmac
import os
import time
from typing import Any, Dict

from . import base64url, files, machine, protocol
from .client import Answer, Console, Stale, encoded
from .clock import Clock
from .identity import Identity
from .paths import Paths

# After these the session is over, and another one mends it.
OVER = {protocol.UNKNOWN_SESSION, protocol.REPLAYED, protocol.WRONG_TIME}
HIGHEST = 2**53  # an epoch above that is nobody's clock


class Session:
    """One agent's. `open` before `post`; after an answer that is `over`, open again."""

    def __init__(self, paths: Paths, console: Console, identity: Identity, clock: Clock) -> None:
        self._paths = paths
        self._console = console
        self._identity = identity
        self._clock = clock
        self._epoch = _kept_epoch(paths)
        self._key = b""
        self._name = ""
        self._sequence = 0

    @property
    def is_open(self) -> bool:
        return bool(self._name)

    def open(self) -> Answer:
        """Ask for a session, once more when our epoch was used already. Open only if the answer's status is 200."""
        answer = self._ask()
        last = answer.body.get("epoch") if answer.code == protocol.EPOCH_USED else None
        if isinstance(last, int) and self._epoch <= last < HIGHEST:
            self._epoch = last
            answer = self._ask()
        name, key = answer.body.get("session"), base64url.decode(answer.body.get("key"))
        if answer.status == 200 and isinstance(name, str) and len(name) <= 64 and len(key) >= 32:
            self._name, self._key, self._sequence = name, key, 0
            self._clock.told(answer.body.get("time"))
        return answer

    def close(self) -> None:
        self._name, self._key = "", b""

    def post(self, path: str, body: Dict[str, Any], wait: float = 0.0, limit: int = protocol.MAX_BODY) -> Answer:
        """One request in this session. A connection that the far side had closed is opened anew, under a new number:
        the old one may have been counted. Unreached as the console says it."""
        data = encoded(body)
        try:
            answer = self._console.post(path, data, self._headers(path, data), wait, limit)
        except Stale:
            answer = self._console.post(path, data, self._headers(path, data), wait, limit)
        if answer.code in OVER:
            self.close()
        elif answer.status == 200:
            self._clock.told(answer.body.get("time"))
        return answer

    def _headers(self, path: str, data: bytes) -> Dict[str, str]:
        self._sequence += 1
        sequence, moment = str(self._sequence), str(int(self._clock.now()))
        text = protocol.signed_text("POST", path, hashlib.sha256(data).hexdigest(), self._name, sequence, moment)
        return {
            "Muster-Session": self._name,
            "Muster-Sequence": sequence,
            "Muster-Time": moment,
            "Muster-Signature": hmac.new(self._key, text, hashlib.sha256).hexdigest(),
        }

    def _ask(self) -> Answer:
        self._epoch = max(int(time.time() * 1000), self._epoch + 1)
        _keep_epoch(self._paths, self._epoch)
        data = encoded(
            {
                "agent_id": self._identity.agent_id,
                "epoch": self._epoch,
                "version": protocol.VERSION,
                "instance_id": self._identity.instance_id or "",
                "boot_id": machine.boot_id() or "",
            }
        )
        signed = {"Muster-Signature": self._identity.signature(protocol.SESSION_PATH, data)}
        return self._console.post(protocol.SESSION_PATH, data, signed)


def _kept_epoch(paths: Paths) -> int:
    try:
        found = (files.read_json(paths.epoch) or {}).get("epoch")
    except OSError:
        return 0
    return found if isinstance(found, int) and 0 < found < HIGHEST else 0


def _keep_epoch(paths: Paths, epoch: int) -> None:
    """Where the disk will not have it, the clock's milliseconds have to do, and the console tells when they do not."""
    try:
        files.folder(os.path.dirname(paths.epoch), 0o700)
        files.write_json(paths.epoch, {"epoch": epoch})
    except OSError:
        return
