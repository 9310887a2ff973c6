"""The agent's parts: parsers that take anything, pauses, facts, and a disk that says no."""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servers.agents import reports
from servers.agents.program import facts, files, metrics, netlink, procfs, protocol, systemd
from servers.agents.program.client import Console
from servers.agents.program.log import Log
from servers.agents.program.paths import Paths
from servers.agents.program.refusal import Refusal
from servers.agents.program.run import Agent
from tests.small_console import SmallConsole, refused


@pytest.fixture
def console() -> Iterator[SmallConsole]:
    with SmallConsole().serving() as console:
        yield console


# --- parsers ---------------------------------------------------------------------------------------------------------


@given(st.text())
def test_no_text_breaks_a_parser(text: str) -> None:
    for parse in (
        procfs.os_release, procfs.meminfo, procfs.cpu_times, procfs.loads, procfs.uptime, procfs.mounts, procfs.cut,
        procfs.number, facts.booted_at,
    ):  # fmt: skip
        parse(text)


@given(st.dictionaries(st.from_regex(r"\A[A-Z][A-Za-z_()]{0,20}\Z"), st.integers(0, 2**50)))
def test_meminfo_comes_back_in_bytes(sizes: dict[str, int]) -> None:
    text = "".join(f"{name}:  {size:8} kB\n" for name, size in sizes.items()) + "HugePages_Total:  0\nbroken\n"
    assert procfs.meminfo(text) == {name: size * 1024 for name, size in sizes.items()}


@given(st.dictionaries(st.from_regex(r"\A[A-Z_]{1,12}\Z"), st.text(st.characters(exclude_categories=["C", "Z"]))))
def test_os_release_comes_back_as_it_was_quoted(values: dict[str, str]) -> None:
    def quoted(value: str) -> str:
        for mark in '\\"$`':
            value = value.replace(mark, "\\" + mark)
        return f'"{value}"'

    text = "# a comment\n" + "".join(f"{name}={quoted(value)}\n" for name, value in values.items())
    assert {k: v.replace("\\", "") for k, v in procfs.os_release(text).items()} == {
        k: v.replace("\\", "") for k, v in values.items()
    }


@given(st.lists(st.integers(0, 10**12), min_size=4, max_size=10))
def test_cpu_times_never_exceed_their_total(ticks: list[int]) -> None:
    busy, total = procfs.cpu_times("cpu  " + " ".join(map(str, ticks)) + "\ncpu0 1 2 3 4") or (1, 0)
    assert 0 <= busy <= total == sum(ticks[:8])


@given(st.tuples(st.integers(), st.integers()) | st.none(), st.tuples(st.integers(), st.integers()) | st.none())
def test_cpu_percent_is_a_percentage_whatever_the_counters_do(before: tuple | None, now: tuple | None) -> None:
    share = metrics.percent(before, now)
    assert share is None or 0 <= share <= 100


def test_mounts_are_local_ones_once_each_and_the_root_always() -> None:
    text = (
        "overlay / overlay rw 0 0\nproc /proc proc rw 0 0\n/dev/vdb /data\\040disk ext4 rw 0 0\n"
        "/dev/vdb /again ext4 rw 0 0\nfiler:/x /nfs nfs4 rw 0 0\n/dev/loop1 /snap squashfs ro 0 0\nshort\n"
    )
    assert [(m.point, m.filesystem) for m in procfs.mounts(text)] == [("/", "overlay"), ("/data disk", "ext4")]


def test_an_old_kernel_without_available_memory_counts_caches_as_free() -> None:
    found = procfs.meminfo("MemTotal: 100 kB\nMemFree: 10 kB\nBuffers: 5 kB\nCached: 25 kB\n")
    assert metrics.memory(found)["memory_used_bytes"] == 60 * 1024


@given(st.binary(max_size=300))
def test_no_datagram_breaks_the_netlink_parser(data: bytes) -> None:
    netlink.parse(data)


@given(st.lists(st.tuples(st.integers(1, 9), st.ip_addresses(), st.integers(0, 32)), max_size=8))
def test_addresses_come_back_from_a_netlink_dump(given_addresses: list) -> None:
    data = b""
    for index, address, prefix in given_addresses:
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        attribute = struct.pack("=HH", 4 + len(address.packed), netlink.ADDRESS) + address.packed
        body = struct.pack("=BBBBI", family, prefix, 0, 0, index) + attribute
        data += struct.pack("=IHHII", 16 + len(body), netlink.NEW_ADDRESS, 2, 1, 0) + body
    found, done = netlink.parse(data + struct.pack("=IHHII", 20, netlink.DONE, 2, 1, 0) + b"\0" * 4)
    assert done and [(i, ipaddress.ip_interface(a)) for i, a in found] == [
        (i, ipaddress.ip_interface(f"{a}/{p}")) for i, a, p in given_addresses
    ]


def test_what_this_host_tells_fits_the_console_and_the_wire() -> None:
    told = {"version": protocol.VERSION, "facts": facts.gather(), "metrics": metrics.Meter().read()}
    assert len(json.dumps(told)) < protocol.MAX_BODY
    assert reports.facts(told["facts"]) == told["facts"]
    assert reports.metrics(told["metrics"]) == told["metrics"]
    listed = {a for addresses in netlink.addresses().values() for a in addresses}
    assert "127.0.0.1/8" in listed


# --- running ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def paths(tmp_path: Path, console: SmallConsole) -> Paths:
    paths = Paths(str(tmp_path / "host"))
    for path in (paths.config, paths.identity, paths.pid, paths.log):
        files.folder(os.path.dirname(path))
    files.write_json(paths.config, {"url": console.url, "token": "join-token-one", "attempt": "a"})
    return paths


def test_an_agent_that_cannot_save_its_identity_reports_all_the_same(paths: Paths, console: SmallConsole) -> None:
    agent = Agent(paths, Log(paths.log))
    os.mkdir(paths.identity)  # nothing can be renamed onto a directory
    assert [agent.step() for _ in range(3)] == [None] * 3
    assert len(console.heartbeats()) == 2
    assert "token" in (files.read_json(paths.config) or {})  # so that a restart enrols again, to the same end
    os.rmdir(paths.identity)
    agent.step()
    assert (files.read_json(paths.identity) or {})["agent_id"] == "agent-1"
    assert "token" not in (files.read_json(paths.config) or {})


def test_an_agent_killed_before_it_saved_its_identity_becomes_it_again(paths: Paths, console: SmallConsole) -> None:
    Console(console.url).post(protocol.ENROL_PATH, {"token": "join-token-one", "attempt": "a"})
    agent = Agent(paths, Log("/dev/full"))  # a full disk under the log stops nothing
    agent.step()
    agent.step()
    assert list(console.agents.values()) == ["agent-1"] and len(console.heartbeats()) == 1


def test_pauses_grow_with_full_jitter_and_heed_the_console(paths: Paths, console: SmallConsole) -> None:
    console.rule = lambda path, body: (503, {"error": {"code": "x", "message": "m"}})
    agent = Agent(paths, Log(paths.log), chance=lambda: 1.0)
    pauses = []
    for _ in range(10):
        agent.step()
        pauses.append(agent.pause)
    assert pauses == [2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 300.0, 300.0]
    console.rule = lambda path, body: (429, {"error": {}, "headers": {"Retry-After": "900"}})
    agent.step()
    assert agent.pause == 900.0


@pytest.mark.parametrize(("wanted", "taken"), [(5, 5.0), (0, 1.0), (10**9, 3600.0), ("soon", 30.0), (None, 30.0)])
def test_the_console_sets_the_interval_within_bounds(
    paths: Paths, console: SmallConsole, wanted: object, taken: float
) -> None:
    console.rule = lambda path, body: (200, {"interval": wanted, "agent_id": "a", "agent_token": "t"})
    agent = Agent(paths, Log(paths.log), chance=lambda: 0.5)
    agent.step()
    agent.step()
    assert agent.pause == taken


def test_facts_are_sent_again_only_when_they_changed(
    paths: Paths, console: SmallConsole, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = Agent(paths, Log(paths.log))
    for _ in range(3):
        agent.step()
    monkeypatch.setattr(facts, "gather", lambda: {"hostname": "renamed"})
    agent.step()
    agent.step()
    assert [body.get("facts") for body in console.heartbeats()] == [None, None, {"hostname": "renamed"}, None]


def test_an_identity_of_another_console_is_not_shown_to_this_one(paths: Paths, console: SmallConsole) -> None:
    files.write_json(paths.identity, {"url": "https://other", "agent_id": "x", "agent_token": "secret"})
    files.write_json(paths.config, {"url": console.url})
    assert Agent(paths, Log(paths.log)).step() == 3
    assert console.heard == []


def test_a_refused_token_leaves_an_agent_that_was_enrolled_before(paths: Paths, console: SmallConsole) -> None:
    console.agents["secret"] = "agent-1"
    files.write_json(paths.identity, {"url": console.url, "agent_id": "agent-1", "agent_token": "secret"})
    console.rule = lambda path, body: refused(401, protocol.UNKNOWN_TOKEN) if path == protocol.ENROL_PATH else None
    agent = Agent(paths, Log(paths.log))
    assert agent.step() is None and agent.step() is None
    assert len(console.heartbeats()) == 1


def test_damaged_settings_are_named(paths: Paths) -> None:
    Path(paths.config).write_text("{")
    with pytest.raises(Refusal, match="absent or damaged"):
        Agent(paths, Log(paths.log))


def test_the_log_turns_over_and_keeps_to_its_size(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "agent.log"), limit=1000)
    for number in range(100):
        log.say(f"line {number}\nforged")
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert set(sizes) == {"agent.log", "agent.log.1"} and max(sizes.values()) <= 1000
    assert "line 99 forged" in (tmp_path / "agent.log").read_text()


# --- systemd ---------------------------------------------------------------------------------------------------------


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    unit = systemd.unit(Paths("/"))
    assert "/opt/muster-agent/current/muster-agent.pyz run" in unit
    try:
        subprocess.run(["systemd-analyze", "--version"], capture_output=True, check=True)
    except FileNotFoundError:
        pytest.skip("systemd-analyze is not installed (Debian package systemd)")
    path = tmp_path / "muster-agent.service"
    path.write_text(unit.replace("ReadWriteDirectories", "ReadWritePaths"))  # the old name, kept for old systemd
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if "muster-agent.service" in line]
    assert complaints == []


def test_a_failing_systemctl_is_quoted() -> None:
    with pytest.raises(Refusal, match="'false' failed"):
        systemd.call("false")
    with pytest.raises(Refusal, match="could not be run"):
        systemd.call("no-such-command-here")
