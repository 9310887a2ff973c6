"""What this host is: things that seldom change. Names and units stand in protocol.py; what cannot be read is None."""

import os
import sys
from typing import Any, Dict, List, Optional

from . import machine, netlink, procfs, protocol, software


def gather(root: str = "/") -> Dict[str, Any]:
    """All facts, `root` being where machine.py looks first. Never raises: a host that hides something is still
    reported."""
    system = os.uname()
    memory = procfs.meminfo(procfs.read("/proc/meminfo"))
    instance = machine.instance(root)
    return {
        "os": operating_system(),
        "kernel": procfs.cut(system.release),
        "hostname": procfs.cut(system.nodename),
        "arch": procfs.cut(system.machine),
        "cpus": os.cpu_count(),
        "cpu_model": cpu_model(procfs.read("/proc/cpuinfo", 4096)),
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
        "instance_id": machine.name(instance),
        "dmi_uuid": instance["dmi"],
        "platform": machine.platform(root),
        "vendor": machine.line(root, machine.DMI + "/sys_vendor"),
        "python": "{}.{}.{}".format(*sys.version_info[:3]),
        "booted_at": booted_at(procfs.read("/proc/stat")),
        "packages": software.packages(),
        "reboot_needed": software.reboot_needed(system.release),
    }


def cpu_model(cpuinfo: str) -> Optional[str]:
    """The first CPU's, by whichever name this architecture has for it."""
    for entry in cpuinfo.split("\n"):
        key, _, value = entry.partition(":")
        if key.strip().lower() in ("model name", "cpu model", "cpu", "hardware"):
            return procfs.cut(value)
    return None


def operating_system() -> Dict[str, Optional[str]]:
    release = procfs.os_release(procfs.read("/etc/os-release") or procfs.read("/usr/lib/os-release"))
    old = procfs.line("/etc/redhat-release")  # CentOS 6 and older have only this
    return {
        "id": procfs.cut(release.get("ID", "")),
        "name": procfs.cut(release.get("PRETTY_NAME", "") or release.get("NAME", "")) or old,
        "version": procfs.cut(release.get("VERSION_ID", "")),
    }


def nics() -> List[Dict[str, Any]]:
    addresses = netlink.addresses()
    return [
        {
            "name": procfs.cut(name),
            "mac": procfs.line(os.path.join(procfs.NETWORK, name, "address")),
            "addresses": addresses.get(name, [])[: protocol.MAX_ADDRESSES],
        }
        for name in procfs.nics()
    ]


def booted_at(stat: str) -> Optional[int]:
    """Seconds since 1970, from /proc/stat's btime; to the minute, since the kernel's answer moves with the clock."""
    for entry in stat.split("\n"):
        words = entry.split()
        if len(words) == 2 and words[0] == "btime":
            seconds = procfs.number(words[1])
            return seconds // 60 * 60 if seconds is not None else None
    return None
