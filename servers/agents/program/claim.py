"""A machine from a provider's image asks to be known, and proves which one it is (protocol.py, "Claim")."""

import contextlib
import os
import socket
from typing import Any, Dict, Optional, Tuple

from . import base64url, channels, ed25519, facts, machine, protocol
from .client import Answer, Console, Stale, encoded
from .clock import Clock
from .identity import Identity
from .log import Log
from .paths import Paths

SOONEST, SLOWEST = 1.0, 300.0  # seconds between two rounds
LOOK = 2.0  # seconds between looks for the nonce while a round rests, at least
LOOKS = 5  # and at most so many of them in a round
UNTOLD = 30.0  # seconds between two calls, where the console does not say
CLAIM = 60.0  # seconds after which the same claim is sent again: the console may have shed it


class Claim:
    """One machine's. `round` does what is due: it claims, asks whether we are in, or looks at this instance whether a
    nonce stands there by now. The answer that ends it has status 200, and `retry` are the seconds until the next."""

    def __init__(self, paths: Paths, console: Console, identity: Identity, settings: Dict[str, Any], log: Log) -> None:
        self._paths = paths
        self._console = console
        self._identity = identity
        self._settings = settings
        self._log = log
        self._shown = False
        self._answered = ""  # the nonce that was answered last
        self._claimed = {}  # type: Dict[str, Any]  # what was claimed last, and when, by the clock's `since`
        self._claimed_at = 0.0
        self._due = 0.0  # the next call, by the same clock
        self.retry = SOONEST
        self.platform = ""
        self._channel = None  # type: Optional[channels.Channel]

    def round(self, clock: Clock) -> Answer:
        """Unreached as the console says it; any answer but 200 and 202 is a refusal.

        The nonce is looked for more often than the console is asked: that costs nobody but this host's own cloud.
        """
        now = clock.since()
        if self._channel is None and now >= self._due:
            self._look()
        nonce = self._channel.nonce() if self._channel and self._claimed else None
        if now < self._due and (not nonce or nonce == self._answered):
            self.retry = min(self.retry, self._due - now + 0.1)
            return Answer(202, {}, "", 0.0)
        body = self._body()
        first = not self._claimed
        if body != self._claimed or now >= self._claimed_at + CLAIM:
            answer = self._post(protocol.CLAIM_PATH, dict(body, at=int(clock.now())))
            if answer.status != 202:
                return answer
            self._claimed, self._claimed_at = body, now
            self._show()
            nonce = nonce or (self._channel.nonce() if self._channel else None)
        if not first or nonce:
            answer = self._prove(nonce)
            if answer.status != 202:
                return answer
        self._pace(answer, now)
        return answer

    def _look(self) -> None:
        """Which cloud this is: at boot it may not answer yet, so it is looked for again until one does."""
        machine.in_vcloud.cache_clear()
        self.platform, self._channel = channel_of(self._paths, self._settings)

    def _prove(self, nonce: Optional[str]) -> Answer:
        """Answer the nonce that stands at this instance; without one, ask whether a person let us in."""
        body = {"public_key": self._identity.public_key, "instance_id": self.instance_id, "version": protocol.VERSION}
        if nonce:
            text = protocol.proof_text(self._identity.public_key, self.instance_id, nonce)
            body["proof"] = base64url.encode(ed25519.sign(self._identity.seed, text))
            if nonce != self._answered:
                self._log.say("Answering the challenge of the console.")
                self._answered = nonce
        return self._post(protocol.PROOF_PATH, body)

    @property
    def instance_id(self) -> str:
        """By the cloud's own word, where it can be had."""
        if self._channel is not None and not self._identity.instance.get("service"):
            self._identity.instance["service"] = self._channel.instance_id()
        return self._identity.instance.get("service") or self._identity.instance_id or ""

    def ended(self) -> None:
        """Nothing is shown to people on the machine any more."""
        with contextlib.suppress(OSError):
            os.unlink(self._paths.motd)

    def _body(self) -> Dict[str, Any]:
        nics = facts.nics()[: protocol.MAX_NICS]
        addresses = [address.split("/")[0] for nic in nics for address in nic["addresses"]]
        return {
            "version": protocol.VERSION,
            "public_key": self._identity.public_key,
            "channel": self._settings.get("channel"),
            "platform": self.platform,
            "instance_id": self.instance_id,
            "dmi_uuid": self._identity.instance.get("dmi") or "",
            "macs": [nic["mac"] for nic in nics if nic["mac"]],
            "addresses": addresses[: protocol.MAX_NICS],
            "hostname": socket.gethostname()[: protocol.MAX_TEXT],
            "boot_id": machine.boot_id() or "",
        }

    def _post(self, path: str, body: Dict[str, Any]) -> Answer:
        data = encoded(body)
        signed = {"Muster-Signature": self._identity.signature(path, data)}
        try:
            return self._console.post(path, data, signed)
        except Stale:
            return self._console.post(path, data, signed)

    def _pace(self, answer: Answer, now: float) -> None:
        wanted = answer.body.get("retry")
        if not isinstance(wanted, (int, float)) or wanted != wanted:
            wanted = UNTOLD
        pause = float(min(SLOWEST, max(SOONEST, wanted)))
        self._due = now + pause
        self.retry = min(pause, max(LOOK, pause / LOOKS))

    def _show(self) -> None:
        """The code by which the customer knows this machine in the console: on its own console, and at sign-in."""
        if self._shown:
            return
        self._shown = True
        words = "Muster: this machine waits to be managed. Its code is {}.\n".format(
            protocol.code(base64url.decode(self._identity.public_key))
        )
        self._log.say(words.strip())
        # Only root writes there: it tells our key from that of another user of this machine (SECURITY.md, 1).
        proof = protocol.CONSOLE_KEY + self._identity.public_key + "\n"
        targets = [(self._paths.motd, "w", words)]
        if self._paths.is_whole_host:
            targets.append(("/dev/console", "a", words + proof))
        for path, mode, text in targets:
            with contextlib.suppress(OSError):
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, mode) as file:
                    file.write(text)


def channel_of(paths: Paths, settings: Dict[str, Any]) -> Tuple[str, Optional[channels.Channel]]:
    """The platform that this is on and its channel; the settings may name both."""
    return channels.channel(paths.prefix, _text(settings.get("platform")), _text(settings.get("metadata")))


def _text(value: Any) -> Optional[str]:
    return value if isinstance(value, str) and value else None
