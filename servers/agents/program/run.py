"""The running agent: enrol once, then a heartbeat every interval, until it is told to go."""

import os
import random
import signal
import sys
import time
from types import FrameType
from typing import Any, Callable, Dict, Optional

from . import facts, files, process, protocol, status, systemd
from .client import Answer, Console, Unreached
from .log import Log
from .metrics import Meter
from .paths import Paths
from .refusal import Refusal
from .uninstall import uninstall

SLOWEST = 300.0  # seconds: the longest pause between tries, before jitter


class Agent:
    """One agent. `step` does what is due and leaves in `pause` the seconds until the next; an exit code ends it.

    It goes by a clock that only moves forward and sends no time of its own, so a wrong clock on the host harms nothing.
    """

    def __init__(self, paths: Paths, log: Log, chance: Callable[[], float] = random.random) -> None:
        self.paths = paths
        self.log = log
        self.pause = 0.0
        self.interval = float(protocol.INTERVAL)
        self._chance = chance
        self._settings = files.read_json(paths.config) or {}
        url, ca, proxy = (self._settings.get(key) for key in ("url", "ca", "proxy"))
        if not isinstance(url, str):
            raise Refusal("The settings in {} are absent or damaged.".format(paths.config), "Install the agent again.")
        self._console = Console(url, ca, proxy)
        self._identity = self._known(url)
        self._saved = True
        self._meter = Meter()
        self._sent = None  # type: Optional[Dict[str, Any]]
        self._failures = 0
        self._last = None  # type: Optional[int]
        self._state = status.ENROLLING
        self._trouble = ""

    def _known(self, url: str) -> Optional[Dict[str, Any]]:
        """Who we are to the console at this URL, if it ever told us."""
        found = files.read_json(self.paths.identity)
        if found and found.get("url") == url and isinstance(found.get("agent_token"), str):
            return found
        return None

    def step(self) -> Optional[int]:
        try:
            code = self._enrol() if self._settings.get("token") else self._beat()
        except Unreached as error:
            code = None
            self._later(str(error), status.UNREACHED)
        if code != process.LEFT:
            agent_id = self._identity.get("agent_id") if self._identity else None
            status.note(self.paths, self._state, agent_id, self._last, self._trouble)
        return code

    def _enrol(self) -> Optional[int]:
        body = {
            "token": self._settings["token"],
            "attempt": self._settings.get("attempt"),
            "version": protocol.VERSION,
            "facts": facts.gather(),
        }
        answer = self._console.post(protocol.ENROL_PATH, body)
        if answer.status == 401 and answer.code == protocol.UNKNOWN_TOKEN:
            self._forget_token()
            if self._identity is not None:
                self.log.say("The new join token was not accepted; going on as the agent that we were.")
                return None
            return self._stop("The console does not accept the join token: used, expired or unknown. Install again.")
        agent_id, token = answer.body.get("agent_id"), answer.body.get("agent_token")
        if answer.status not in (200, 201) or not isinstance(agent_id, str) or not isinstance(token, str):
            self._refused(answer)
            return None
        self._identity = {"url": self._settings["url"], "agent_id": agent_id, "agent_token": token}
        self._sent = body["facts"]
        self.log.say("Enrolled as agent {}.".format(agent_id))
        self._saved = False
        self._forget_token()
        self._take_interval(answer)
        self.pause = 0.0  # the first heartbeat is what the console calls success
        return None

    def _beat(self) -> Optional[int]:
        if self._identity is None:
            return self._stop("There is neither an identity nor a join token here. Install the agent again.")
        body = {"version": protocol.VERSION, "metrics": self._meter.read()}  # type: Dict[str, Any]
        now = facts.gather()
        if now != self._sent:
            body["facts"] = now
        answer = self._console.post(protocol.HEARTBEAT_PATH, body, self._identity["agent_token"])
        if answer.status == 401 and answer.code == protocol.UNKNOWN_AGENT:
            return self._stop("The console no longer knows this agent. Install again to let it report.")
        if answer.status == 410 and answer.code == protocol.REMOVED:
            return self._leave()
        if answer.status != 200:
            self._refused(answer)
            return None
        if self._state != status.REPORTING:
            self.log.say("Reporting to {}.".format(self._settings["url"]))
        self._sent, self._last, self._failures = now, int(time.time()), 0
        self._state, self._trouble = status.REPORTING, ""
        self._take_interval(answer)
        self.pause = self.interval * (1 + protocol.JITTER * (2 * self._chance() - 1))
        if not self._saved:
            self._save()
        return None

    def _take_interval(self, answer: Answer) -> None:
        wanted = answer.body.get("interval")
        if isinstance(wanted, (int, float)) and wanted == wanted:  # not NaN, which json lets through
            self.interval = float(min(protocol.INTERVAL_MAX, max(protocol.INTERVAL_MIN, wanted)))

    def _forget_token(self) -> None:
        """Drop the join token from memory, and from the disk when the identity is safe there."""
        for key in ("token", "attempt"):
            self._settings.pop(key, None)
        self._save()

    def _save(self) -> None:
        """Identity first, then the settings without the token: a kill in between only enrols again, to the same end.

        While the disk will not take it we report all the same, and try again after each heartbeat.
        """
        try:
            if self._identity is not None:
                files.write_json(self.paths.identity, self._identity)
            files.write_json(self.paths.config, self._settings)
        except OSError as error:
            self._saved = False
            self._trouble = files.refusal(error).cause
            self.log.say(self._trouble)
            return
        self._saved = True

    def _refused(self, answer: Answer) -> None:
        error = answer.body.get("error")
        said = error.get("message") if isinstance(error, dict) else None
        words = "The console answered {}: {}".format(answer.status, str(said)[:300] if said else "no reason given")
        self._later(words, status.UNREACHED)
        self.pause = max(self.pause, answer.retry_after)

    def _later(self, words: str, state: str) -> None:
        """Back off with full jitter, so that thousands of agents do not come back at once."""
        if words != self._trouble:
            self.log.say(words)
        self._state, self._trouble = state, words
        self._failures += 1
        self.pause = max(0.5, self._chance() * min(SLOWEST, 2.0 ** min(self._failures, 10)))

    def _stop(self, words: str) -> int:
        self.log.say(words)
        self._state, self._trouble = status.UNWELCOME, words
        return process.UNWELCOME

    def _leave(self) -> int:
        """The console removed us: uninstall, and leave nothing, not even a last line in the log."""
        self.log.say("The console removed this server's agent. Uninstalling.")
        try:
            if systemd.is_in_charge(self.paths):
                systemd.leave(self.paths)
            else:
                uninstall(self.paths, inside=True)
        except Refusal as error:
            self.log.say("{} {}".format(error.cause, error.fix))
        return process.LEFT


def run(paths: Paths) -> int:
    """Run until halted (0), unwelcome (3) or gone (4: removed by the console, or its files by hand).

    Refusal when another agent runs here.
    """
    process.take(paths)
    for number in process.ENDING:
        signal.signal(number, _halt)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, process.ENDING)  # the supervisor has them blocked
    log = Log(paths.log)
    log.say("Agent {} starts under Python {}.".format(protocol.VERSION, sys.version.split()[0]))
    try:
        agent = Agent(paths, log)
    except OSError as error:
        log.say(files.refusal(error).cause)
        raise files.refusal(error) from error
    while True:
        code = agent.step()
        if code is not None:
            return code
        time.sleep(agent.pause)
        if not os.path.exists(paths.config):  # somebody removed our files by hand, and means us to be gone
            return process.LEFT


def _halt(number: int, frame: Optional[FrameType]) -> None:
    """Every file we write is whole or absent, so any moment is a good one to end."""
    raise SystemExit(process.HALTED)
