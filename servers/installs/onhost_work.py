"""What runs on the server during an install, second part: the errands. See onhost.py, whose text comes before."""
# ruff: noqa: UP006, UP022, UP024, UP030, UP031, UP032, UP041, I001

import errno
import os
import select
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # on the server these names are here already
    from servers.installs.onhost import (
        Stop, clear, find_sudo, is_ours, line_of, lock, make_folder, places, reach, receive, say,
    )  # fmt: skip

KEEP = 65536
DOOR = 30.0  # seconds that sudo may take to let the installer in


def show_as(name: str) -> None:
    """What `top`, `ps -e` and `pgrep` call this process from now on."""
    try:
        with open("/proc/self/comm", "w") as own:
            own.write(name)
    except OSError:
        return  # it goes by Python's name, and no worse


def become(archive: str, words: "list[str]") -> int:
    """Be `python3 ARCHIVE WORDS …`, in this Python that has started already; what it ends with."""
    import zipimport

    show_as("muster-install")
    sys.argv = [archive, *words]
    sys.path.insert(0, archive)
    main = sys.modules["__main__"] = type(sys)("__main__")
    main.__file__ = os.path.join(archive, "__main__.py")
    try:
        exec(zipimport.zipimporter(archive).get_code("__main__"), main.__dict__)  # noqa: S102 - it was sent to be run
        status = 0  # type: object
    except SystemExit as last:
        status = 0 if last.code is None else last.code
    except BaseException:  # noqa: BLE001 - as Python does it: told on its errors, and read by whoever started it
        sys.excepthook(*sys.exc_info())
        status = 1
    if not isinstance(status, int):
        sys.stderr.write("%s\n" % status)
        status = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return status & 255


def start(command: "list[str]", ahead: int) -> "tuple[int, int, int, int]":
    """Start a program: its process id, and our ends of its standard input, output and errors.

    As subprocess does it, whose import alone takes longer than most installers. With `ahead` the words of the command
    from there on are a Python archive and its arguments, and no Python has to start for it.
    """
    import _signal  # type: ignore[import-not-found]

    environment = dict(os.environ, LC_ALL="C", LANGUAGE="C")
    pipes = [os.pipe() for _ in range(3)]
    child = os.fork()
    if not child:
        try:
            for number, end in enumerate((pipes[0][0], pipes[1][1], pipes[2][1])):
                os.dup2(end, number)
            os.closerange(3, 256)  # the lock on the folder among them: what it leaves running must not hold that
            if ahead:
                os.environ.update(environment)
                os._exit(become(command[ahead], command[ahead + 1 :]))
            for ignored in (_signal.SIGPIPE, _signal.SIGXFSZ):  # by this Python, not by what it starts
                _signal.signal(ignored, _signal.SIG_DFL)
            os.execve(command[0], command, environment)  # noqa: S606 - nothing here is for a shell
        except OSError as problem:
            os.write(2, ("%s: %s" % (command[0], problem.strerror)).encode())
        finally:
            os._exit(127)
    for end in (pipes[0][0], pipes[1][1], pipes[2][1]):
        os.close(end)
    return child, pipes[0][1], pipes[1][0], pipes[2][0]


def run(
    command: "list[str]", ahead: int, prompt: str, password: object, seconds: float, mark: str, let_in: object
) -> "tuple[int, str, str]":
    """Run the installer, both streams read at once; the password goes to sudo's prompt, once, and to nothing else:
    its input ends behind it, so that whoever asks for more ends too.

    `let_in()` is called once `mark` stands on its standard output: sudo has let it in. It has half a minute for that.
    """
    child, entry, *names = start(command, ahead)
    until = time.time() + seconds
    door = time.time() + min(DOOR, seconds / 2)
    kept = dict.fromkeys(names, b"")
    poll = select.poll()
    for number in names:
        poll.register(number, select.POLLIN | select.POLLHUP)
    opened = set(names)
    asked, status = 0, None  # type: int, int | None
    while opened or status is None:
        # A service that the installer left running may hold its streams: the installer's own end counts.
        if status is None:
            ended, code = os.waitpid(child, os.WNOHANG)
            status = code if ended else None
        if status is None and time.time() > until:
            end(child)
            raise Stop("agent_broke", "it was still running after %d s" % seconds)
        if status is None and mark and time.time() > door:
            os.close(entry)  # sudo is not ours to kill, but it ends when nobody can answer
            end(child)
            raise Stop("sudo_asks_more", last_line(kept[names[1]].decode("utf-8", "replace").replace(prompt, "")))
        pause = max(1, min(500 if opened else 5, int((until - time.time()) * 1000)))
        ready = poll.poll(pause if status is None else 0)
        if status is not None and not ready:
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
                if status is None:
                    end(child)
                raise Stop("sudo_wrong_password")
            os.write(entry, str(password).encode() + b"\n")
            os.close(entry)
            entry = os.open(os.devnull, os.O_RDONLY)
    code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
    return code, kept[names[0]].decode("utf-8", "replace"), kept[names[1]].decode("utf-8", "replace")


def end(child: int) -> None:
    try:
        os.kill(child, 9)
    except OSError as problem:
        if problem.errno != errno.EPERM:  # what runs under sudo is not ours to kill; it ends by its own time-outs
            raise


def last_line(text: str) -> str:
    return ([line.strip() for line in text.splitlines() if line.strip()] or [""])[-1]


def judge_sudo(errors: str, prompt: str) -> None:
    """Stop when it was sudo that said no. The words are those of sudo 1.8, 1.9 and sudo-rs in the C locale."""
    given = bool(prompt) and prompt in errors
    errors = errors.replace(prompt, "") if given else errors
    said = last_line(errors)
    if "must have a tty" in errors:
        raise Stop("sudo_needs_tty", said)
    for words in ("not in the sudoers", "may not run sudo", "not allowed to execute", "not allowed to run"):
        if words in errors:
            raise Stop("sudo_denied", said)
    if given and "no password was provided" in errors:
        raise Stop("sudo_asks_more", errors.strip().splitlines()[0].partition("sudo: ")[0])
    for words in ("password is required", "authentication is required", "terminal is required", "askpass"):
        if words in errors:
            raise Stop("sudo_needs_password", said)
    for words in ("incorrect password", "Sorry, try again", "Authentication failed", "Maximum"):
        if words in errors:
            raise Stop("sudo_wrong_password", said)


def verdict(line: str) -> "tuple[bool, str] | None":
    """Whether an installer's line says that all went well, and its JSON in ASCII; None when it says neither."""
    if line.startswith('{"ok": true, ') and line.endswith("}") and all(" " <= letter <= "~" for letter in line):
        return True, line  # as the agent writes it: no need to understand the rest here
    import json

    try:
        result = json.loads(line)
    except ValueError:
        return None
    return (result["ok"] is True, json.dumps(result)) if isinstance(result, dict) and "ok" in result else None


def install(
    order: "dict[str, object]", folder: str, front: "list[str]", prompt: str, let_in: object
) -> "tuple[bool, str]":
    """Run the agent's installer; whether it ended well, and what to say of it."""
    # Without site packages and start-up settings: the agent needs none, and they may be broken.
    command = [sys.executable, "-E", "-s", "-S", os.path.join(folder, "muster-agent.pyz"), "install"]
    command += ["--url", str(order["url"]), "--token-file", os.path.join(folder, "token")]
    if str(order["url"]).startswith("http:"):
        command.append("--allow-http")  # whoever runs the console chose that address
    mark, ahead = "", 0 if front else 4
    if front:
        # A shell that says so before it becomes the installer: sudo itself tells nobody that it was content.
        mark = os.urandom(8).hex()
        command = front + ["/bin/sh", "-c", 'echo "$0"; exec "$@"', mark] + command
    else:
        let_in()  # type: ignore[operator]
    try:
        code, output, errors = run(command, ahead, prompt, order["sudo"], float(str(order["patience"])), mark, let_in)
        for line in reversed(output.splitlines()):
            told = verdict(line)
            if told:
                return told[0], line_of("result", result=told[1])
        if front:
            judge_sudo(errors, prompt)
        tail = " ".join((errors or output).split())[-300:]
        raise Stop("agent_broke", "exit code %d: %s" % (code, tail or "no words"))
    except Stop as stop:
        return False, line_of("stop", code=stop.code, said=stop.said)
    except OSError as problem:
        return False, line_of("stop", code="agent_broke", said=str(problem))


def apart(order: "dict[str, object]", folder: str, front: "list[str]", prompt: str) -> "tuple[bool, str]":
    """Run the installer in a process of its own, which does not end with this connection.

    Whether it goes on, and what to say: that it does, as soon as it was let in; or how it ended, when it was not.
    """
    let_go = line_of("detached")
    ours, theirs = os.pipe()
    if os.fork():
        os.close(theirs)
        with os.fdopen(ours, "rb") as words:
            said = words.readline().decode().strip()  # nothing at all when the other process was killed
        return said == let_go, said or line_of("stop", code="agent_broke", said="killed")
    going = []  # type: list[bool]

    def tell(line: str) -> None:
        try:
            os.write(theirs, line.encode() + b"\n")
        except OSError:
            return  # the connection was lost meanwhile: a later one looks into the folder

    def let_in() -> None:
        os.close(os.open(os.path.join(folder, "going"), os.O_WRONLY | os.O_CREAT, 0o600))
        tell(let_go)
        os.close(theirs)
        going.append(True)

    try:
        os.close(ours)
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(nothing, number)
        well, line = install(order, folder, front, prompt, let_in)
        if not going:
            tell(line)
        elif well:
            clear(folder)
        else:
            leave(folder, line)
    finally:
        os._exit(0)


def leave(folder: str, line: str) -> None:
    """Leave word for a later connection, whole or not at all; the token and the agent go."""
    clear(folder, "lock", "result")
    spare = os.path.join(folder, ".result")
    with open(spare, "w") as file:
        file.write(line)
    os.rename(spare, os.path.join(folder, "result"))


def collect(name: str) -> None:
    """Say what became of an installer that went on by itself, and take away what it left."""
    for base in places():
        folder = os.path.join(base, name)
        if not is_ours(folder):
            continue
        held = lock(folder)
        if held is None:
            return say(line_of("running"))
        try:
            with open(os.path.join(folder, "result")) as file:
                line = file.read()
        except (OSError, ValueError):
            line = line_of("stop", code="cut_off")
        clear(folder)
        return say(line)
    return say(line_of("gone"))


def work() -> None:
    source = sys.stdin.buffer
    order = eval(source.readline().decode(), {})  # noqa: S307 - whoever sent this program sent this line too
    say(line_of("hello", python="%d.%d.%d" % sys.version_info[:3], uid=os.geteuid()), now=False)
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
        return say(line_of("detached"))
    goes_on = False
    try:
        reach(order["url"], order["reach"])
        say(line_of("probed", sudo=as_root))
        receive(source, os.path.join(folder, "token"), order["token_size"])
        if receive(source, os.path.join(folder, "muster-agent.pyz"), order["size"]) != order["sha256"]:
            raise Stop("upload_broken", "its checksum is not the one that was sent.")
        say(line_of("uploaded"))
        if order["detach"]:
            goes_on, line = apart(order, folder, front, prompt)
        else:
            line = install(order, folder, front, prompt, lambda: None)[1]
        say(line)
    finally:
        if not goes_on:
            for path in clear(folder):
                say(line_of("left", path=path))


try:
    work()
except Stop as stop:
    say(line_of("stop", code=stop.code, said=stop.said))
os._exit(0)  # all was said; tidying up takes Python a third as long as its start
