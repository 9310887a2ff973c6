"""The one command and the one stream that an install sends, and how the answer is read.

One round trip: the command starts the server's Python on a program that comes first on standard input (onhost.py and
onhost_work.py), followed by the order in one line, the join token and the agent. Answers are JSON lines behind a mark
that nobody could have printed by chance: start-up files of a login shell may print anything before and between.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from secrets import token_hex
from typing import Any

from servers.installs.trouble import WORDS, Stage, Trouble, quote, trouble

PYTHONS = ("python3", "/usr/libexec/platform-python", *(f"python3.{minor}" for minor in range(14, 5, -1)), "python")
NO_PYTHON = 66
# One line, no single quotes, backslashes or "!": it must pass through sh, bash, csh, fish and a bare `sh -c` alike.
# The loader is also valid Python 2, so that an old Python says no by its exit code.
LOADER = (
    f"import sys;sys.version_info<(3,6) and sys.exit({NO_PYTHON});"
    "exec(compile(sys.stdin.buffer.read(int(sys.argv[2])),sys.argv[0],sys.argv[3]))"
)
LAST = frozenset({"result", "stop", "detached", "running", "gone"})
KEEP = 64 * 1024
MOST_LINE = 256 * 1024

OTHER_USER = re.compile(r"log ?in as (?:the )?(?:user )?[\"'“]?([A-Za-z_][A-Za-z0-9_.-]*)", re.IGNORECASE)
NO_SHELL = re.compile(r"account is (?:currently )?not available|only SFTP|nologin|shell access", re.IGNORECASE)
EXPIRED = re.compile(r"required to change your password|password has expired|must change your password", re.IGNORECASE)
WINDOWS = re.compile(r"is not recognized as|CommandNotFoundException|The system cannot find", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Payload:
    """What is brought to a server: the agent's zipapp, a join token for this server, and the console's address.

    `need_mb` is the free disk space to ask for. The repr shows neither token nor agent.
    """

    url: str
    agent: bytes = field(repr=False)
    sha256: str
    token: str = field(repr=False)
    need_mb: int = 20


@cache
def program() -> bytes:
    """The text that runs on the server."""
    here = Path(__file__)
    return b"\n".join(here.with_name(name).read_bytes() for name in ("onhost.py", "onhost_work.py"))


def command(nonce: str) -> str:
    """What to execute on the server. It holds nothing secret: every user of the server can see it."""
    tries = " ".join(PYTHONS)
    inner = (
        f"for p in {tries}; do command -v $p >/dev/null 2>&1 || continue; "
        f'$p -E -s -S -c "{LOADER}" {nonce} {len(program())} exec; s=$?; '
        f"[ $s = {NO_PYTHON} ] || exit $s; old=$p; done; "
        f'echo; echo "@{nonce} {{\\"event\\": \\"stop\\", \\"code\\": \\"no_python\\", \\"said\\": \\"$old\\"}}"'
    )
    return f"/bin/sh -c '{inner}'"


def stream(
    payload: Payload, name: str, *, use_sudo: bool, sudo_password: str | None, reach: float, patience: float,
    detach: bool,
) -> bytes:  # fmt: skip
    """Everything that goes to standard input, in order. `name` is that of its folder on the server; with `detach` the
    installer goes on by itself once it was let in."""
    token = payload.token.encode()
    order: dict[str, str | int | float | bool | None] = {
        "errand": "install",
        "name": name,
        "detach": detach,
        "url": payload.url,
        "token_size": len(token),
        "size": len(payload.agent),
        "sha256": payload.sha256,
        "need": payload.need_mb * 1024 * 1024,
        "use_sudo": use_sudo,
        "sudo": sudo_password,
        "reach": reach,
        "patience": patience,
    }
    return program() + ordered(order) + token + payload.agent


def asking(name: str) -> bytes:
    """The stream that asks what became of an installer which went on by itself in the folder `name`."""
    return program() + ordered({"errand": "collect", "name": name})


def ordered(order: dict[str, str | int | float | bool | None]) -> bytes:
    """The order as one line, as Python writes it: to read JSON would double the run time of a probe on the server."""
    return ascii(order).encode() + b"\n"


def new_nonce() -> str:
    return token_hex(12)


class Answer:
    """Reads what comes back. Both streams are read to their end and only a little of each is kept."""

    def __init__(self, nonce: str) -> None:
        self.mark = b"@" + nonce.encode() + b" "
        self.events: list[dict[str, Any]] = []
        self.first = b""
        self.errors = b""
        self._line = b""
        self._skipping = False

    def out(self, chunk: bytes) -> list[dict[str, Any]]:
        """Take a piece of standard output; the events that it completed."""
        if len(self.first) < KEEP and not self.events:
            self.first += chunk[: KEEP - len(self.first)]
        fresh: list[dict[str, Any]] = []
        *lines, rest = (self._line + chunk).split(b"\n")
        for line in lines:
            if self._skipping:
                self._skipping = False
                continue
            at = line.find(self.mark)
            if at < 0:
                continue
            try:
                event = json.loads(line[at + len(self.mark) :])
            except ValueError:
                continue
            if isinstance(event, dict) and isinstance(event.get("event"), str):
                fresh.append(event)
        if len(rest) > MOST_LINE:
            rest, self._skipping = b"", True
        self._line = rest
        self.events += fresh
        return fresh

    @property
    def over(self) -> bool:
        """Whether the program has said its last word."""
        return any(event["event"] in LAST for event in self.events)

    def err(self, chunk: bytes) -> None:
        """Take a piece of standard error; its last part is kept, where a program says what ended it."""
        self.errors = (self.errors + chunk)[-KEEP:]

    def no_entry(self, user: str) -> Trouble | None:
        """The Trouble of an account that only says why one may not use it; such an account may hold the line open."""
        if self.events:
            return None
        text = (self.first + b" " + self.errors).decode("utf-8", "replace")
        said = quote(text)
        if found := OTHER_USER.search(text):
            return trouble("other_user", user=user, said=said, wanted=found.group(1).rstrip("."))
        for code, pattern in (("password_expired", EXPIRED), ("windows", WINDOWS), ("no_shell", NO_SHELL)):
            if pattern.search(text):
                return trouble(code, user=user, said=said)
        return None


def judge(
    event: dict[str, Any], stage: Stage, *, user: str, payload: Payload | None, secrets: tuple[str, ...]
) -> Trouble:
    """The Trouble that a `stop` event or an agent's `{"ok": false}` stands for."""
    if event["event"] == "result":
        result = event["result"]
        cause = quote(str(result.get("cause") or "The agent's installer said no without a reason."), secrets, 400)
        fix = quote(str(result.get("fix") or "Look at the agent's log on the server, then try again."), secrets, 400)
        return trouble("agent_refused", said=cause, wanted=fix)
    said = quote(str(event.get("said", "")), secrets)
    code = str(event.get("code"))
    if code not in WORDS:
        return trouble("agent_broke", said=said)
    if code == "no_python":
        said = f" (its {said} is older)" if event.get("said") else ""
    about = {"url": payload.url, "need": payload.need_mb} if payload else {}
    return trouble(code, stage if code == "disk_full" else None, user=user, said=said, **about)
