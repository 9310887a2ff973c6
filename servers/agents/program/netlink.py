"""The addresses of this host, asked from the kernel over rtnetlink (rtnetlink(7); linux/if_addr.h).

/proc shows no IPv4 addresses per interface, and the `ip` command is not everywhere.
"""

import socket
import struct
from typing import Dict, List, Tuple

REQUEST_ADDRESSES = 22  # RTM_GETADDR
NEW_ADDRESS = 20  # RTM_NEWADDR
DONE = 3  # NLMSG_DONE
ERROR = 2  # NLMSG_ERROR
ADDRESS, LOCAL = 1, 2  # IFA_ADDRESS; IFA_LOCAL, which on a point-to-point link is our own end
SCOPE_LINK = 253
HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
BODY = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, interface index
ATTRIBUTE = struct.Struct("=HH")  # length, type
LIMIT = 4 * 1024 * 1024  # bytes of one dump: some 50,000 addresses


def parse(data: bytes) -> Tuple[List[Tuple[int, str]], bool]:
    """Addresses in one datagram as (interface index, "10.0.0.5/24"), and whether the dump ends here.

    Link-local addresses are left out: they come and go with every container. Damaged input gives what was whole.
    """
    found = []  # type: List[Tuple[int, str]]
    at = 0
    while at + HEADER.size <= len(data):
        length, kind, _, _, _ = HEADER.unpack_from(data, at)
        if length < HEADER.size or at + length > len(data) or kind in (DONE, ERROR):
            return found, True
        if kind == NEW_ADDRESS:
            found.extend(_message(data[at + HEADER.size : at + length]))
        at += (length + 3) & ~3
    return found, False


def _message(data: bytes) -> List[Tuple[int, str]]:
    if len(data) < BODY.size:
        return []
    family, prefix, _, scope, index = BODY.unpack_from(data)
    if family not in (socket.AF_INET, socket.AF_INET6) or scope == SCOPE_LINK:
        return []
    raw = {}  # type: Dict[int, bytes]
    at = BODY.size
    while at + ATTRIBUTE.size <= len(data):
        length, kind = ATTRIBUTE.unpack_from(data, at)
        if length < ATTRIBUTE.size or at + length > len(data):
            break
        raw[kind] = data[at + ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3
    packed = raw.get(LOCAL, raw.get(ADDRESS, b""))
    if len(packed) != (4 if family == socket.AF_INET else 16):
        return []
    return [(index, "{}/{}".format(socket.inet_ntop(family, packed), prefix))]


def addresses() -> Dict[str, List[str]]:
    """Addresses by interface name, in the kernel's order. Empty when the kernel will not say."""
    found = {}  # type: Dict[str, List[str]]
    try:
        names = dict(socket.if_nameindex())
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
            kernel.settimeout(2)
            flags = 0x301  # NLM_F_REQUEST | NLM_F_ROOT | NLM_F_MATCH
            kernel.send(HEADER.pack(HEADER.size + BODY.size, REQUEST_ADDRESSES, flags, 1, 0) + BODY.pack(0, 0, 0, 0, 0))
            seen = 0
            done = False
            while not done and seen < LIMIT:
                data = kernel.recv(65536)
                seen += len(data)
                some, done = parse(data)
                for index, address in some:
                    if index in names:
                        found.setdefault(names[index], []).append(address)
    except OSError:
        return found
    return found
