"""The demo's instances: SSH from a real client, real commands, processes that end with their machine, and a memory."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paramiko
import pytest

from console.demo import processes
from console.demo.instances import Machines
from console.demo.keep import dump, load
from console.demo.openstack import Cloud
from console.demo.running import CannotStart, Demo
from servers.agents.program import build
from tests.processes import wait
from tests.shared import ROOT
from tests.small_console import SmallConsole


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    with Machines(Cloud.lively(3), tmp_path / "demo") as running:
        yield running


@contextlib.contextmanager
def connected(machines: Machines, place: int = 0, **sign_in: Any) -> Iterator[paramiko.SSHClient]:
    machine = machines.machines[place]
    with paramiko.SSHClient() as client:
        client.get_host_keys().add(f"[{machine.address}]:{machines.port}", "ssh-ed25519", machine.host_key.private)
        ways: dict[str, Any] = sign_in or {"key_filename": str(machines.key_path)}
        client.connect(
            machine.address, machines.port, machines.user, timeout=10, allow_agent=False, look_for_keys=False, **ways
        )
        yield client


def run(client: paramiko.SSHClient, command: str, stdin: bytes = b"") -> tuple[int, bytes, bytes]:
    """Exit status, output and complaints of a command."""
    into, out, err = client.exec_command(command, timeout=20)
    complaints: list[bytes] = []
    reader = threading.Thread(target=lambda: complaints.append(err.read()))
    reader.start()
    with contextlib.suppress(OSError):  # the command may end, and its channel close, before all of it is sent
        if stdin:
            into.write(stdin)
        into.channel.shutdown_write()
    said = out.read()
    reader.join()
    return out.channel.recv_exit_status(), said, complaints[0]


def openssh(machines: Machines, place: int = 0) -> list[str]:
    """The command line of the OpenSSH client, knowing the machine's key."""
    program = shutil.which("ssh")
    if program is None:
        words = "no ssh on this machine (Debian package: openssh-client)"
        if os.environ.get("REQUIRE_ALL") == "1":
            pytest.fail(words)
        pytest.skip(words)
    machine = machines.machines[place]
    known = machines.home / "known_hosts"
    known.write_text(f"[{machine.address}]:{machines.port} {machine.host_key.line}\n")
    options = {"UserKnownHostsFile": str(known), "StrictHostKeyChecking": "yes", "IdentitiesOnly": "yes"}
    words_ = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    where = f"{machines.user}@{machine.address}"
    return [program, "-F", "/dev/null", "-i", str(machines.key_path), *words_, "-p", str(machines.port), where]


def test_the_openssh_client_signs_in_and_gets_output_complaints_and_exit_code(machines: Machines) -> None:
    done = subprocess.run(
        [*openssh(machines), "echo out; echo err >&2; exit 7"], capture_output=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout) == (7, b"out\n")
    assert b"err\n" in done.stderr


def test_the_openssh_client_sends_300_kb_and_gets_them_back(machines: Machines) -> None:
    data = os.urandom(300_000)
    done = subprocess.run([*openssh(machines), "cat"], input=data, capture_output=True, timeout=30, check=True)
    assert done.stdout == data


def test_a_terminal_is_a_terminal(machines: Machines) -> None:
    command = openssh(machines)
    done = subprocess.run(
        [command[0], "-tt", *command[1:], "test -t 0 && test -t 1 && tty; exit 4"],
        input=b"",
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 4
    assert done.stdout.startswith(b"/dev/pts/")


def test_a_shell_on_a_terminal_answers_what_is_typed_and_knows_its_size(machines: Machines) -> None:
    with connected(machines) as client:
        channel = client.invoke_shell(width=93, height=31)
        channel.settimeout(20)
        channel.sendall(b"stty size; exit 5\n")
        said = b""
        while data := channel.recv(4096):
            said += data
        assert b"31 93" in said
        assert channel.recv_exit_status() == 5


def test_the_key_or_the_password_opens_and_nothing_else(machines: Machines) -> None:
    with connected(machines, password=machines.password) as client:
        assert run(client, "echo in")[1] == b"in\n"
    for wrong in ({"password": "wrong"}, {"pkey": paramiko.RSAKey.generate(2048)}):
        with pytest.raises(paramiko.AuthenticationException), connected(machines, **wrong):
            pass


def test_the_private_files_are_for_their_owner_only(machines: Machines) -> None:
    assert machines.key_path.stat().st_mode & 0o777 == 0o600
    assert machines.home.stat().st_mode & 0o777 == 0o700
    for machine in machines.machines:
        assert (machine.folder / "ssh_host_ed25519_key").stat().st_mode & 0o777 == 0o600


def test_commands_see_a_clean_environment_and_their_own_folder(
    machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", "ours")
    folder = machines.machines[0].folder
    with connected(machines) as client:
        seen = dict(line.split("=", 1) for line in run(client, "env")[1].decode().splitlines())
        assert run(client, "pwd; umask")[1].decode().split() == [str(folder / "home"), "0077"]
        assert run(client, "python3 -c 'import sys; print(sys.version_info >= (3, 6))'")[1] == b"True\n"
    assert set(seen) <= {"PATH", "HOME", "TMPDIR", "USER", "LOGNAME", "SHELL", "LANG", processes.MARK, "PWD", "_"} | {
        "SHLVL",
        "OLDPWD",
    }
    assert (seen["HOME"], seen[processes.MARK]) == (str(folder / "home"), str(folder / "root"))


def test_much_output_and_many_complaints_at_once_do_not_deadlock(machines: Machines) -> None:
    with connected(machines) as client:
        code, out, err = run(client, "head -c 700000 /dev/zero; head -c 900000 /dev/zero >&2; exit 2")
    assert (code, len(out), len(err)) == (2, 700_000, 900_000)


def test_a_command_that_ignores_its_input_does_not_hold_the_caller(machines: Machines) -> None:
    with connected(machines) as client:
        into, out, _ = client.exec_command("exec 0<&-; echo closed; exec sleep 300", timeout=20)
        assert out.readline() == "closed\n"
        into.channel.sendall(b"x" * 5_000_000)  # more than a channel's window holds
        assert run(client, "exit 3", stdin=b"x" * 50_000)[0] == 3


def test_a_killed_command_counts_from_128(machines: Machines) -> None:
    with connected(machines) as client:
        assert run(client, "kill -KILL $$")[0] == 128 + signal.SIGKILL


def test_many_commands_on_one_connection_keep_apart(machines: Machines) -> None:
    with connected(machines) as client:
        channels = [client.exec_command(f"cat; echo {number}; exit {number}") for number in range(8)]
        for number, (into, out, _) in enumerate(channels):
            into.channel.shutdown_write()
            assert out.read() == f"{number}\n".encode()
            assert out.channel.recv_exit_status() == number


def test_a_command_ends_when_its_channel_is_closed(machines: Machines) -> None:
    machine = machines.machines[0]
    with connected(machines) as client:
        _, out, _ = client.exec_command("echo ready; exec sleep 300")
        assert out.readline() == "ready\n"
        wait(lambda: processes.of_prefix(machine.prefix))  # in the moment of its exec it has no environment to see
        out.channel.close()
        wait(lambda: not processes.of_prefix(machine.prefix))


def test_what_a_command_leaves_behind_lives_on_until_the_machine_stops(machines: Machines) -> None:
    machine, other = machines.machines[:2]
    with connected(machines) as client:
        left = "nohup setsid sh -c 'trap \"\" TERM; sleep 300; sleep 300' >/dev/null 2>&1 </dev/null &"
        assert run(client, f"{left} exit 0")[0] == 0
    with connected(machines, 1) as client:
        assert run(client, "nohup setsid sleep 300 >/dev/null 2>&1 </dev/null &")[0] == 0
    wait(lambda: len(processes.of_prefix(machine.prefix)) >= 2)
    began = time.monotonic()
    assert machine.power_off() == []
    assert time.monotonic() - began < 60
    assert processes.of_prefix(machine.prefix) == []
    assert len(processes.of_prefix(other.prefix)) == 1


def test_powering_off_in_the_cloud_closes_ssh_and_powering_on_opens_it_again(machines: Machines) -> None:
    machine = machines.machines[2]

    def answers() -> bool:
        with contextlib.suppress(OSError), socket.create_connection((machine.address, machines.port), timeout=2):
            return True
        return False

    assert answers()
    machines.cloud.act(machine.id, "os-stop")
    wait(lambda: not answers())
    assert machines.cloud.get(machine.id).status == "SHUTOFF"
    machines.cloud.act(machine.id, "os-start")
    wait(answers)
    first = machine.sshd
    machines.cloud.act(machine.id, "reboot:HARD")
    wait(lambda: machine.sshd is not first and answers())
    machines.cloud.remove(machine.id)
    wait(lambda: not answers())


def test_the_listing_names_the_address_and_port_on_which_ssh_answers(machines: Machines) -> None:
    for machine in machines.machines:
        listed = machines.cloud.instances[machine.id]
        assert [nic.addr for nics in listed.addresses.values() for nic in nics] == [machine.address]
        assert (listed.metadata["ssh_port"], listed.metadata["ssh_user"]) == (str(machines.port), "demo")


def test_consoles_print_the_true_fingerprint_and_the_last_machine_prints_none(machines: Machines) -> None:
    texts = [machines.console_of(machines.cloud.instances[machine.id]) or "" for machine in machines.machines]
    for machine, text in zip(machines.machines[:-1], texts, strict=False):
        with paramiko.Transport((machine.address, machines.port)) as transport:
            transport.start_client(timeout=10)
            shown = transport.get_remote_server_key()
        block = text.split("-----BEGIN SSH HOST KEY FINGERPRINTS-----")[1].split("-----END")[0].strip()
        assert block == f"256 {shown.fingerprint} root@{machine.name} (ED25519)"
        assert f"ssh-ed25519 {shown.get_base64()} root@{machine.name}" in text
    assert "SSH HOST KEY" not in texts[-1]
    assert machines.console_of(machines.cloud.add("another")) is None


def test_a_second_start_finds_the_same_keys_ids_port_and_files(tmp_path: Path) -> None:
    def facts(machines: Machines) -> object:
        each = [(one.name, one.id, one.address, one.host_key.fingerprint) for one in machines.machines]
        return machines.port, machines.password, machines.client_key.fingerprint, each

    cloud = Cloud.lively(3)
    with Machines(cloud, tmp_path) as first:
        before = facts(first)
        cloud.act(first.machines[1].id, "os-stop")
        with connected(first) as client:
            run(client, "echo kept > file")
    back = load(json.loads(json.dumps(dump(cloud))))
    with Machines(back, tmp_path) as second:
        assert facts(second) == before
        assert len(back.instances) == 7
        assert second.machines[1].sshd is None
        with connected(second) as client:
            assert run(client, "cat file")[1] == b"kept\n"


def test_a_port_that_is_taken_meanwhile_is_replaced_and_the_listing_says_so(tmp_path: Path) -> None:
    cloud = Cloud.lively(3)
    with Machines(cloud, tmp_path) as first:
        taken, address = first.port, first.machines[0].address
    with socket.create_server((address, taken)), Machines(cloud, tmp_path) as second:
        assert second.port != taken
        assert {cloud.instances[one.id].metadata["ssh_port"] for one in second.machines} == {str(second.port)}


def demo_process(home: Path) -> subprocess.Popen[bytes]:
    """`manage.py demo_cloud`, ready."""
    site = home / "demo" / "site.json"
    site.unlink(missing_ok=True)
    # No group of ours: a signal to the tests must not reach it, nor its own to us.
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "console.settings", "DEMO": "1"}
    child = subprocess.Popen(
        [sys.executable, "manage.py", "demo_cloud", "--home", str(home)],
        cwd=ROOT,
        env=environment,
        start_new_session=True,
    )
    try:
        wait(lambda: site.exists() or child.poll() is not None, 60)
        assert child.poll() is None
    except BaseException:
        child.kill()
        child.wait()
        raise
    return child


def of_home(home: Path) -> list[int]:
    """Every process of every instance below this home."""
    folders = sorted((home.resolve() / "demo" / "instances").iterdir())
    return [pid for folder in folders for pid in processes.of_prefix(folder / "root")]


def sign_in_to(site: dict[str, object]) -> paramiko.SSHClient:
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.AutoAddPolicy())  # noqa: S507 - our own child on loopback
    instances = site["ssh_instances"]
    assert isinstance(instances, dict)
    client.connect(
        instances["demo-ssh-1"],
        int(str(site["ssh_port"])),
        str(site["ssh_user"]),
        key_filename=str(site["ssh_key"]),
        allow_agent=False,
        look_for_keys=False,
        timeout=10,
    )
    return client


def test_the_command_runs_an_agent_that_survives_a_kill_of_the_demo_and_ends_with_its_stop(tmp_path: Path) -> None:
    where = tmp_path / "demo" / "site.json"
    console = SmallConsole()
    with console.serving(), contextlib.ExitStack() as ending:
        first = demo_process(tmp_path)
        ending.callback(lambda: [os.kill(pid, signal.SIGKILL) for pid in of_home(tmp_path)])
        ending.callback(first.kill)
        assert where.stat().st_mode & 0o777 == 0o600
        site = json.loads(where.read_text())
        with sign_in_to(site) as client:
            assert run(client, "cat > agent.pyz", build.artifact().path.read_bytes())[0] == 0
            order = f"printf join-token-one > token; python3 agent.pyz install --url {console.url} --token-file token"
            code, said, complaints = run(client, order)
            assert code == 0, complaints
            assert json.loads(said.splitlines()[-1])["ok"] is True
        console.wait(lambda: len(console.checkins()) > 0)
        os.kill(first.pid, signal.SIGKILL)
        first.wait(10)
        left = set(of_home(tmp_path))
        assert left

        second = demo_process(tmp_path)
        ending.callback(second.kill)
        assert json.loads(where.read_text()) == site
        count = len(console.checkins())
        console.wait(lambda: len(console.checkins()) > count + 1)
        now = set(of_home(tmp_path))
        assert now
        assert not now & left

        with sign_in_to(site) as client:
            run(client, "nohup setsid sleep 300 >/dev/null 2>&1 </dev/null &")
            run(client, "nohup setsid env -i sleep 301.5 >/dev/null 2>&1 </dev/null &")
        below = processes.below(second.pid)
        second.terminate()
        assert second.wait(20) == 0
        assert of_home(tmp_path) == []
        assert [pid for pid in below if processes.lives(pid)] == []
        assert not where.exists()


def test_a_second_demo_on_the_same_folder_and_rubbish_on_disk_are_refused_in_words(tmp_path: Path) -> None:
    first = Demo(tmp_path)
    with pytest.raises(CannotStart, match="Another simulated cloud already runs on .* Stop it"):
        Demo(tmp_path)
    (tmp_path / "demo" / "cloud.json").write_text("{")
    with pytest.raises(CannotStart, match="is not readable .* Delete it"):
        first.start()
    first.release()
    (tmp_path / "demo" / "cloud.json").unlink()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        again = Demo(tmp_path, taken.getsockname()[1])
        with pytest.raises(CannotStart, match="cannot listen on 127.0.0.1, ports .* another --port"):
            again.start()
        again.release()


def test_everything_that_is_written_stays_below_the_state_folder(tmp_path: Path) -> None:
    demo = Demo(tmp_path, servers=5)
    demo.start()
    try:
        with sign_in_to(demo.described()) as client:
            code, said, _ = run(client, "mktemp; cd && pwd")
        assert code == 0
        assert all(Path(line).is_relative_to(tmp_path.resolve()) for line in said.decode().split())
        assert [one.name for one in tmp_path.iterdir()] == ["demo"]
        changed = demo.cloud.add("new")
        kept = json.loads((tmp_path / "demo" / "cloud.json").read_text())
        assert changed.id in {one["id"] for one in kept["instances"]}
    finally:
        demo.stop()
