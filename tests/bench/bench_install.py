"""200 SSH installs until the last first heartbeat, against Ansible doing the same copy and script on the same hosts;
and 500 whose installer takes 5 s, against the floor: all handshakes, and 5 s.

Real sshd's on this machine, the real agent, a real web process that the agents enrol at (the 500 get a stand-in that
sleeps). Ansible: 50 forks, pipelining, one `copy` of the agent, one of its token, one `script`. BENCH_HOSTS and
BENCH_SLOW_HOSTS say how many, on a machine that is too small for that.
"""

from __future__ import annotations

import hashlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from console.lib.embedded import free_port
from tests.bench.results import Result
from tests.processes import end
from tests.shared import ROOT
from tests.sshd import Sshd, make_key

COUNT = int(os.environ.get("BENCH_HOSTS", "200"))
SLOW = int(os.environ.get("BENCH_SLOW_HOSTS", "500"))
TAKES = 5.0  # seconds that the slow installer sleeps
WITHIN = 900.0  # seconds


@contextmanager
def web() -> Iterator[str]:
    """A web process over the benchmark's database; yields its address."""
    port = free_port()
    env = {**os.environ, "DATABASE_POOL": "20", "PUBLIC_URL": f"http://127.0.0.1:{port}"}
    argv = [sys.executable, "-m", "uvicorn", "console.asgi:application", "--port", str(port), "--log-level", "error"]
    argv += ["--timeout-keep-alive", "75"]  # as console/web.py
    process = subprocess.Popen(argv, cwd=ROOT, env=env)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=2).close()
                break
            except OSError:
                assert time.monotonic() < deadline, "the web process did not start"
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        end(process)


def managed(servers: list[Any], started: float) -> float:
    """Seconds from `started` until each of `servers` has reported."""
    from servers.agents.models import Agent

    deadline = started + WITHIN
    while Agent.objects.filter(server__in=servers, first_seen_at__isnull=False).count() < len(servers):
        assert time.monotonic() < deadline, "not every server became managed"
        time.sleep(0.05)
    return time.monotonic() - started


def clear(hosts: list[Sshd]) -> None:
    """Take the agents off again, as their own uninstall does it."""
    for host in hosts:
        agent = host.prefix / "opt/muster-agent/current/muster-agent.pyz"
        if agent.exists():
            subprocess.run(
                [sys.executable, agent, "uninstall"],
                env={"MUSTER_AGENT_PREFIX": str(host.prefix)},
                check=True,
                stdout=subprocess.DEVNULL,
            )


def spent(who: int) -> float:
    """Seconds of CPU that this process, or its children that ended, have spent."""
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def ours(servers: list[Any], hosts: list[Sshd], person: Any, url: str) -> tuple[float, float]:
    """The deed that the page calls, worked by the code that the worker runs: seconds, and seconds of our CPU."""
    from django.test.utils import override_settings

    from servers.installs import install, working

    with override_settings(PUBLIC_URL=url):
        started, before = time.monotonic(), spent(resource.RUSAGE_SELF)
        batch = install.start(
            servers,
            by=person,
            customer=servers[0].customer,
            user=hosts[0].user,
            port=hosts[0].port,
            private_key=hosts[0].private_key,
            use_sudo=False,
            trust_new_host_keys=True,
        )
        working.work(batch.pk)
        cpu = spent(resource.RUSAGE_SELF) - before
        return managed(servers, started), cpu


def ansible(servers: list[Any], hosts: list[Sshd], person: Any, url: str, folder: Path) -> tuple[float, float]:
    """The same files and the same command by a playbook: seconds, and seconds of its CPU (and of its ssh's)."""
    from servers.agents import enrol
    from servers.agents.program import build

    lines = [
        f"h{number} ansible_host={host.host} ansible_port={host.port} ansible_user={host.user} "
        f"ansible_ssh_private_key_file={host.folder / 'user'} ansible_python_interpreter=/usr/bin/python3 "
        f"token={enrol.issue(server, by=person)} scratch={host.folder / 'tmp'}"
        for number, (server, host) in enumerate(zip(servers, hosts, strict=True))
    ]
    (folder / "hosts").write_text("\n".join(lines) + "\n")
    (folder / "install.sh").write_text(
        f'#!/bin/sh\nexec python3 "$1/muster-agent.pyz" install --url {url} --token-file "$1/token"\n'
    )
    (folder / "play.yml").write_text(f"""
- hosts: all
  gather_facts: false
  tasks:
    - copy: {{src: "{build.artifact().path}", dest: "{{{{ scratch }}}}/muster-agent.pyz"}}
    - copy: {{content: "{{{{ token }}}}", dest: "{{{{ scratch }}}}/token", mode: "0600"}}
    - script: {{cmd: "{folder / "install.sh"} {{{{ scratch }}}}"}}
""")
    env = {
        **os.environ,
        "ANSIBLE_FORKS": "50",
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_HOST_KEY_CHECKING": "0",
        "ANSIBLE_SSH_ARGS": "-o ControlMaster=auto -o ControlPersist=60s -o UserKnownHostsFile=/dev/null",
        "ANSIBLE_LOCAL_TEMP": str(folder / "local"),
        "ANSIBLE_HOME": str(folder / "ansible"),
        "LC_ALL": "C.UTF-8",
    }
    started, before = time.monotonic(), spent(resource.RUSAGE_CHILDREN)
    made = subprocess.run(
        [player(), "-i", folder / "hosts", folder / "play.yml"], env=env, capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stdout[-2000:] + made.stderr[-2000:]
    cpu = spent(resource.RUSAGE_CHILDREN) - before
    return managed(servers, started), cpu


def slow(servers: list[Any], hosts: list[Sshd], person: Any, url: str, folder: Path) -> tuple[float, float]:
    """Seconds until the last installer that sleeps has ended, and the floor in the same run."""
    from django.test.utils import override_settings

    from servers.agents.program.build import Artifact
    from servers.installs import install, preparing, working
    from tests.farside import stand_in

    began = "open(os.path.join(os.environ['HOME'], '..', 'seen'), 'w').close()"
    agent = stand_in(f"{began}; import time; time.sleep({TAKES})")  # it takes its time, and next to no CPU
    (folder / "slow.pyz").write_bytes(agent)
    made = Artifact(folder / "slow.pyz", "0", hashlib.sha256(agent).hexdigest())
    floor = handshakes(hosts) + TAKES
    with override_settings(PUBLIC_URL=url), replaced(preparing.build, "artifact", lambda: made):
        started = time.monotonic()
        batch = install.start(
            servers, by=person, customer=servers[0].customer, user=hosts[0].user, port=hosts[0].port,
            private_key=hosts[0].private_key, use_sudo=False, trust_new_host_keys=True,
        )  # fmt: skip
        working.work(batch.pk)
        left = set(hosts)
        while left:
            assert time.monotonic() - started < WITHIN, f"{len(left)} installers did not end"
            left = {host for host in left if not is_done(host)}
            time.sleep(0.05)
        took = time.monotonic() - started
    assert not batch.installs.exclude(state="running").exists()
    install.cancel(batch, by=person)
    return took, floor


def is_done(host: Sshd) -> bool:
    """The stand-in began there, and its folder is gone: it ended well."""
    return (host.folder / "seen").exists() and not any((host.folder / "tmp").iterdir())


@contextmanager
def replaced(module: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


def handshakes(hosts: list[Sshd]) -> float:
    """Seconds for one connection to each, with its sign-in, by as many threads as an install has."""
    from console.lib.outbound import Transport
    from servers.installs import keys
    from servers.installs.signin import Login
    from servers.installs.ssh import Session
    from servers.installs.terms import Brake, Limits, Target
    from servers.installs.watchdog import WATCHDOG
    from servers.installs.working import THREADS

    login = Login(hosts[0].user, keys.load(hosts[0].private_key))
    dial = Transport(networks=("127.0.0.0/8",)).dial

    def one(host: Sshd) -> None:
        session = Session(Target(host.host, host.port), login, Limits(), WATCHDOG, None, Brake())
        session.run(dial, lambda key: True, lambda transport, key: None)

    started = time.monotonic()
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(one, hosts))
    return time.monotonic() - started


def player() -> str:
    """ansible-playbook, of the benchmark's own environment (`make bench` makes it)."""
    found = shutil.which("ansible-playbook", path=f"{ROOT / '.venv-bench' / 'bin'}:{os.environ.get('PATH', '')}")
    assert found, "ansible-playbook is missing: run `make bench`, which installs it"
    return found


@contextmanager
def hosts_of(folder: Path, count: int) -> Iterator[list[Sshd]]:
    """So many sshd's that share a port and a user's key, each on an address of its own."""
    folder.mkdir(mode=0o711)
    port, key = free_port(), make_key(folder / "user")
    with ExitStack() as stack:
        hosts = []
        for number in range(count):
            own = folder / str(number)
            own.mkdir()
            for name in ("user", "user.pub"):
                shutil.copy(key.with_name(name), own / name)
            address = f"127.0.{1 + number // 250}.{1 + number % 250}"
            hosts.append(stack.enter_context(Sshd(own, host=address, port=port)))
        yield hosts


def run() -> Iterator[Result]:
    """Ours, then Ansible's, on the same hosts; then those whose installer takes its time."""
    from tests.factories import AccountFactory, MembershipFactory, ServerFactory

    account = AccountFactory()
    person = MembershipFactory(customer=account.customer).user

    def fresh(hosts: list[Sshd]) -> list[Any]:
        return [
            ServerFactory(account=account, addresses=[{"ip": host.host, "version": 4, "kind": "fixed"}])
            for host in hosts
        ]

    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="muster-hosts-")))
        folder.chmod(0o711)
        url = stack.enter_context(web())
        with hosts_of(folder / "quick", COUNT) as hosts:
            try:
                mine, cpu = ours(fresh(hosts), hosts, person, url)
                clear(hosts)
                theirs, their_cpu = ansible(fresh(hosts), hosts, person, url, folder)
            finally:
                clear(hosts)
        yield Result(
            f"{COUNT} SSH installs to first heartbeat",
            mine,
            "s",
            theirs,
            f"baseline: ansible, 50 forks, copy + script; {COUNT / mine:.1f} against {COUNT / theirs:.1f} hosts/s",
        )
        yield Result(
            "client CPU of an SSH install",
            cpu / COUNT * 1000,
            "ms",
            their_cpu / COUNT * 1000,
            "baseline: ansible and its ssh's, the same run",
        )
        with hosts_of(folder / "slow", SLOW) as hosts:
            took, floor = slow(fresh(hosts), hosts, person, url, folder)
        yield Result(
            f"{SLOW} installs of {TAKES:g} s each",
            took,
            "s",
            floor,
            f"baseline: the floor, {floor - TAKES:.1f} s for all handshakes and sign-ins, and {TAKES:g} s",
        )
