"""What this host is: things that seldom change. Names and units stand in protocol.py; what cannot be read is None."""

import os
import platform
from typing import Any, Dict, List, Optional

from . import netlink, procfs, protocol

DMI = "/sys/class/dmi/id"
NETWORK = "/sys/class/net"


def gather() -> Dict[str, Any]:
    """All facts. Never raises: a host that hides something is still reported."""
    system = os.uname()
    memory = procfs.meminfo(procfs.read("/proc/meminfo"))
    return {
        "os": operating_system(),
        "kernel": procfs.cut(system.release),
        "hostname": procfs.cut(system.nodename),
        "arch": procfs.cut(system.machine),
        "cpus": os.cpu_count(),
        "memory_bytes": memory.get("MemTotal"),
        "disks": [
            {
                "mount": procfs.cut(d.mount.point),
                "device": procfs.cut(d.mount.device),
                "filesystem": procfs.cut(d.mount.filesystem),
                "total_bytes": d.total,
            }
            for d in procfs.disks()
        ],
        "nics": nics(),
        "machine_id": procfs.line("/etc/machine-id"),
        "instance_id": instance_id(),
        "vendor": procfs.line(os.path.join(DMI, "sys_vendor")),
        "python": platform.python_version(),
        "booted_at": booted_at(procfs.read("/proc/stat")),
    }


def operating_system() -> Dict[str, Optional[str]]:
    release = procfs.os_release(procfs.read("/etc/os-release") or procfs.read("/usr/lib/os-release"))
    old = procfs.line("/etc/redhat-release")  # CentOS 6 and older have only this
    return {
        "id": procfs.cut(release.get("ID", "")),
        "name": procfs.cut(release.get("PRETTY_NAME", "") or release.get("NAME", "")) or old,
        "version": procfs.cut(release.get("VERSION_ID", "")),
    }


def nics() -> List[Dict[str, Any]]:
    """Interfaces that are hardware or carry an address of their own; not the ends of every container's cable."""
    addresses = netlink.addresses()
    try:
        names = sorted(os.listdir(NETWORK))
    except OSError:
        names = sorted(addresses)
    found = []  # type: List[Dict[str, Any]]
    for name in names:
        real = os.path.exists(os.path.join(NETWORK, name, "device"))
        if name == "lo" or not (real or addresses.get(name)):
            continue
        found.append(
            {
                "name": procfs.cut(name),
                "mac": procfs.line(os.path.join(NETWORK, name, "address")),
                "addresses": addresses.get(name, [])[: protocol.MAX_ADDRESSES],
            }
        )
    return found[: protocol.MAX_NICS]


def instance_id() -> Optional[str]:
    """The cloud's own id: what cloud-init was told, else the UUID that the hypervisor shows (Nova shows its id)."""
    told = procfs.line("/var/lib/cloud/data/instance-id")
    if told and told not in ("iid-datasource-none", "nocloud"):
        return told
    shown = procfs.line(os.path.join(DMI, "product_uuid"))
    return shown.lower() if shown else None


def booted_at(stat: str) -> Optional[int]:
    """Seconds since 1970, from /proc/stat's btime; to the minute, since the kernel's answer moves with the clock."""
    for entry in stat.split("\n"):
        words = entry.split()
        if len(words) == 2 and words[0] == "btime":
            seconds = procfs.number(words[1])
            return seconds // 60 * 60 if seconds is not None else None
    return None
