"""What the agent costs its host: memory, CPU when nothing happens, and the size of its file.

The packed agent as it is installed, supervisor and agent, against a Python that sleeps, doing nothing; over HTTPS
with the system's certificates, at the real pace of a sample a minute.
"""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.results import Result
from tests.small_console import SmallConsole

SECONDS = float(os.environ.get("BENCH_IDLE", "60"))


def memory(pids: list[int], twice: bool = False) -> float:
    """MB (10^6 bytes) that these processes keep: what is each one's own, and what they share with anybody counted once,
    or once for each process (proc(5), smaps_rollup)."""
    own, shared = [], []
    for pid in pids:
        lines = [line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]]
        size = {line[0]: int(line[1]) * 1024 / 1e6 for line in lines}
        own.append(size["Private_Clean:"] + size["Private_Dirty:"])
        shared.append(size["Rss:"] - own[-1])
    return sum(own) + (sum(shared) if twice else max(shared))


def spent(pids: list[int]) -> float:
    """CPU seconds that these processes have used."""
    return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in pids) / 1e9


@contextmanager
def agent(folder: Path, console: SmallConsole) -> Iterator[list[int]]:
    """The pids of an installed agent that reports."""
    from servers.agents.program import build

    env = {
        "PATH": os.environ["PATH"],
        "MUSTER_AGENT_PREFIX": str(folder / "host"),
        "SSL_CERT_FILE": str(folder / "cert.pem"),  # in place of the system's, as OpenSSL reads it
    }
    (folder / "token").write_text("join-token-one")

    def call(*words: str) -> dict[str, object]:
        done = subprocess.run(
            [sys.executable, build.artifact().path, *words], env=env, capture_output=True, text=True, check=False
        )
        said: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
        assert said["ok"], said
        return said

    call("install", "--url", console.url, "--token-file", str(folder / "token"), "--wait", "20")
    try:
        found = call("status", "--json")["pids"]
        assert isinstance(found, list)
        yield found
    finally:
        call("uninstall")


def trusted(folder: Path) -> ssl.SSLContext:
    """A server's context of a certificate for localhost, and `cert.pem`: that one and the system's, as a host has."""
    from tests.certificates import self_signed

    own = self_signed(folder / "own.pem")
    system = ssl.get_default_verify_paths().cafile
    (folder / "cert.pem").write_text(own.read_text() + (Path(system).read_text() if system else ""))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own, own.with_name("key.pem"))
    return context


def run() -> Iterator[Result]:
    """Memory, CPU and size."""
    from servers.agents.program import build

    nothing = subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(3600)"])
    try:
        with tempfile.TemporaryDirectory(prefix="muster-bench-agent-") as name:
            console = SmallConsole()
            console.interval = 60
            with console.serving(context=trusted(Path(name))), agent(Path(name), console) as pids:
                began, before = time.monotonic(), spent(pids)
                time.sleep(SECONDS)
                minutes = (time.monotonic() - began) / 60
                used, idle = (spent(pids) - before) / minutes, spent([nothing.pid]) / minutes
                told = len(console.checkins())
                held, apart = memory(pids), memory(pids, twice=True)
                floor = memory([nothing.pid])
    finally:
        nothing.kill()
        nothing.wait()
    python = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    detail = f"supervisor and agent, {python}; {apart:.1f} MB with shared pages twice; baseline: a Python that sleeps"
    yield Result("Agent: resident memory", held, "MB", floor, detail)
    detail = f"CPU ms a minute, {told} check-ins over HTTPS in {SECONDS:.0f} s: {used / 0.6:.2f} % of a core; "
    detail += f"a Python that sleeps: {1000 * idle:.1f} ms"
    yield Result("Agent: CPU when idle", 1000 * used, "ms/min", None, detail)
    yield Result("Agent: size of the file", build.artifact().path.stat().st_size / 1e3, "KB", None, "one zipapp")
