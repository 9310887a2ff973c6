"""One agent at work: it joins, opens a session, and checks in until it is told to go.

What few agents need, or seldom, is loaded when it is needed: claims, work, updates.
"""

import contextlib
import time
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional

from . import checkin, files, identity, process, protocol, status, word
from .checkin import Facts, Samples
from .client import Answer, Console, Unreached, encoded
from .clock import Clock
from .log import Log
from .paths import Paths
from .pauses import BUSY, SLOWEST, SOONEST, after, chance
from .refusal import Refusal
from .session import OVER, Session

if TYPE_CHECKING:
    from .claim import Claim
    from .errands import Errands


class Agent:
    """`step` does what is due and leaves in `pause` the seconds until the next; an exit code ends it.

    It goes by a clock that only moves forward, so a wrong clock on the host harms nothing.
    """

    def __init__(
        self, paths: Paths, log: Log, chance: Callable[[], float] = chance, clock: Optional[Clock] = None
    ) -> None:
        self.paths = paths
        self.log = log
        self.pause = 0.0
        self.interval = float(protocol.INTERVAL)
        self.clock = clock or Clock()
        self._chance = chance
        self._settings = files.read_json(paths.config) or {}
        url, ca, proxy = (self._settings.get(key) for key in ("url", "ca", "proxy"))
        if not isinstance(url, str):
            raise Refusal("The settings in {} are absent or damaged.".format(paths.config), "Install the agent again.")
        self._console = Console(url, ca, proxy)
        self._identity = identity.kept(paths, url)
        self._session: Optional[Session] = None
        self._samples = Samples(self.clock)
        self._facts = Facts(paths.prefix)
        self._sample_at = 0.0  # by the clock's `since`
        self._greeted = False  # a check-in was taken in this session
        self._reopened = False  # this session is a second try, and nothing was taken since
        self._saved = True
        self._failures = 0
        self._last: Optional[int] = None
        self._state = status.ENROLLING
        self._trouble = ""
        self._code = ""
        self._claim: Optional["Claim"] = None
        self._errands: Optional["Errands"] = None

    def step(self) -> Optional[int]:
        try:
            code = self._enrol() if self._settings.get("token") else self._go_on()
        except Unreached as error:
            code = None
            self._code = ""
            self._later(str(error), status.UNREACHED)
        if code != process.LEFT:
            self._note()
        return code

    def rest(self, sleep: Callable[[float], None] = time.sleep) -> None:
        """Until the next step is due; samples are taken meanwhile, so that a console that is away misses little."""
        end = self.clock.since() + self.pause
        while True:
            left = end - self.clock.since()
            if left <= 0:
                return
            known = self._identity is not None and self._identity.agent_id is not None
            sleep(min(left, max(0.0, self._sample_at - self.clock.since())) if known else left)
            if known:
                self._sample()

    def close(self) -> None:
        self._end_errands()
        self._console.close()

    # joining by a token

    def _enrol(self) -> Optional[int]:
        if word.asked(self.paths, self._settings):
            self._save()
        told = self._facts.instance = self._settings["instance"]
        new = identity.made(self._settings["url"], self.paths.prefix, self._seed(), told)
        body = {
            "token": self._settings["token"],
            "public_key": new.public_key,
            "version": protocol.VERSION,
            "facts": self._facts.look(),
        }
        data = encoded(body)
        signed = {"Muster-Signature": new.signature(protocol.ENROL_PATH, data)}
        answer = self._console.post(protocol.ENROL_PATH, data, signed)
        if answer.code == protocol.UNKNOWN_TOKEN:
            self._forget_token()
            if self._identity is not None and self._identity.agent_id:
                self.log.say("The new join token was not accepted; going on as the agent that we were.")
                return None
            words = "The console does not accept the join token: used, expired or unknown. Install again."
            return self._stop(words, answer)
        agent_id, keys = answer.body.get("agent_id"), answer.body.get("keys")
        if answer.status not in (200, 201) or not isinstance(agent_id, str):
            self._refused(answer)
            return None
        new.agent_id, new.keys = agent_id, keys if isinstance(keys, list) else []
        self._identity, self._session = new, None
        self.log.say("Enrolled as agent {}.".format(agent_id))
        self._forget_token()
        self.pause = 0.0  # the first check-in is what the console calls success
        return None

    # joining by a claim

    def _ask_in(self) -> None:
        """An image brought us: claim, until the console knows which instance this is."""
        known = self._identity
        if known is None or not self._is_here(known):
            known = self._identity = identity.made(self._settings["url"], self.paths.prefix)
            self._claim = None
            self._save()
        if self._claim is None:
            from .claim import Claim

            self._claim = Claim(self.paths, self._console, known, self._settings, self.log)
        answer = self._claim.round(self.clock)
        agent_id = answer.body.get("agent_id")
        if answer.status == 200 and isinstance(agent_id, str):
            known.agent_id, known.keys = agent_id, self._pinned(answer)
            known.instance_id = self._claim.instance_id or known.instance_id  # as the console knows it
            self._claim.ended()
            self._claim = self._session = None
            self.log.say("Admitted as agent {}.".format(agent_id))
            self._save()
            self.pause = 0.0
        elif answer.status == 202:
            self._state, self._trouble, self._code, self._failures = status.CLAIMING, "", "", 0
            self.pause = self._claim.retry * (0.8 + 0.4 * self._chance())
        else:
            self._refused(answer)

    def _is_here(self, known: identity.Identity) -> bool:
        """Whether this still is the instance that the key was made on, also by its cloud's word, where that was had."""
        told = known.instance.get("service")
        if not known.is_here(self.paths.prefix) or not told:
            return known.is_here(self.paths.prefix)
        from .claim import channel_of

        now = channel_of(self.paths, self._settings)[1]
        return now is None or now.instance_id() in (None, told)

    def _pinned(self, answer: Answer) -> List[Dict[str, Any]]:
        """The keys that the image brought; whoever answers for the console cannot add to them."""
        keys = self._settings.get("keys") or answer.body.get("keys")
        return keys if isinstance(keys, list) else []

    def _begin_anew(self, words: str) -> None:
        """Claim as a machine that nobody knows, with a key that nobody knows."""
        self.log.say(words)
        self._identity = self._session = self._claim = None
        self._end_errands()
        self._state, self._trouble = status.CLAIMING, ""
        self.pause = self._chance() * 5.0

    def _seed(self) -> bytes:
        """The key that goes with the token: the same one for every try, so that a lost answer costs nothing."""
        from . import base64url

        seed = base64url.decode(self._settings.get("key"))
        if len(seed) != 32:
            seed = identity.new_seed()
            self._settings["key"] = base64url.encode(seed)
            self._save()
        return seed

    def _forget_token(self) -> None:
        """Drop the join token from memory, and from the disk when the identity is safe there."""
        for key in ("token", "key", "instance"):
            self._settings.pop(key, None)
        self._save()

    def _save(self) -> None:
        """Identity first, then the settings without the token: a kill in between only enrols again, to the same end.

        While the disk will not take it we go on all the same, and try again after each check-in.
        """
        try:
            if self._identity is not None:
                self._identity.save(self.paths)
            files.write_json(self.paths.config, self._settings)
        except OSError as error:
            self._saved = False
            self._trouble = "{} The identity is in memory only until then.".format(files.refusal(error).cause)
            self.log.say(self._trouble)
            return
        self._saved = True

    # reporting

    def _go_on(self) -> Optional[int]:
        if self._identity is None or self._identity.agent_id is None:
            if self._settings.get("channel"):
                self._ask_in()
                return None
            return self._stop("There is neither an identity nor a join token here. Install the agent again.")
        if self._session is None:
            self._session = Session(self.paths, self._console, self._identity, self.clock)
        if not self._session.is_open:
            return self._open(self._session, self._identity)
        self._sample()
        return self._check_in(self._session, self._identity)

    def _open(self, session: Session, known: identity.Identity) -> Optional[int]:
        if not self._is_here(known):
            return self._abandon()
        if known.learn(self.paths.prefix):
            self._save()
        self._facts.instance = word.kept(known) or self._facts.instance or word.had(self.paths, self._settings)
        answer = session.open()
        if answer.status != 200 or not session.is_open:
            return self._turned_away(answer)
        self._facts.forget()
        self._greeted = False
        self._take_interval(answer)
        self.pause = 0.0
        return None

    def _check_in(self, session: Session, known: identity.Identity) -> Optional[int]:
        errands = self._run_errands(known)
        more = errands.news(session)
        if not session.is_open:  # its end showed while output was sent
            self.pause = 0.0
            return None
        patience = self._patience() if self._greeted else 0.0
        body = checkin.body(self._samples, self._facts, more, min(patience, BUSY) if errands.busy else patience)
        wait = body.get("wait", 0.0)
        began = self.clock.since()
        answer = session.post(protocol.CHECKIN_PATH, body, wait, protocol.MAX_ANSWER)
        if answer.status != 200:
            return self._turned_away(answer)
        if self._state != status.REPORTING:
            self.log.say("Reporting to {}.".format(self._settings["url"]))
        self._samples.known(len(body["samples"]))
        self._facts.known(body.get("facts"))
        self._greeted, self._reopened, self._failures = True, False, 0
        self._last, self._state, self._trouble, self._code = int(time.time()), status.REPORTING, "", ""
        self._take_interval(answer)
        if not self._saved:
            self._save()
        code = errands.take(answer, more)
        early = wait - (self.clock.since() - began)
        self.pause = SOONEST if errands.busy else self._until_next(early)
        return code

    def _run_errands(self, known: identity.Identity) -> "Errands":
        if self._errands is None:
            from .errands import Errands

            self._errands = Errands(self.paths, self._console, known, self.clock, self.log)
        return self._errands

    def _end_errands(self) -> None:
        """What runs here runs for somebody else, or we end."""
        if self._errands is not None:
            self._errands.close()
            self._errands = None

    def _patience(self) -> float:
        """How long the console may wait with its answer: until the next sample, or a while that differs each time."""
        due = self._sample_at - self.clock.since()
        if due <= protocol.WAIT_MAX:
            return max(0.0, due)
        return protocol.WAIT_MIN + self._chance() * (protocol.WAIT_MAX - protocol.WAIT_MIN)

    def _until_next(self, early: float) -> float:
        """At once, as a rule. A console that answers `early` (in seconds) without bringing anything is going down, or
        has too much to do: not everybody comes back in the same moment."""
        return self._chance() * early if early > 0.1 else 0.0

    def _sample(self) -> None:
        if self.clock.since() >= self._sample_at:
            self._samples.take()
            self._facts.look()
            self._sample_at = self.clock.since() + self.interval * (1 + protocol.JITTER * (2 * self._chance() - 1))

    def _take_interval(self, answer: Answer) -> None:
        wanted = answer.body.get("interval")
        if isinstance(wanted, (int, float)) and wanted == wanted:  # not NaN, which json lets through
            before, self.interval = self.interval, float(
                min(protocol.INTERVAL_MAX, max(protocol.INTERVAL_MIN, wanted))
            )
            self._sample_at += min(0.0, self.interval - before)

    # refusals

    def _turned_away(self, answer: Answer) -> Optional[int]:
        self._code = answer.code
        if answer.code in OVER and not self._reopened:
            self._reopened = True
            self.pause = 0.0
            return None
        if answer.status == 401 and answer.code == protocol.UNKNOWN_AGENT:
            if self._settings.get("channel"):
                self._begin_anew("The console no longer knows this agent. Claiming anew.")
                return None
            return self._stop("The console no longer knows this agent. Install again to let it report.", answer)
        if answer.status == 410 and answer.code == protocol.REMOVED:
            return self._leave()
        if answer.status == 403 and answer.code == protocol.PROVE_AGAIN:
            self._doubted()
            return None
        self._refused(answer)
        return None

    def _abandon(self) -> Optional[int]:
        """This disk is a copy of another instance's: that one goes on with the identity, and we have none."""
        self.log.say("This is another instance than the one that the agent was enrolled on. Its identity is dropped.")
        self._identity = self._session = self._facts.instance = None
        with contextlib.suppress(OSError):  # it is not looked at again, being another instance's
            files.remove(self.paths.identity)
            files.remove(self.paths.epoch)
        if self._settings.get("channel"):
            self._begin_anew("Claiming as the instance that this is.")
            return None
        return self._stop("This machine is a copy of another one, whose identity it must not use. Install again here.")

    def _doubted(self) -> None:
        """Two machines use this identity, the console says. A person may settle that there: ask again, slowly."""
        if self._session is not None:
            self._session.close()
        if self._settings.get("channel") and self._identity is not None:
            # The same key: with the proof of its server it lives again. Of a copy, `is_here` says so.
            self.log.say("The console doubts that this is the only machine with this identity. Proving it anew.")
            self._identity.agent_id, self._session, self._claim = None, None, None
            self._state, self._trouble = status.CLAIMING, ""
            self.pause = self._chance() * 5.0
            return
        self._later(
            "The console has suspended this agent: its identity is used by two machines. Approve it in the console, "
            "or install again.",
            status.SUSPENDED,
        )
        self.pause = SLOWEST * (0.5 + self._chance() / 2)

    def _refused(self, answer: Answer) -> None:
        error = answer.body.get("error")
        said = error.get("message") if isinstance(error, dict) else None
        words = "The console answered {}: {}".format(answer.status, str(said)[:300] if said else "no reason given")
        self._code = answer.code
        self._later(words, status.UNREACHED)
        self.pause = max(self.pause, answer.retry_after)

    def _later(self, words: str, state: str) -> None:
        """Back off with full jitter, so that thousands of agents do not come back at once."""
        if words != self._trouble:
            self.log.say(words)
        self._state, self._trouble = state, words
        self._failures += 1
        self.pause = after(self._failures, self._chance())

    def _stop(self, words: str, answer: Optional[Answer] = None) -> int:
        self.log.say(words)
        self._state, self._trouble, self._code = status.UNWELCOME, words, answer.code if answer else ""
        return process.UNWELCOME

    def _leave(self) -> int:
        """The console removed us: uninstall, and leave nothing, not even a last line in the log."""
        from . import uninstall

        self.log.say("The console removed this server's agent. Uninstalling.")
        return uninstall.leave(self.paths, self.log)

    def _note(self) -> None:
        said: Dict[str, Any] = {
            "state": self._state,
            "agent_id": self._identity.agent_id if self._identity else None,
            "last_heartbeat": self._last,
            "trouble": self._trouble or None,
            "code": self._code or None,
            "skew": self.clock.skew(),
            "in_memory": not self._saved,
        }
        status.note(self.paths, said)
