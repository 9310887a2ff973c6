"""What keeps this agent from reporting, step by step, each with what to do about it."""

import os
import socket
import time
from typing import Any, Dict, List, Optional

from . import client, files, protocol, status
from .client import Console, Unreached, encoded
from .paths import Paths

PATIENCE = 20.0  # seconds for the console
ROOM = 2 * 1024 * 1024  # bytes that an update, the journal and the log want to find
SKEW = 300.0  # seconds after which certificates and the times in logs are in doubt

# What a refusal means, and what to do. Others are told as the console put them.
REFUSALS = {
    protocol.UNKNOWN_TOKEN: "Make a new join token in the console, and install again with it.",
    protocol.UNKNOWN_AGENT: "The agent was taken off in the console: install it again, or run: muster-agent uninstall",
    protocol.PROVE_AGAIN: "Another machine uses the same identity: approve this one in the console, or install again.",
    protocol.REMOVED: "The agent was removed in the console, and uninstalls itself.",
}


def examine(paths: Paths) -> Dict[str, Any]:
    """`{ok, checks: [{name, ok, found, fix}]}` in the order in which things depend on each other; what could not be
    tried is left out. It asks the console nothing that would end a session. Refusal when nothing is installed."""
    said = status.report(paths)
    try:
        settings = files.read_json(paths.config) or {}
    except OSError as error:
        raise files.refusal(error) from error
    checks = [_program(paths, said), _disk(paths, said)]
    url = settings.get("url")
    if not isinstance(url, str):
        checks.append(_check("settings", False, "The settings are damaged.", "Install the agent again."))
    else:
        console = Console(url, settings.get("ca"), settings.get("proxy"), total=PATIENCE)
        checks += _way(console)
        clock = _clock(console, said)
        checks += [clock] if clock else []
        if all(check["ok"] for check in checks[2:]):
            checks.append(_welcome(said))
    return {"ok": all(check["ok"] for check in checks), "checks": checks}


def _check(name: str, ok: bool, found: str, fix: str = "") -> Dict[str, Any]:
    return {"name": name, "ok": ok, "found": found, "fix": "" if ok else fix}


def _program(paths: Paths, said: Dict[str, Any]) -> Dict[str, Any]:
    if said["running"]:
        return _check("agent", True, "Version {} runs ({}).".format(said["version"], said["mode"]))
    how = "systemctl start muster-agent" if said["mode"] == "systemd" else paths.program + " boot"
    fix = "Start it with: {}".format(how)
    if said["state"] == status.UNWELCOME and said["trouble"]:
        fix = str(said["trouble"])
    return _check("agent", False, "The agent does not run.", "{} (Its log is {})".format(fix, paths.log))


def _disk(paths: Paths, said: Dict[str, Any]) -> Dict[str, Any]:
    probe = files.aside(os.path.join(paths.state, "probe"))
    try:
        try:
            files.write(probe, b"\0" * 4096)
        finally:
            files.remove(probe)
        size = os.statvfs(paths.state)
    except OSError as error:
        refusal = files.refusal(error)
        return _check("disk", False, refusal.cause, refusal.fix)
    free = size.f_bavail * size.f_frsize
    if free < ROOM:
        words = "Only {} KB are free at {}.".format(free // 1024, paths.state)
        return _check("disk", False, words, "Free at least 2 MB there.")
    if said["in_memory"]:
        words = "The disk would not take the agent's identity; it is kept in memory, and lost when the agent ends."
        return _check("disk", False, words, "The disk can be written now: the agent saves it with its next check-in.")
    return _check("disk", True, "{} can be written.".format(paths.state))


def _way(console: Console) -> List[Dict[str, Any]]:
    """Each step of one harmless exchange, to the one that failed."""
    far = console.proxy.hostname if console.proxy else console.host
    steps = [
        (client.NAME, "The name of {} is resolved.".format(far)),
        (client.CONNECTION, "{} takes connections.".format(far)),
    ]
    if console.proxy:
        steps.append((client.PROXY, "The proxy lets us through."))
    if console.secure:
        steps.append((client.TLS, "The certificate of {} is good.".format(console.host)))
    steps.append((client.ANSWER, "A Muster console answers at {}.".format(console.host)))
    try:
        answer = console.post(protocol.SESSION_PATH, encoded({}), {})
        if not answer.code:
            words = "{} answered {} without a reply of the console's.".format(console.host, answer.status)
            raise Unreached(client.ANSWER, words, "Check the URL and what stands in between.")
    except Unreached as error:
        where = _place(console) if error.where == client.SLOW else error.where
        names = [name for name, _ in steps]
        good = steps[: names.index(where) if where in names else 0]
        return [_check(name, True, words) for name, words in good] + [_check(where, False, error.cause, error.fix)]
    finally:
        console.close()
    return [_check(name, True, words) for name, words in steps]


def _place(console: Console) -> str:
    """Whether it was the connection that took too long, or the answer."""
    host, port = console.host, console.port
    if console.proxy:
        host, port = console.proxy.hostname or "", console.proxy.port or 8080
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError:
        return client.CONNECTION
    return client.ANSWER


def _clock(console: Console, said: Dict[str, Any]) -> Optional[Dict[str, Any]]:
    """By the console's last answer; None where nothing tells the time."""
    skew = said["skew"]
    if console.date:
        from email.utils import mktime_tz, parsedate_tz

        told = parsedate_tz(console.date)
        skew = time.time() - mktime_tz(told) if told else skew
    if not isinstance(skew, (int, float)):
        return None
    if abs(skew) <= SKEW:
        return _check("clock", True, "This server's clock agrees with the console's.")
    way = "ahead of" if skew > 0 else "behind"
    words = "This server's clock is {:.0f} minutes {} the console's.".format(abs(skew) / 60, way)
    return _check("clock", False, words, "Set it, and let it be kept by NTP (chrony or systemd-timesyncd).")


def _welcome(said: Dict[str, Any]) -> Dict[str, Any]:
    """What the console said to the agent last."""
    if said["reporting"]:
        return _check("report", True, "The last check-in was taken.")
    found = said["trouble"] or "No check-in was taken yet."
    if said["code"]:
        found += " (code: {})".format(said["code"])
    fix = REFUSALS.get(said["code"], "Wait a minute and look again: the agent goes on trying.")
    return _check("report", False, found, fix)
