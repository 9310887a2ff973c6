"""Take the agent off this host, by its receipt: every file, its identity, its process."""

import os
import shutil
from typing import Any, Dict, List

from . import files, inits, process
from .paths import Paths


def uninstall(paths: Paths, inside: bool = False) -> Dict[str, Any]:
    """Stop and remove everything: `{ok, removed, left}`, `left` being directories of ours that hold something else.

    Nothing installed is fine. Refusal when a file will not go. `inside`: called by the running agent itself, which
    then only has to end. The receipt goes last, so that an uninstall which was cut short can be repeated.
    """
    if not os.path.isdir(paths.state):  # the first directory of ours to come and the last to go
        return {"ok": True, "removed": 0, "left": _fold(paths, [])}
    try:
        with process.changing(paths):
            return _remove(paths, inside)
    except OSError as error:
        raise files.refusal(error) from error


def _remove(paths: Paths, inside: bool) -> Dict[str, Any]:
    receipt = files.read_json(paths.receipt) or {}
    mode = str(receipt.get("mode"))
    inits.stop(paths, mode)
    if not inside:
        process.halt(paths)
    names = receipt.get("files")
    listed = [paths.under(name) for name in names if isinstance(name, str)] if isinstance(names, list) else []
    removed = 0
    releases = []
    for path in listed + [path for path in paths.files(mode) if path not in listed] + [paths.receipt]:
        removed += files.remove(path)
        files.remove(files.aside(path))
        if os.path.dirname(os.path.dirname(path)) == paths.versions:
            releases.append(os.path.dirname(path))
    shutil.rmtree(paths.work, ignore_errors=True)
    inits.forget(mode)
    return {"ok": True, "removed": removed, "left": _fold(paths, releases)}


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
