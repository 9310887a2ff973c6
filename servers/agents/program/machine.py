"""Which machine this is: the names that its cloud and its hypervisor give it.

`root` is where a host's own files are looked for first: below a prefix of one's own, a machine can be told apart from
the host that it shares (a test, a container that was laid out by hand).
"""

import functools
import os
from typing import Dict, Optional

from . import procfs

Instance = Dict[str, Optional[str]]  # {"cloud": what cloud-init was told, "dmi": what the hypervisor shows}

DMI = "sys/class/dmi/id"
EMPTY = {"iid-datasource-none", "nocloud"}  # what cloud-init says where it was told nothing
# cloud-init's own name of where it was told (cloud-id(1)), and who made the virtual hardware, by platform.
SOURCES = {"openstack": "openstack", "configdrive": "openstack", "cloudstack": "cloudstack"}
MAKERS = (("openstack", "openstack"), ("cloudstack", "cloudstack"), ("apache software", "cloudstack"))


def line(root: str, path: str) -> Optional[str]:
    """The first line of a file of this machine's, below `root` or of the host; None where there is none."""
    return procfs.line(os.path.join(root, path)) or (procfs.line("/" + path) if root != "/" else None)


def instance(root: str = "/") -> Instance:
    """The names of this instance. A container shows its host's hardware, which says nothing of it."""
    told = line(root, "var/lib/cloud/data/instance-id")
    shown: Optional[str] = None
    for place in (DMI + "/product_uuid", "sys/hypervisor/uuid"):
        laid = procfs.line(os.path.join(root, place)) if root != "/" else None
        shown = shown or laid or (None if is_container() else procfs.line("/" + place))
    shown = shown.lower() if shown else None
    if shown is not None and len(set(shown) - {"-"}) <= 1:
        shown = None  # all zeros or all f: a board that was never given one
    return {"cloud": told if told not in EMPTY else None, "dmi": shown}


def name(known: Instance) -> Optional[str]:
    """The instance's id: what cloud-init was told, else the UUID that the hypervisor shows (Nova shows its id)."""
    return known.get("cloud") or known.get("dmi")


def is_same(one: Instance, other: Instance) -> bool:
    """Whether both may be one instance. The hypervisor's word decides where there are two: cloud-init's file is
    carried along in a copied disk, until cloud-init has run there."""
    for source in ("dmi", "cloud"):
        first, second = one.get(source), other.get(source)
        if first and second:
            return first == second or (source == "dmi" and _swapped(first) == second)
    return True


def _swapped(uuid: str) -> str:
    """The same UUID as hardware of another SMBIOS version shows it: with its first three fields byte by byte turned
    (SMBIOS 2.6, 7.2.1). A machine changes so when its virtual hardware is upgraded."""
    parts = uuid.split("-")
    turned = ["".join(reversed([part[at : at + 2] for at in range(0, len(part), 2)])) for part in parts[:3]]
    return "-".join(turned + parts[3:])


def platform(root: str = "/") -> Optional[str]:
    """"openstack", "cloudstack" or "vcloud", as far as the machine can tell by itself."""
    source = SOURCES.get((line(root, "run/cloud-init/cloud-id") or "").lower())
    if source:
        return source
    made = " ".join(line(root, DMI + "/" + part) or "" for part in ("sys_vendor", "product_name")).lower()
    for mark, found in MAKERS:
        if mark in made:
            return found
    return "vcloud" if "vmware" in made and in_vcloud() else None


@functools.lru_cache(maxsize=None)
def in_vcloud() -> bool:
    """vCloud Director hands its properties to each machine that it makes: vCloud_computerName and so on. Asked once,
    unless the answer is dropped: the guest's tools may start after us."""
    return "vCloud_" in guest_property("guestinfo.ovfEnv")


def guest_property(key: str) -> str:
    """A guest property by VMware's tools; empty where there are none, or none that answers."""
    from . import hostcommand

    said = hostcommand.said(["vmtoolsd", "--cmd", "info-get " + key], 10.0)
    return said[:65536].decode("utf-8", "replace").strip() if said else ""


def boot_id() -> Optional[str]:
    """The kernel's name for this boot (random(4))."""
    return procfs.line("/proc/sys/kernel/random/boot_id")


def is_container() -> bool:
    return os.path.exists("/run/systemd/container") or os.path.exists("/.dockerenv")
