"""Newer versions of this program: taken when a pinned key signed them, and given up when they do not reach the console.

How it stands is on disk, as trial.py says.
"""

import hashlib
import os
import shutil
import sys
from typing import Any, Callable, Dict, Optional

from . import files, manifest, protocol
from .paths import Paths
from .trial import REMEMBERED, ROLLED_BACK, TRYING, failed, state, switch, tried

DONE, REFUSED = "done", "refused"


class Fetch(Exception):
    """The program could not be had this time; the words say why. It is tried again at a later check-in."""


def take(
    paths: Paths, offer: Any, keys: Dict[str, bytes], now: float, fetch: Callable[[str, int], bytes]
) -> Optional[str]:
    """Switch to the release in a check-in's answer; its version when the program has to start again for it.

    `fetch(path, limit)` gets bytes from the console. None when there is nothing to do: it is not newer, failed here
    before, or does not fit, which is told. Fetch and OSError: not this time.
    """
    known = state(paths)
    try:
        found = manifest.opened(offer, keys, now, (sys.version_info[0], sys.version_info[1]))
    except manifest.Unfit as unfit:
        _refuse(paths, known, offer, str(unfit))
        return None
    if found.version in failed(known) or tried(paths) is not None:
        return None
    data = fetch(protocol.RELEASE_PATH + found.sha256, found.size)
    if len(data) != found.size or hashlib.sha256(data).hexdigest() != found.sha256:
        raise Fetch("Version {} did not arrive as it was signed. It is fetched again later.".format(found.version))
    target = paths.release(found.version)
    _own(paths, target)
    files.folder(os.path.dirname(target))
    files.write(target, data, 0o755)
    before = os.path.basename(os.readlink(paths.current))
    files.write_json(
        paths.update,
        {"version": found.version, "before": before, "state": TRYING, "crashes": 0, "failed": failed(known)},
    )
    switch(paths, found.version)
    return found.version


def settle(paths: Paths) -> None:
    """This version has reached the console: it stays, and of the older ones only the one before it."""
    known = state(paths)
    if known.get("state") == TRYING and known.get("version") == protocol.VERSION:
        files.write_json(paths.update, dict(known, state=DONE, reason=""))
        kept = {protocol.VERSION, known.get("before")}
        for name in os.listdir(paths.versions):
            if name not in kept:
                shutil.rmtree(os.path.join(paths.versions, name), ignore_errors=True)


def report(paths: Paths) -> Optional[Dict[str, Any]]:
    """The check-in's `release`: what became of the last update, until it was `told`."""
    known = state(paths)
    if known.get("state") not in (DONE, ROLLED_BACK, REFUSED) or known.get("told"):
        return None
    return {name: known.get(name) for name in ("version", "state", "reason")}


def told(paths: Paths, said: Dict[str, Any]) -> None:
    """The console has this report."""
    known = state(paths)
    if known.get("version") == said["version"] and known.get("state") == said["state"]:
        files.write_json(paths.update, dict(known, told=True))


def _refuse(paths: Paths, known: Dict[str, Any], offer: Any, reason: str) -> None:
    """Say once why a release is not taken. One that is only not newer is nothing to say."""
    version = manifest.named(offer)
    if not version or version in failed(known) or manifest.order(version) <= manifest.order(protocol.VERSION):
        return
    gone = (failed(known) + [version])[-REMEMBERED:]
    files.write_json(paths.update, {"version": version, "state": REFUSED, "reason": reason, "failed": gone})


def _own(paths: Paths, target: str) -> None:
    """Put the new file on the receipt before it is there, so that an uninstall finds it whatever happens."""
    receipt = files.read_json(paths.receipt) or {}
    listed = [name for name in receipt.get("files", []) if isinstance(name, str)]
    for path in (target, paths.update):
        name = os.path.relpath(path, paths.prefix)
        if name not in listed:
            listed.append(name)
    files.write_json(paths.receipt, dict(receipt, files=listed))
