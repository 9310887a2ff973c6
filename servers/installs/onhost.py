"""What runs on the server during an install, under whatever Python 3.6 or newer stands there.

It is never imported by the console: bootstrap.py sends its text to the server's Python. Standard input carries one
JSON line, the join token and the agent; standard output carries marked JSON lines back. It probes, receives, checks,
runs the agent's installer (under sudo when it must), and always removes its folder. No secret ever stands in an
argument: those are visible to every user of the server. Imports stay few, they are most of its run time.
"""
# ruff: noqa: UP006, UP022, UP024, UP030, UP031, UP032, UP041, S108, S310, B904, I001

import errno
import hashlib
import json
import os
import select
import subprocess
import sys
import time

MARK = "@" + sys.argv[1]
KEEP = 65536


class Stop(Exception):
    """The end of the road: a code that the console knows, and what was seen."""

    def __init__(self, code: str, said: str = "") -> None:
        Exception.__init__(self, code)
        self.code = code
        self.said = said


def say(event: str, **more: object) -> None:
    more["event"] = event
    # A line of its own, whatever a start-up file printed before without ending its line.
    sys.stdout.write("\n%s %s\n" % (MARK, json.dumps(more)))
    sys.stdout.flush()


def find_sudo() -> str:
    for folder in os.environ.get("PATH", "").split(os.pathsep) + ["/usr/bin", "/usr/local/bin"]:
        path = os.path.join(folder, "sudo")
        if folder and os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    raise Stop("no_sudo")


def make_folder(need: int) -> str:
    """A new private folder with room for the agent; the first of the usual places that has both."""
    full = []  # type: list[str]
    closed = []  # type: list[str]
    for base in (os.environ.get("TMPDIR"), "/tmp", "/var/tmp", os.environ.get("HOME")):
        if not base or not os.path.isdir(base):
            continue
        try:
            room = os.statvfs(base)
            free = room.f_bavail * room.f_frsize
            if free < need or (room.f_files and not room.f_favail):
                full.append("%s has %d MB free" % (base, free // 1048576))
                continue
            folder = os.path.join(base, "muster-" + os.urandom(8).hex())
            os.mkdir(folder, 0o700)
            return folder
        except OSError as problem:
            (full if problem.errno in (errno.ENOSPC, errno.EDQUOT) else closed).append(
                "%s: %s" % (base, problem.strerror)
            )
    if full:
        raise Stop("disk_full", "; ".join(full) + ".")
    raise Stop("no_temp", "; ".join(closed) + ".")


def reached(url: str, seconds: float) -> bool:
    """Whether the console answers as it should, by the shortest way. A no says nothing yet: there may be a proxy."""
    import socket

    scheme, _, rest = url.partition("://")
    host, _, port = rest.partition(":")
    try:
        with socket.create_connection((host, int(port or (443 if scheme == "https" else 80))), seconds) as line:
            if scheme == "https":
                import ssl

                line = ssl.create_default_context().wrap_socket(line, server_hostname=host)
            line.sendall(("GET /healthz HTTP/1.0\r\nHost: %s\r\n\r\n" % rest).encode())
            return line.recv(4096).split(b" ", 2)[1:2] == [b"200"]
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
    digest = hashlib.sha256()
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
    return digest.hexdigest()


def run(command: "list[str]", prompt: str, password: object, seconds: float) -> "tuple[int, str, str]":
    """Run the installer, both streams read at once; the password goes to sudo's prompt, once, and to nothing else."""
    environment = dict(os.environ, LC_ALL="C", LANGUAGE="C")
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    until = time.time() + seconds
    kept = {child.stdout.fileno(): b"", child.stderr.fileno(): b""}  # type: ignore[union-attr]
    names = list(kept)
    poll = select.poll()
    for number in names:
        poll.register(number, select.POLLIN | select.POLLHUP)
    opened = set(names)
    asked = 0
    while opened:
        # A service that the installer left running may hold its streams: the installer's own end counts.
        ended = child.poll() is not None
        if time.time() > until:
            end(child)
            raise Stop("agent_broke", "it was still running after %d s" % seconds)
        ready = poll.poll(0 if ended else max(1, min(250, int((until - time.time()) * 1000))))
        if ended and not ready:
            break
        for number, _ in ready:
            chunk = os.read(number, 65536)
            if not chunk:
                poll.unregister(number)
                opened.discard(number)
            kept[number] = (kept[number] + chunk)[-KEEP:]
        if prompt and kept[names[1]].count(prompt.encode()) > asked:
            asked += 1
            if asked > 1:
                child.stdin.close()  # type: ignore[union-attr]
                end(child)
                raise Stop("sudo_wrong_password")
            child.stdin.write(str(password).encode() + b"\n")  # type: ignore[union-attr]
            child.stdin.flush()  # type: ignore[union-attr]
    return child.wait(), kept[names[0]].decode("utf-8", "replace"), kept[names[1]].decode("utf-8", "replace")


def end(child: object) -> None:
    try:
        child.kill()  # type: ignore[attr-defined]
    except OSError as problem:
        if problem.errno != errno.EPERM:  # what runs under sudo is not ours to kill; it ends by its own time-outs
            raise


def judge_sudo(errors: str) -> None:
    """Stop when it was sudo that said no. The words are those of sudo 1.8, 1.9 and sudo-rs in the C locale."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    said = lines[-1] if lines else ""
    if "must have a tty" in errors:
        raise Stop("sudo_needs_tty", said)
    for words in ("not in the sudoers", "may not run sudo", "not allowed to execute", "not allowed to run"):
        if words in errors:
            raise Stop("sudo_denied", said)
    for words in ("password is required", "authentication is required", "terminal is required", "askpass"):
        if words in errors:
            raise Stop("sudo_needs_password", said)
    for words in ("incorrect password", "Sorry, try again", "Authentication failed", "Maximum"):
        if words in errors:
            raise Stop("sudo_wrong_password", said)


def work() -> None:
    source = sys.stdin.buffer
    order = json.loads(source.readline().decode())
    say("hello", python="%d.%d.%d" % sys.version_info[:3], uid=os.geteuid())
    as_root = os.geteuid() != 0 and not os.environ.get("MUSTER_AGENT_PREFIX")
    front, prompt = [], ""
    if as_root and not order["use_sudo"]:
        raise Stop("not_root")
    if as_root:
        front = [find_sudo(), "-n", "--"]
        if order["sudo"] is not None:
            prompt = "[" + os.urandom(8).hex() + "] "
            front = [front[0], "-S", "-p", prompt, "--"]
    folder = make_folder(order["need"])
    try:
        reach(order["url"], order["reach"])
        say("probed", sudo=as_root)
        token, agent = os.path.join(folder, "token"), os.path.join(folder, "muster-agent.pyz")
        receive(source, token, order["token_size"])
        if receive(source, agent, order["size"]) != order["sha256"]:
            raise Stop("upload_broken", "its checksum is not the one that was sent.")
        say("uploaded")
        # Without site packages and start-up settings: the agent needs none, and they may be broken.
        command = front + [
            sys.executable,
            "-E",
            "-s",
            "-S",
            agent,
            "install",
            "--url",
            order["url"],
            "--token-file",
            token,
        ]
        if order["url"].startswith("http:"):
            command.append("--allow-http")  # whoever runs the console chose that address
        code, output, errors = run(command, prompt, order["sudo"], order["patience"])
        for line in reversed(output.splitlines()):
            try:
                result = json.loads(line)
            except ValueError:
                continue
            if isinstance(result, dict) and "ok" in result:
                say("result", result=result)
                return
        if as_root:
            judge_sudo(errors)
        tail = " ".join((errors or output).split())[-300:]
        raise Stop("agent_broke", "exit code %d: %s" % (code, tail or "no words"))
    finally:
        for name in ("token", "muster-agent.pyz"):
            try:
                os.unlink(os.path.join(folder, name))
            except OSError as problem:
                if problem.errno != errno.ENOENT:
                    say("left", path=os.path.join(folder, name))
        try:
            os.rmdir(folder)
        except OSError:
            say("left", path=folder)


try:
    work()
except Stop as stop:
    say("stop", code=stop.code, said=stop.said)
