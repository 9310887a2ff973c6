"""Take the agent off this host, by its receipt: every file, its identity, its process.

The receipt gets another name first. An agent that is started and finds it under that goes on with leaving, and asks
nobody: whatever ended us, the next start finishes it. So what starts the agent goes when all else is gone.
"""

import os
import shutil
from typing import Any, Dict, List, Optional

from . import files, inits, process
from .log import Log
from .paths import Paths
from .refusal import Refusal


def receipt(paths: Paths) -> Optional[Dict[str, Any]]:
    """What was put here, `{version, mode, files}`, also while it is being removed; None when nothing was."""
    return files.read_json(paths.receipt) or files.read_json(paths.leaving)


def uninstall(paths: Paths, inside: bool = False) -> Dict[str, Any]:
    """Stop and remove everything: `{ok, removed, left}`, `left` being directories of ours that hold something else.

    Nothing installed is fine. Refusal when a file will not go. `inside`: called by the running agent itself, which
    then only has to end. One that was cut short can be repeated.
    """
    if not os.path.isdir(paths.state):  # the first directory of ours to come and the last to go
        return {"ok": True, "removed": 0, "left": _fold(paths, [])}
    try:
        with process.changing(paths):
            return _remove(paths, inside)
    except OSError as error:
        raise files.refusal(error) from error


def _remove(paths: Paths, inside: bool) -> Dict[str, Any]:
    known = receipt(paths) or {}
    mode = str(known.get("mode"))
    _begin(paths)
    inits.stop(paths, mode)
    if not inside:
        process.halt(paths)
    shutil.rmtree(paths.work, ignore_errors=True)
    ours = paths.files(mode)
    names = known.get("files")
    listed = [paths.under(name) for name in names if isinstance(name, str)] if isinstance(names, list) else []
    removed = 0
    releases = []
    for path in [path for path in listed if path not in ours] + ours + [paths.receipt, paths.leaving]:
        if path == paths.script and os.path.exists(path):
            inits.disable(mode)
        removed += files.remove(path)
        files.remove(files.aside(path))
        if os.path.dirname(os.path.dirname(path)) == paths.versions:
            releases.append(os.path.dirname(path))
    inits.forget(mode)
    return {"ok": True, "removed": removed, "left": _fold(paths, releases)}


def leave(paths: Paths, log: Log) -> int:
    """The agent takes itself off, or goes on with that; how it ends then."""
    try:
        with process.changing(paths):
            _begin(paths)
        if not inits.leave(paths):
            uninstall(paths, inside=True)
    except OSError as error:
        log.say(files.refusal(error).cause)
    except Refusal as error:
        log.say("{} {}".format(error.cause, error.fix))
    return process.LEFT


def _begin(paths: Paths) -> None:
    if os.path.exists(paths.receipt):
        os.replace(paths.receipt, paths.leaving)
        files.sync(paths.state)


def _fold(paths: Paths, releases: List[str]) -> List[str]:
    """Remove the directories that are empty now; those of ours that are not are given back."""
    left = []
    for folder in releases + [paths.versions] + paths.own_directories() + paths.shared_directories():
        try:
            os.rmdir(folder)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            left.append(folder)
    return [folder for folder in left if folder not in paths.shared_directories()]
