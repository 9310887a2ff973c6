"""What runs on the server during an install, second part: the errands. See onhost.py, whose text comes before."""
# ruff: noqa: UP006, UP022, UP024, UP030, UP031, UP032, UP041, I001

import errno
import json
import os
import select
import subprocess
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # on the server these names are here already
    from servers.installs.onhost import Stop, clear, find_sudo, is_ours, lock, make_folder, places, reach, receive, say

KEEP = 65536


def run(
    command: "list[str]", prompt: str, password: object, seconds: float, mark: str, let_in: object
) -> "tuple[int, str, str]":
    """Run the installer, both streams read at once; the password goes to sudo's prompt, once, and to nothing else.

    `let_in()` is called once `mark` stands on its standard output: sudo has let it in.
    """
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
            if mark and number == names[0] and mark.encode() in kept[number]:
                mark = ""
                let_in()  # type: ignore[operator]
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


def install(
    order: "dict[str, object]", folder: str, front: "list[str]", prompt: str, let_in: object
) -> "dict[str, object]":
    """Run the agent's installer; what to say of it."""
    # Without site packages and start-up settings: the agent needs none, and they may be broken.
    command = [sys.executable, "-E", "-s", "-S", os.path.join(folder, "muster-agent.pyz"), "install"]
    command += ["--url", str(order["url"]), "--token-file", os.path.join(folder, "token")]
    if str(order["url"]).startswith("http:"):
        command.append("--allow-http")  # whoever runs the console chose that address
    mark = ""
    if front:
        # A shell that says so before it becomes the installer: sudo itself tells nobody that it was content.
        mark = os.urandom(8).hex()
        command = front + ["/bin/sh", "-c", 'echo "$0"; exec "$@"', mark] + command
    else:
        let_in()  # type: ignore[operator]
    try:
        code, output, errors = run(command, prompt, order["sudo"], float(str(order["patience"])), mark, let_in)
        for line in reversed(output.splitlines()):
            try:
                result = json.loads(line)
            except ValueError:
                continue
            if isinstance(result, dict) and "ok" in result:
                return {"event": "result", "result": result}
        if front:
            judge_sudo(errors)
        tail = " ".join((errors or output).split())[-300:]
        raise Stop("agent_broke", "exit code %d: %s" % (code, tail or "no words"))
    except Stop as stop:
        return {"event": "stop", "code": stop.code, "said": stop.said}
    except OSError as problem:
        return {"event": "stop", "code": "agent_broke", "said": str(problem)}


def apart(order: "dict[str, object]", folder: str, front: "list[str]", prompt: str) -> "dict[str, object]":
    """Run the installer in a process of its own, which does not end with this connection.

    What to say: that it goes on, as soon as it was let in; or how it ended, when it was not.
    """
    ours, theirs = os.pipe()
    if os.fork():
        os.close(theirs)
        with os.fdopen(ours, "rb") as words:
            text = words.readline().decode()  # nothing at all when the other process was killed
        return json.loads(text) if text else {"event": "stop", "code": "agent_broke", "said": "killed"}
    going = []  # type: list[bool]

    def tell(event: "dict[str, object]") -> None:
        try:
            os.write(theirs, json.dumps(event).encode() + b"\n")
        except OSError:
            return  # the connection was lost meanwhile: a later one looks into the folder

    def let_in() -> None:
        os.close(os.open(os.path.join(folder, "going"), os.O_WRONLY | os.O_CREAT, 0o600))
        tell({"event": "detached"})
        os.close(theirs)
        going.append(True)

    try:
        os.close(ours)
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(nothing, number)
        event = install(order, folder, front, prompt, let_in)
        if not going:
            tell(event)
        elif event["event"] == "result" and event["result"]["ok"]:  # type: ignore[index]
            clear(folder)
        else:
            leave(folder, event)
    finally:
        os._exit(0)


def leave(folder: str, event: "dict[str, object]") -> None:
    """Leave word for a later connection, whole or not at all; the token and the agent go."""
    clear(folder, "lock", "result")
    spare = os.path.join(folder, ".result")
    with open(spare, "w") as file:
        json.dump(event, file)
    os.rename(spare, os.path.join(folder, "result"))


def collect(name: str) -> None:
    """Say what became of an installer that went on by itself, and take away what it left."""
    for base in places():
        folder = os.path.join(base, name)
        if not is_ours(folder):
            continue
        held = lock(folder)
        if held is None:
            return say("running")
        try:
            with open(os.path.join(folder, "result")) as file:
                event = json.load(file)
        except (OSError, ValueError):
            event = {"event": "stop", "code": "cut_off"}
        clear(folder)
        return say(**event)
    return say("gone")


def work() -> None:
    source = sys.stdin.buffer
    order = json.loads(source.readline().decode())
    say("hello", python="%d.%d.%d" % sys.version_info[:3], uid=os.geteuid())
    if order["errand"] == "collect":
        return collect(order["name"])
    as_root = os.geteuid() != 0 and not os.environ.get("MUSTER_AGENT_PREFIX")
    front, prompt = [], ""
    if as_root and not order["use_sudo"]:
        raise Stop("not_root")
    if as_root:
        front = [find_sudo(), "-n", "--"]
        if order["sudo"] is not None:
            prompt = "[" + os.urandom(8).hex() + "] "
            front = [front[0], "-S", "-p", prompt, "--"]
    folder, held = make_folder(order["need"], order["name"])
    if held is None:
        return say("detached")
    event = {}  # type: dict[str, object]
    try:
        reach(order["url"], order["reach"])
        say("probed", sudo=as_root)
        receive(source, os.path.join(folder, "token"), order["token_size"])
        if receive(source, os.path.join(folder, "muster-agent.pyz"), order["size"]) != order["sha256"]:
            raise Stop("upload_broken", "its checksum is not the one that was sent.")
        say("uploaded")
        if order["detach"]:
            event = apart(order, folder, front, prompt)
        else:
            event = install(order, folder, front, prompt, lambda: None)
        say(**event)  # type: ignore[arg-type]
    finally:
        if event.get("event") != "detached":
            for path in clear(folder):
                say("left", path=path)


try:
    work()
except Stop as stop:
    say("stop", code=stop.code, said=stop.said)
