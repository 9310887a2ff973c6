"""What a cloud shows to one instance alone: its own id, and the nonce by which it proves that it is that one.

OpenStack: `meta_data.json` of the metadata service (docs: Nova, "Metadata service"). CloudStack: user data and
instance id of the virtual router, found as cloud-init's CloudStack source does: `data-server`, the DHCP server, the
gateway. vCloud: guest properties by VMware's tools. None of it goes through a proxy.
"""

import http.client
import json
import os
import socket
import struct
import time
from typing import Any, Dict, List, Optional, Tuple

from . import machine, procfs, protocol

SERVICE = "169.254.169.254"
PATIENCE = 3.0  # seconds for each answer
MOST = 1024 * 1024  # bytes of one
LEASES = ("run/systemd/netif/leases", "var/lib/dhcp", "var/lib/dhclient", "var/lib/NetworkManager")


class Channel:
    """One platform's. `service` is another address than the platform's own, as host[:port]; `longest` are the seconds
    after which no further host is asked."""

    def __init__(self, root: str = "/", service: Optional[str] = None) -> None:
        self.root = root
        self.service = service
        self.longest = 60.0

    def instance_id(self) -> Optional[str]:
        """The instance's id by its cloud; None when it cannot be had now."""
        return None

    def nonce(self) -> Optional[str]:
        """The nonce that stands there now."""
        return None


class OpenStack(Channel):
    def _data(self) -> Dict[str, Any]:
        text = fetched(self.service or SERVICE, "/openstack/latest/meta_data.json")
        try:
            found = json.loads(text.decode()) if text else None
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def instance_id(self) -> Optional[str]:
        return _clean(self._data().get("uuid"))

    def nonce(self) -> Optional[str]:
        meta = self._data().get("meta")
        return _clean(meta.get(protocol.CHALLENGE)) if isinstance(meta, dict) else None


class CloudStack(Channel):
    def _get(self, path: str) -> Optional[bytes]:
        end = time.monotonic() + self.longest
        for host in [self.service] if self.service else routers(self.root):
            text = fetched(host, path)
            if text is not None or time.monotonic() > end:
                return text
        return None

    def instance_id(self) -> Optional[str]:
        text = self._get("/latest/meta-data/instance-id") or self._get("/latest/instance-id")
        return _clean(text.decode("utf-8", "replace")) if text else None

    def nonce(self) -> Optional[str]:
        found = None
        for line in (self._get("/latest/user-data") or b"").decode("utf-8", "replace").splitlines():
            if line.startswith(protocol.CHALLENGE_LINE):
                found = line[len(protocol.CHALLENGE_LINE) :]
        return _clean(found)


class VCloud(Channel):
    def instance_id(self) -> Optional[str]:
        return machine.name(machine.instance(self.root))

    def nonce(self) -> Optional[str]:
        return _clean(machine.guest_property(protocol.CHALLENGE_PROPERTY))


PLATFORMS = {"openstack": OpenStack, "cloudstack": CloudStack, "vcloud": VCloud}


def channel(root: str, named: Optional[str] = None, service: Optional[str] = None) -> Tuple[str, Optional[Channel]]:
    """The platform that this is on, and its channel: the one that is `named`, or that the machine tells of itself, or
    that answers. ("", None) when none does."""
    platform = named or machine.platform(root)
    if platform in PLATFORMS:
        return platform, PLATFORMS[platform](root, service)
    for platform in ("openstack", "cloudstack"):
        found = PLATFORMS[platform](root, service)
        if found.instance_id():
            return platform, found
    return "", None


def fetched(host: str, path: str) -> Optional[bytes]:
    """What `http://host/path` answers with 200; None for anything else, or when nothing does in time."""
    try:
        connection = http.client.HTTPConnection(host, timeout=PATIENCE)
    except http.client.HTTPException:
        return None
    try:
        connection.request("GET", path, headers={"User-Agent": "muster-agent/" + protocol.VERSION})
        with connection.getresponse() as reply:
            found = b""
            while reply.status == 200 and len(found) <= MOST:
                piece = reply.read(16384)
                if not piece:
                    return found
                found += piece
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return None


def routers(root: str) -> List[str]:
    """Where a virtual router may answer, in the order in which they are asked."""
    found = []
    try:
        socket.getaddrinfo("data-server", 80, socket.AF_INET)
        found.append("data-server")
    except (OSError, UnicodeError):
        pass
    for address in dhcp_servers(root) + gateways(procfs.read("/proc/net/route")):
        if address not in found:
            found.append(address)
    return found


def dhcp_servers(root: str) -> List[str]:
    """Those in the lease files of systemd-networkd, dhclient and NetworkManager, the newest file first."""
    files = []
    for folder in LEASES:
        whole = os.path.join(root, folder)
        try:
            files += [os.path.join(whole, name) for name in os.listdir(whole)]
        except OSError:
            continue
    found = []  # type: List[str]
    for path in sorted(files, key=_age):
        for line in reversed(procfs.read(path).splitlines()):
            words = line.strip().rstrip(";").replace("=", " ").split()
            told = words[:1] in _NAMES or words[:2] == _OPTION
            if told and _is_ipv4(words[-1]) and words[-1] not in found:
                found.append(words[-1])
    return found


_NAMES = (["SERVER_ADDRESS"], ["dhcp_server_identifier"])
_OPTION = ["option", "dhcp-server-identifier"]


def gateways(routes: str) -> List[str]:
    """Those of the default routes in /proc/net/route: addresses there are hex, in the machine's byte order."""
    found = []
    for line in routes.splitlines()[1:]:
        words = line.split()
        if len(words) > 2 and words[1] == "00000000" and words[2] != "00000000" and len(words[2]) == 8:
            try:
                found.append(socket.inet_ntoa(struct.pack("=I", int(words[2], 16))))
            except ValueError:
                continue
    return found


def _age(path: str) -> float:
    try:
        return -os.path.getmtime(path)
    except OSError:
        return 0.0


def _is_ipv4(text: str) -> bool:
    try:
        socket.inet_pton(socket.AF_INET, text)
    except OSError:
        return False
    return True


def _clean(text: Any) -> Optional[str]:
    """A short word of what a cloud says; None when it is none."""
    if not isinstance(text, str):
        return None
    word = text.strip()
    return word if 0 < len(word) <= protocol.MAX_TEXT and all(33 <= ord(c) < 127 for c in word) else None
