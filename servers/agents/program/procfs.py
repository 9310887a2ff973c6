"""Reading /proc, /sys and /etc: parsers that take any text and give what was whole in it."""

import os
from typing import Dict, List, NamedTuple, Optional, Tuple

from . import netlink, protocol

# Local filesystems only: asking a network one whose server is gone for its size would hang the agent.
LOCAL = {"bcachefs", "btrfs", "erofs", "ext2", "ext3", "ext4", "f2fs", "jfs", "ntfs3", "reiserfs", "vfat", "xfs", "zfs"}

NETWORK = "/sys/class/net"

Mount = NamedTuple("Mount", [("device", str), ("point", str), ("filesystem", str)])
Disk = NamedTuple("Disk", [("mount", Mount), ("total", int), ("used", int)])


def read(path: str, limit: int = 256 * 1024) -> str:
    """The text of a small file; empty when it is not there or not ours to read."""
    try:
        with open(path, "rb") as file:
            return file.read(limit).decode("utf-8", "replace")
    except OSError:
        return ""


def line(path: str) -> Optional[str]:
    """The first line of such a file, cut; None when empty."""
    return cut(read(path, 4096).split("\n")[0])


def cut(text: str) -> Optional[str]:
    """Printable, trimmed, at most MAX_TEXT characters; None for nothing."""
    return "".join(c for c in text if c.isprintable()).strip()[: protocol.MAX_TEXT] or None


def number(text: str) -> Optional[int]:
    """A plain decimal number of at most 18 digits (so it fits 64 bits), or None."""
    if 0 < len(text) <= 18 and all(c in "0123456789" for c in text):
        return int(text)
    return None


def os_release(text: str) -> Dict[str, str]:
    """os-release(5): KEY=value, the value bare or quoted as a shell would."""
    found = {}  # type: Dict[str, str]
    for entry in text.split("\n"):
        key, equals, value = entry.strip().partition("=")
        if not equals or not key or key.startswith("#"):
            continue
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
            for mark in '"$`\\':
                value = value.replace("\\" + mark, mark)
        found[key] = value
    return found


def meminfo(text: str) -> Dict[str, int]:
    """/proc/meminfo in bytes, by its own names (proc(5): the unit is always kB)."""
    found = {}  # type: Dict[str, int]
    for entry in text.split("\n"):
        key, _, rest = entry.partition(":")
        words = rest.split()
        size = number(words[0]) if len(words) == 2 and words[1] == "kB" else None
        if size is not None:
            found[key.strip()] = size * 1024
    return found


def cpu_times(text: str) -> Optional[Tuple[int, int]]:
    """(busy, total) clock ticks since boot of all CPUs, from /proc/stat; None when its first line is another.

    Waiting for a disk counts as idle; guest time is already in user time (proc(5)).
    """
    words = text.split("\n")[0].split()
    if len(words) < 5 or words[0] != "cpu":
        return None
    ticks = [number(w) for w in words[1:9]]
    known = [t for t in ticks if t is not None]
    if len(known) != len(ticks):
        return None
    total = sum(known)
    return total - known[3] - (known[4] if len(known) > 4 else 0), total


def loads(text: str) -> Optional[Tuple[float, float, float]]:
    """The three averages of /proc/loadavg."""
    words = text.split()[:3]
    if len(words) < 3 or not all(w.replace(".", "", 1).isdigit() and w.isprintable() and len(w) < 12 for w in words):
        return None
    try:
        return float(words[0]), float(words[1]), float(words[2])
    except ValueError:
        return None


def uptime(text: str) -> Optional[int]:
    """Whole seconds since boot, from /proc/uptime."""
    return number(text.split(".")[0].strip())


def nics() -> List[str]:
    """Names of interfaces that are hardware or carry an address of their own, sorted; MAX_NICS at most.

    Not the ends of every container's cable.
    """
    try:
        names = sorted(os.listdir(NETWORK))
    except OSError:
        names = []
    addresses = netlink.addresses()
    names = names or sorted(addresses)
    real = [n for n in names if addresses.get(n) or os.path.exists(os.path.join(NETWORK, n, "device"))]
    return [n for n in real if n != "lo"][: protocol.MAX_NICS]


def traffic(nic: str) -> Tuple[Optional[int], Optional[int]]:
    """Bytes received and sent since the interface came to be."""
    counters = [os.path.join(NETWORK, nic, "statistics", name) for name in ("rx_bytes", "tx_bytes")]
    received, sent = (number(read(path, 64).strip()) for path in counters)
    return received, sent


def mounts(text: str) -> List[Mount]:
    """/proc/self/mounts: the root, and local filesystems once per device, in mount order."""
    found = []  # type: List[Mount]
    seen = set()
    for entry in text.split("\n"):
        words = entry.split(" ")
        if len(words) < 3:
            continue
        mount = Mount(_unescape(words[0]), _unescape(words[1]), words[2])
        if mount.point == "/":
            found = [m for m in found if m.point != "/" and m.device != mount.device]  # the last one mounted shows
        elif mount.filesystem not in LOCAL or mount.device in seen:
            continue
        seen.add(mount.device)
        found.append(mount)
    return found


def _unescape(text: str) -> str:
    """Blanks in mount points are written as \\040 (getmntent(3))."""
    for code, char in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, char)
    return text


def disks() -> List[Disk]:
    """Sizes in bytes of the mounts above, MAX_DISKS at most. `used` counts what `df` counts."""
    found = []  # type: List[Disk]
    for mount in mounts(read("/proc/self/mounts")):
        try:
            size = os.statvfs(mount.point)
        except OSError:
            continue  # unmounted in between, or not ours to see
        if size.f_blocks and len(found) < protocol.MAX_DISKS:
            total = size.f_blocks * size.f_frsize
            found.append(Disk(mount, total, total - size.f_bfree * size.f_frsize))
    return found
