"""What the agent costs its host: memory, CPU when nothing happens, and the size of its file.

The packed agent as it is installed, supervisor and agent, against a Python that sleeps, doing nothing; over HTTP, and
over HTTPS with the system's certificates, at the real pace of a sample a minute.
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
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.bench.results import Result
from tests.small_console import SmallConsole

SECONDS = float(os.environ.get("BENCH_IDLE", "60"))
WAYS = ("HTTP", "HTTPS")


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
    """Memory, CPU and size: two agents at once, each of its own console."""
    from servers.agents.program import build

    nothing = subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(3600)"])
    found = []
    try:
        with ExitStack() as stack:
            running = {way: stack.enter_context(reporting(way)) for way in WAYS}
            began = time.monotonic()
            before = {way: spent(pids) for way, (_, pids) in running.items()}
            began_with = spent([nothing.pid])
            time.sleep(SECONDS)
            minutes = (time.monotonic() - began) / 60
            idle, floor = (spent([nothing.pid]) - began_with) / minutes, memory([nothing.pid])
            for way, (console, pids) in running.items():
                used = (spent(pids) - before[way]) / minutes
                found.append((way, used, len(console.checkins()), memory(pids), memory(pids, twice=True)))
    finally:
        nothing.kill()
        nothing.wait()
    python = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    for way, used, told, held, apart in found:
        detail = f"supervisor and agent, {python}; {apart:.1f} MB with shared pages twice; "
        yield Result(f"Agent: resident memory, {way}", held, "MB", floor, detail + "baseline: a Python that sleeps")
        detail = f"CPU ms a minute, {told} check-ins in {SECONDS:.0f} s; a Python that sleeps: {1000 * idle:.1f} ms"
        yield Result(f"Agent: CPU when idle, {way}", 1000 * used, "ms/min", None, detail)
        yield Result(f"Agent: CPU when idle, {way}, of a core", used / 0.6, "%", None, "at most 0.5 is promised")
    yield Result("Agent: size of the file", build.artifact().path.stat().st_size / 1e3, "KB", None, "one zipapp")


@contextmanager
def reporting(way: str) -> Iterator[tuple[SmallConsole, list[int]]]:
    """An agent that reports this way, and its console."""
    with tempfile.TemporaryDirectory(prefix="muster-bench-agent-") as name:
        console = SmallConsole()
        console.interval = 60
        context = trusted(Path(name)) if way == "HTTPS" else None
        with console.serving(context=context), agent(Path(name), console) as pids:
            yield console, pids
