"""What runs on the server during an install, under whatever Python 3.6 or newer stands there: the ground of it.

The console never imports it: bootstrap.py sends this text and then onhost_work.py's to the server's Python, as one
program. Standard input carries the order in one line, the join token and the agent; standard output carries marked JSON
lines back. It probes, receives, checks, and runs the agent's installer (under sudo when it must). No secret ever stands
in an argument: those are visible to every user of the server.

Imports are most of its run time (a bare start of Python takes 7 ms, with json, hashlib and subprocess 24), and two
hundred of these may start at once on one hypervisor: what is dear is imported where it is needed, if it is needed.

Its folder has the name that the order gives. Whoever works in it holds a lock on it, which the kernel takes back
however that one ends: so a later connection knows a folder in use from one that a killed installer left. When the
order says `detach`, the installer runs on by itself as soon as sudo has let it in, and the connection is free. Going
well, it takes the folder away; going badly, it leaves `result` there, which a later connection with the errand
`collect` reads and takes away.
"""
# ruff: noqa: UP006, UP024, UP030, UP031, UP032, UP041, S108, S310, B904, I001

import errno
import fcntl
import os
import stat
import sys
import time

MARK = "@" + sys.argv[1]
OURS = ("token", "muster-agent.pyz", "result", ".result", "going", "lock")


class Stop(Exception):
    """The end of the road: a code that the console knows, and what was seen."""

    def __init__(self, code: str, said: str = "") -> None:
        Exception.__init__(self, code)
        self.code = code
        self.said = said


def quoted(text: str) -> str:
    """As a JSON string, in ASCII."""
    units = []  # type: list[int]
    for number in map(ord, text):
        units += [number] if number < 0x10000 else [0xD7C0 + (number >> 10), 0xDC00 + (number & 0x3FF)]
    return '"%s"' % "".join(chr(u) if 31 < u < 127 and u not in (34, 92) else "\\u%04x" % u for u in units)


def line_of(event: str, **more: object) -> str:
    """The event as one line of JSON. Values are text, numbers and truths; `result` is JSON already."""
    parts = ['"event": ' + quoted(event)]
    for name, value in more.items():
        if isinstance(value, bool):
            value = "true" if value else "false"
        elif name != "result":
            value = quoted(value) if isinstance(value, str) else "%d" % value  # type: ignore[str-format]
        parts.append("%s: %s" % (quoted(name), value))
    return "{%s}" % ", ".join(parts)


def say(line: str, now: bool = True) -> None:
    # A line of its own, whatever a start-up file printed before without ending its line.
    sys.stdout.write("\n%s %s\n" % (MARK, line))
    if now:
        sys.stdout.flush()


def find_sudo() -> str:
    for folder in os.environ.get("PATH", "").split(os.pathsep) + ["/usr/bin", "/usr/local/bin"]:
        path = os.path.join(folder, "sudo")
        if folder and os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    raise Stop("no_sudo")


def places() -> "list[str]":
    """Where temporary files may go, the usual one first."""
    named = (os.environ.get("TMPDIR"), "/tmp", "/var/tmp", os.environ.get("HOME"))
    return [base for base in named if base and os.path.isdir(base)]


def is_ours(folder: str) -> bool:
    """Whether this user made it: anybody may lay something under this name into a folder that all can write to."""
    try:
        seen = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(seen.st_mode) and seen.st_uid == os.geteuid()


def lock(folder: str) -> "int | None":
    """The folder's lock, as an open file that keeps it; None while somebody else works there."""
    handle = os.open(os.path.join(folder, "lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    return handle


def clear(folder: str, *but: str) -> "list[str]":
    """Take away what of ours is in the folder, and the folder too unless something is to stay. What would not go."""
    left = []
    for name in OURS:
        try:
            if name not in but:
                os.unlink(os.path.join(folder, name))
        except OSError as problem:
            if problem.errno != errno.ENOENT:
                left.append(os.path.join(folder, name))
    try:
        if not but:
            os.rmdir(folder)
    except OSError as problem:
        if problem.errno != errno.ENOENT:
            left.append(folder)
    return left


def sweep(base: str, but: str) -> None:
    """Take away what installers that were killed left here, an hour ago or more."""
    for name in os.listdir(base):
        folder = os.path.join(base, name)
        if not name.startswith("muster-") or len(name) != len(but) or name == but or not is_ours(folder):
            continue
        if time.time() - os.lstat(folder).st_mtime > 3600:
            held = lock(folder)
            if held is not None:
                clear(folder)
                os.close(held)


def make_folder(need: int, name: str) -> "tuple[str, int | None]":
    """A private folder with room for the agent, and its lock; the first of the usual places that has both.

    The lock is None when an installer of an earlier connection works there still.
    """
    full = []  # type: list[str]
    closed = []  # type: list[str]
    for base in places():
        try:
            folder = os.path.join(base, name)
            if is_ours(folder):
                held = lock(folder)
                if held is None and os.path.exists(os.path.join(folder, "going")):
                    return folder, None
                if held is None:
                    raise Stop("busy")
                clear(folder)
                os.close(held)
            room = os.statvfs(base)
            free = room.f_bavail * room.f_frsize
            if free < need or (room.f_files and not room.f_favail):
                full.append("%s has %d MB free" % (base, free // 1048576))
                continue
            sweep(base, name)
            os.mkdir(folder, 0o700)
            return folder, lock(folder)
        except OSError as problem:
            (full if problem.errno in (errno.ENOSPC, errno.EDQUOT) else closed).append(
                "%s: %s" % (base, problem.strerror)
            )
    if full:
        raise Stop("disk_full", "; ".join(full) + ".")
    raise Stop("no_temp", "; ".join(closed) + ".")


def reached(url: str, seconds: float) -> bool:
    """Whether the console answers as it should, by the shortest way. A no says nothing yet: there may be a proxy."""
    scheme, _, rest = url.partition("://")
    host, _, port = rest.partition(":")
    try:
        if scheme == "https":
            import socket
            import ssl

            line = socket.create_connection((host, int(port or 443)), seconds)
            line = ssl.create_default_context().wrap_socket(line, server_hostname=host)
        else:
            import _socket  # all of it that is needed here: half the run time of a probe is saved

            name = host.encode("ascii")  # as text it would be looked up by way of encodings.idna, another 5 ms
            family, kind, _, _, address = _socket.getaddrinfo(name, int(port or 80), 0, _socket.SOCK_STREAM)[0]
            line = _socket.socket(family, kind)  # type: ignore[assignment]
            line.settimeout(seconds)
            line.connect(address)
        line.sendall(("GET /healthz HTTP/1.0\r\nHost: %s\r\n\r\n" % rest).encode())
        answer = line.recv(4096)
        line.close()
        return answer.split(b" ", 2)[1:2] == [b"200"]
    except (OSError, ValueError):
        return False


def reach(url: str, seconds: float) -> None:
    """Ask the console for its health, as the agent will have to; what hinders is named."""
    proxied = [name for name in os.environ if name.lower() in ("http_proxy", "https_proxy", "all_proxy")]
    if not proxied and reached(url.rstrip("/"), min(5.0, seconds)):
        return
    # The common way is half the run time of a probe by itself, so it is imported only when there is a problem to name.
    import http.client
    import socket
    import ssl
    import urllib.error
    import urllib.request

    try:
        with urllib.request.urlopen(url.rstrip("/") + "/healthz", timeout=seconds) as answer:
            answer.read(1024)
    except urllib.error.HTTPError as problem:
        raise Stop("odd_answer", "HTTP %d." % problem.code)
    except (OSError, http.client.HTTPException, ValueError) as problem:
        reason = getattr(problem, "reason", problem)
        words = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
        if isinstance(reason, socket.timeout):
            words = "no answer within %d s" % seconds
        if isinstance(reason, socket.gaierror):
            raise Stop("no_name", words + ".")
        if isinstance(reason, ssl.SSLError) and "CERTIFICATE" in str(reason).upper():
            raise Stop("no_trust", str(reason))
        if isinstance(problem, (http.client.HTTPException, ssl.SSLError)):
            raise Stop("odd_answer", str(reason))
        raise Stop("no_way_out", words + ".")


def receive(source: object, path: str, size: int) -> str:
    """Write `size` bytes from standard input to a new private file; the SHA-256 of what came."""
    try:  # Python has this one up to 3.11; hashlib loads all of OpenSSL first
        from _sha256 import sha256  # type: ignore[import-not-found]
    except ImportError:
        from hashlib import sha256
    digest = sha256()
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as target:
            while size:
                chunk = source.read(min(size, 65536))  # type: ignore[attr-defined]
                if not chunk:
                    raise Stop("upload_broken", "the connection ended with %d bytes to go." % size)
                digest.update(chunk)
                target.write(chunk)
                size -= len(chunk)
    except OSError as problem:
        if problem.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Stop("disk_full", "it filled up while %s was written." % path)
        raise Stop("upload_broken", "%s: %s." % (path, problem.strerror))
    return str(digest.hexdigest())
