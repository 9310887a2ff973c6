"""Files that are either whole or absent, whatever kills us in between: written aside, synced, renamed."""

import contextlib
import errno
import os
from typing import Any, Dict, Optional

from .refusal import Refusal


def aside(path: str) -> str:
    """The one name under which `path` is prepared, so that a left-over is found again by repeat and uninstall."""
    folder, name = os.path.split(path)
    return os.path.join(folder, "." + name + ".new")


def write(path: str, data: bytes, mode: int = 0o600) -> None:
    """Put `data` at `path` atomically and durably. OSError when the disk says no; the old file then stays."""
    spare = aside(path)
    remove(spare)
    handle = os.open(spare, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(spare, mode)  # the umask must not decide
        os.replace(spare, path)
    except OSError:
        with contextlib.suppress(OSError):  # the first error is the one to tell
            remove(spare)
        raise
    sync(os.path.dirname(path))


def write_json(path: str, value: Dict[str, Any], mode: int = 0o600) -> None:
    """`write`, for a JSON object."""
    import json  # here and below: a megabyte, which the supervisor does without

    write(path, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode(), mode)


def read_json(path: str) -> Optional[Dict[str, Any]]:
    """The object at `path`; None when it is absent or is not a JSON object. OSError when it cannot be read."""
    import json

    try:
        with open(path, "rb") as file:
            value = json.loads(file.read(1024 * 1024).decode())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def link(path: str, target: str) -> None:
    """Make `path` a symbolic link to `target` in one step, in place of an older link."""
    spare = aside(path)
    remove(spare)
    os.symlink(target, spare)
    os.replace(spare, path)
    sync(os.path.dirname(path))


def folder(path: str, mode: int = 0o755) -> None:
    """Make the directory and those above it, where missing; only the last one gets `mode`."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, mode)
    if mode != 0o755:  # a private one is made private again, however it came about
        os.chmod(path, mode)


def remove(path: str) -> bool:
    """Remove a file or link. False when it was not there."""
    try:
        os.unlink(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def sync(directory: str) -> None:
    """Make renames in this directory durable."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOSYS):  # filesystems that cannot sync a directory
            raise
    finally:
        os.close(handle)


def refusal(error: OSError) -> Refusal:
    """An error of the filesystem, in words."""
    where = error.filename if isinstance(error.filename, str) else "the disk"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Refusal("The disk is full at {}.".format(where), "Free at least 2 MB there and try again.")
    if error.errno == errno.EROFS:
        return Refusal("{} is read-only.".format(where), "Mount it writable and try again.")
    if error.errno in (errno.EACCES, errno.EPERM):
        return Refusal("No permission to change {}.".format(where), "Run as root, or check its owner and attributes.")
    words = (error.strerror or str(error)).rstrip(".")
    return Refusal("{}: {}.".format(where, words), "Put this right and try again.")
