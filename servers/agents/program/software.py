"""What is installed here: how many packages, and whether a reboot is due. Counted again only when something changed."""

import os
import re
from typing import Callable, Dict, List, Optional, Tuple

DPKG = "/var/lib/dpkg/status"
APK = "/lib/apk/db/installed"
RPM = ("rpmdb.sqlite", "Packages.db", "Packages")  # of rpm 4.16 and newer, of SUSE's, of older ones
RPM_FOLDERS = ("/usr/lib/sysimage/rpm", "/var/lib/rpm")
FLAGS = ("/run/reboot-required", "/var/run/reboot-required")
KERNELS = "/boot"
VERSION = re.compile(r"[\d.-]+")
SLOW = 120  # seconds for rpm to count

# By database: what it looked like, and how many there were.
_counted: Dict[str, Tuple[Tuple[int, int], Optional[int]]] = {}


def packages() -> Optional[int]:
    """How many packages are installed, by dpkg, rpm or apk; None when none of them is here."""
    for path, count in [(DPKG, dpkg), (APK, apk)] + [(path, rpm) for path in _rpm_databases()]:
        found = _count(path, count)
        if found is not None:
            return found
    return None


def _count(path: str, count: Callable[[str], Optional[int]]) -> Optional[int]:
    """`count(path)`, as it was when the file last changed."""
    try:
        seen = os.stat(path)
    except OSError:
        return None
    looks = (seen.st_mtime_ns, seen.st_size)
    if path not in _counted or _counted[path][0] != looks:
        _counted[path] = (looks, count(path))
    return _counted[path][1]


def dpkg(path: str) -> Optional[int]:
    """Entries of dpkg's status file whose state is installed (dpkg-query(1): want, error flag, state)."""
    return _lines(path, re.compile(rb"Status: \S+ ok installed$"))


def apk(path: str) -> Optional[int]:
    """Entries of apk's database: one P: line each."""
    return _lines(path, re.compile(rb"P:"))


def rpm(path: str) -> Optional[int]:
    """What rpm itself lists: its databases differ, and are read only after they changed."""
    from . import hostcommand  # a megabyte of modules, which most hosts do without

    listed = hostcommand.said(["rpm", "-qa", "--qf", "\\n"], SLOW)
    return None if listed is None else listed.count(b"\n")


def _rpm_databases() -> List[str]:
    return [os.path.join(folder, name) for folder in RPM_FOLDERS for name in RPM]


def _lines(path: str, pattern: "re.Pattern[bytes]") -> Optional[int]:
    try:
        with open(path, "rb") as file:
            return sum(1 for line in file if pattern.match(line.rstrip(b"\n")))
    except OSError:
        return None


def reboot_needed(running: str) -> Optional[bool]:
    """Whether the distribution says so, or a newer kernel is installed than the one that runs. None when nobody can
    tell: a container, a kernel that is not one of the installed ones."""
    if any(os.path.exists(flag) for flag in FLAGS):
        return True
    try:
        kernels = [name[len("vmlinuz-") :] for name in os.listdir(KERNELS) if name.startswith("vmlinuz-")]
    except OSError:
        return None
    if running not in kernels:
        return None
    return newer(kernels, running)


def newer(kernels: List[str], running: str) -> bool:
    """Whether one of these is a later one of the running kernel's own kind (5.10.0-9-amd64 and 5.10.0-21-amd64)."""
    kind = _kind(running)
    return any(_order(k) > _order(running) for k in kernels if _kind(k) == kind and "rescue" not in k)


def _kind(kernel: str) -> str:
    """What follows the version, without its numbers: another kind is another choice of whoever runs this host."""
    return re.sub(r"\d", "", VERSION.sub("", kernel))


def _order(kernel: str) -> List[int]:
    found = VERSION.match(kernel)
    return [int(part) for part in re.findall(r"\d{1,9}", found.group())] if found else []
