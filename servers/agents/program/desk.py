"""The agent's work: what the console gave is checked, journalled, run a few at a time, and told until it is known."""

import contextlib
import json
import os
import pwd
import signal
import subprocess
import threading
import time
from typing import Any, Callable, Dict, List, Optional, Set, Tuple

from . import envelope, files, process, protocol, spool
from .envelope import Order, Unsigned
from .journal import Journal, born_at, sign

SLOTS = 4
GRACE = 10.0  # seconds between asking a script to end and ending it
LOST = "The disk had no room for all of its output."
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Desk:
    """One agent's. `folder` holds its journal; `clock` gives the console's time in seconds since 1970.

    `take` what a check-in's answer brought, send `pieces` and `results`, and say what the console has by `sent` and
    `known`. `busy` says that the next check-in should not wait long.
    """

    def __init__(
        self, folder: str, agent_id: str, keys: Dict[str, bytes], clock: Callable[[], float] = time.time
    ) -> None:
        self.journal = Journal(folder)
        self.agent_id = agent_id
        self.keys = keys
        self._clock = clock
        self._lock = threading.Lock()
        self._waiting = {}  # type: Dict[str, Order]
        self._busy = {}  # type: Dict[str, Order]
        self._running = {}  # type: Dict[str, "subprocess.Popen[bytes]"]
        self._sent = {}  # type: Dict[str, Dict[str, int]]
        self._told = {}  # type: Dict[str, Dict[str, Any]]
        self._unkept = {}  # type: Dict[str, Dict[str, Any]]  # ends that the disk would not take
        self._done: Set[str] = set()  # what the console knows, where the disk would not take that
        self._closed = False
        self._recover()

    def _recover(self) -> None:
        """Our forerunner was killed: what it had begun is interrupted, never run again, and not left running."""
        for work in self.journal.unended():
            left = self.journal.process(work)
            if left is not None and born_at(left[0]) == left[1]:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(left[0], signal.SIGKILL)
            self._end(work, protocol.INTERRUPTED, None, "The agent ended while it ran.")

    @property
    def busy(self) -> bool:
        with self._lock:
            return bool(self._waiting or self._busy or self._told) or bool(self._ended())

    def take(self, items: Any) -> None:
        """What the answer's `work` brought. What we have or had is passed over; what must not run is refused."""
        for item in items if isinstance(items, list) else []:
            try:
                order = envelope.opened(item if isinstance(item, dict) else {}, self.keys, self.agent_id)
            except Unsigned as unsigned:
                self._refuse(item, str(unsigned))
                continue
            with self._lock:
                known = order.work in self._busy or order.work in self._told or order.work in self._done
                if not known and not self.journal.begun(order.work):
                    self._waiting[order.work] = order
        self._begin()

    def results(self) -> List[Dict[str, Any]]:
        """The check-in's `work`: what began, and what ended, told when all of its output was sent."""
        ended = [r for r in self._ended() if not self._unsent(r["id"], True)]
        names = {result["id"] for result in ended}
        with self._lock:
            begun = [told for work, told in self._told.items() if work not in names]
        return (begun + ended)[: protocol.MAX_RESULTS]

    def _ended(self) -> List[Dict[str, Any]]:
        """What has ended, and the console does not know it yet."""
        unkept = [result for work, result in list(self._unkept.items()) if work not in self._done]
        return self.journal.results(self._done) + unkept

    def known(self, results: List[Dict[str, Any]]) -> None:
        """The console has these."""
        with self._lock:
            for result in results:
                self._told.pop(result["id"], None)
                if result["state"] != protocol.STARTED:
                    self._sent.pop(result["id"], None)
                    self._done.add(result["id"])
            ended = sorted(self._done)
        for work in ended:
            try:
                unkept = self._unkept.get(work)
                if unkept is not None:
                    self.journal.drop(work)  # this may be what fills the disk
                    self.journal.end(work, unkept["state"], unkept["exit_code"], unkept["reason"])
                if os.path.exists(self.journal.path(work, "end")):
                    self.journal.known([work])
            except OSError:  # tried again with the next; after a restart it is told once more, to the same end
                return
            self._unkept.pop(work, None)
            self._done.discard(work)

    def pieces(self) -> List[Dict[str, Any]]:
        """Output that the console does not have, `{work, stream, offset, data (bytes), …}`."""
        found = []  # type: List[Dict[str, Any]]
        with self._lock:
            running = list(self._running)
        ended = [result["id"] for result in self._ended()]
        for work in ended + [r for r in running if r not in ended]:
            found += [dict(piece, work=work) for piece in self._unsent(work, work in ended)]
        return found[:16]

    def sent(self, piece: Dict[str, Any]) -> None:
        """The console has this piece. A kill before this is noted sends it again, to the same end."""
        known = self._known_of(piece["work"])
        spool.note(piece, known)
        with contextlib.suppress(OSError):
            files.write_json(self.journal.path(piece["work"], "sent"), known)

    def _unsent(self, work: str, ended: bool) -> List[Dict[str, Any]]:
        return spool.pieces(os.path.join(self.journal.folder, work), ended, self._known_of(work))

    def _known_of(self, work: str) -> Dict[str, int]:
        """How far each file of its output was sent."""
        if work not in self._sent:
            kept = files.read_json(self.journal.path(work, "sent")) or {}
            self._sent[work] = {name: at for name, at in kept.items() if isinstance(at, int)}
        return self._sent[work]

    def close(self) -> None:
        """The agent ends in good order: its scripts are ended, and told as interrupted."""
        with self._lock:
            self._closed = True
        process.until(lambda: set(self._busy) <= set(self._running), 2.0)  # what is just being started
        with self._lock:
            running = dict(self._running)
        for work, child in running.items():
            self._end(work, protocol.INTERRUPTED, None, "The agent was stopped while it ran.")
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)

    # beginning, in the order of their sequence; running, in a thread for each

    def _begin(self) -> None:
        """Begin what waits, the lowest sequence first, as far as there are slots.

        In order, since what comes below the highest that was begun is taken for a replay.
        """
        with self._lock:
            while self._waiting and len(self._busy) < SLOTS and not self._closed:
                order = min(self._waiting.values(), key=lambda one: one.sequence)
                del self._waiting[order.work]
                refused = self._denied(order)
                try:
                    if refused is None and not self.journal.begin(order.work, order.sequence):
                        continue
                except (OSError, ValueError) as error:
                    cause = files.refusal(error).cause if isinstance(error, OSError) else str(error)
                    refused = protocol.REFUSED, "It could not be journalled, so it was not run. {}".format(cause)
                if refused is not None:
                    self._told[order.work] = _result(order.work, refused[0], None, refused[1])
                    continue
                self._told[order.work] = _result(order.work, protocol.STARTED, None, "")
                self._busy[order.work] = order
                threading.Thread(target=self._work, args=(order,), daemon=True).start()

    def _denied(self, order: Order) -> Optional[Tuple[str, str]]:
        now = self._clock()
        if now > order.expires_at:
            return protocol.EXPIRED, "Its time was over when this agent took it."
        if now + envelope.LATE < order.not_before:
            return protocol.REFUSED, "Its time has not come by this host's clock."
        with contextlib.suppress(ValueError):  # a damaged note: `begin` says so
            if order.sequence <= self.journal.highest():
                return protocol.REFUSED, "Later work was begun here before this came."
        return None

    def _work(self, order: Order) -> None:
        try:
            self._run(order)
        except (OSError, ValueError, RuntimeError, subprocess.SubprocessError) as error:
            child = self._running.get(order.work)
            if child is not None:
                _stop(child)  # what nobody reads, or waits for, does not go on
            reason = files.refusal(error).cause if isinstance(error, OSError) else str(error)
            if isinstance(error, subprocess.SubprocessError):  # between fork and exec: its own words tell nothing
                reason = "It could not be started as {}.".format(order.run_as)
            self._end(order.work, protocol.FAILED, None, reason[:300])
        finally:
            with self._lock:
                self._busy.pop(order.work, None)
                self._running.pop(order.work, None)
            self._begin()

    def _run(self, order: Order) -> None:
        script = self.journal.path(order.work, "script")
        files.write(script, order.script, 0o700)
        become = _Becoming(order.run_as, script)
        # The folder is ours alone. Another user is handed the open file in place of its path.
        handle = os.open(script, os.O_RDONLY) if become.change else None
        streams = [spool.Stream(self.journal.path(order.work, name)) for name in ("out", "err")]
        environment = {"PATH": PATH, "LANG": "C.UTF-8", "HOME": become.home, "USER": order.run_as, "SHELL": "/bin/sh"}
        try:
            become.note = self.journal.place(order.work)
            child = subprocess.Popen(
                [order.interpreter, script if handle is None else "/proc/self/fd/{}".format(handle)] + order.arguments,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, close_fds=True, cwd="/",
                start_new_session=True, env=environment, preexec_fn=become, pass_fds=[] if handle is None else [handle],
            )  # fmt: skip
        finally:
            for opened in (handle, become.note):
                if opened is not None:
                    os.close(opened)
        with self._lock:
            self._running[order.work] = child
        sources = (child.stdout, child.stderr)
        readers = [spool.pump(source, stream) for source, stream in zip(sources, streams) if source]  # noqa: B905 - 3.6
        state, reason = protocol.DONE, ""
        try:
            child.wait(order.timeout)
        except subprocess.TimeoutExpired:
            state, reason = protocol.FAILED, "It ran longer than {:g} s and was ended.".format(order.timeout)
            _stop(child)
        for reader in readers:
            reader.join(GRACE)  # a process that it left behind may hold the stream open
        lost = [stream for stream in streams if not stream.close()]
        code = child.returncode
        if state == protocol.DONE and code != 0:
            state = protocol.FAILED
            reason = "It was ended by signal {}.".format(-code) if code < 0 else "It ended with {}.".format(code)
        self._end(order.work, state, code, (reason + " " + LOST).strip() if lost else reason)

    def _end(self, work: str, state: str, code: Optional[int], reason: str) -> None:
        """Journal the end. On a full disk it is kept in memory until it is told."""
        try:
            self.journal.end(work, state, code, reason)
        except OSError:
            with self._lock:
                self._unkept.setdefault(work, _result(work, state, code, reason))

    def _refuse(self, item: Any, reason: str) -> None:
        """Say that it was not run, under the name that it goes by, if that can be read at all."""
        with contextlib.suppress(ValueError, RecursionError, TypeError, KeyError):
            work = json.loads(item["envelope"])["work"]
            if isinstance(work, str) and len(work) == 36 and not self.journal.begun(work):
                with self._lock:
                    if work not in self._busy and work not in self._unkept:
                        self._told[work] = _result(work, protocol.REFUSED, None, reason)


def _result(work: str, state: str, code: Optional[int], reason: str) -> Dict[str, Any]:
    return {"id": work, "state": state, "exit_code": code, "reason": reason, "at": int(time.time())}


class _Becoming:
    """Become this user, between fork and exec, and note in the open file `note` which process it is.

    ValueError when there is no such user, or we may not.
    """

    def __init__(self, user: str, script: str) -> None:
        self.note = None  # type: Optional[int]
        try:
            found = pwd.getpwnam(user)
        except KeyError:
            raise ValueError("There is no user {} on this server.".format(user)) from None
        self.home = found.pw_dir
        self.name, self.uid, self.gid = user, found.pw_uid, found.pw_gid
        self.change = os.geteuid() == 0 and self.uid != 0
        if os.geteuid() != 0 and self.uid != os.geteuid():
            raise ValueError("The agent may not become {}.".format(user))
        if self.change:
            os.chown(script, self.uid, self.gid)

    def __call__(self) -> None:
        os.umask(0o022)
        if self.note is not None:
            sign(self.note)
        if self.change:
            os.initgroups(self.name, self.gid)
            os.setgid(self.gid)
            os.setuid(self.uid)


def _stop(child: "subprocess.Popen[bytes]") -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(GRACE)
            return
