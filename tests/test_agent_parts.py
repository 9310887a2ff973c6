"""The agent's parts: parsers that take anything, pauses, facts, and a disk that says no."""

from __future__ import annotations

import ipaddress
import json
import os
import socket
import struct
import subprocess
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servers.agents import reports
from servers.agents.program import (
    facts,
    hostcommand,
    inits,
    machine,
    metrics,
    netlink,
    process,
    procfs,
    protocol,
    software,
    systemd,
)
from servers.agents.program.log import Log
from servers.agents.program.paths import Paths
from servers.agents.program.refusal import Refusal
from tests.processes import wait

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
    told, sample = facts.gather(), metrics.Meter().read()
    assert len(json.dumps([told, sample])) < protocol.MAX_BODY
    assert reports.facts(told) == told
    kept = reports.metrics(sample)
    assert kept == {name: sample[name] for name in kept}
    assert [nic["name"] for nic in sample["nics"]] == [nic["name"] for nic in told["nics"]]
    listed = {a for addresses in netlink.addresses().values() for a in addresses}
    assert "127.0.0.1/8" in listed


def test_the_log_turns_over_and_keeps_to_its_size(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "agent.log"), limit=1000)
    for number in range(100):
        log.say(f"line {number}\nforged")
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert set(sizes) == {"agent.log", "agent.log.1"} and max(sizes.values()) <= 1000
    assert "line 99 forged" in (tmp_path / "agent.log").read_text()


# --- services --------------------------------------------------------------------------------------------------------


def test_systemd_accepts_the_unit(tmp_path: Path) -> None:
    unit = systemd.unit(Paths("/"))
    assert "/opt/muster-agent/launcher.pyz supervise" in unit
    try:
        subprocess.run(["systemd-analyze", "--version"], capture_output=True, check=True)
    except FileNotFoundError:
        pytest.skip("systemd-analyze is not installed (Debian package systemd)")
    path = tmp_path / "muster-agent.service"
    (tmp_path / "launcher.pyz").write_text("")
    path.write_text(unit.replace("/opt/muster-agent", str(tmp_path)))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if "muster-agent.service" in line]
    assert complaints == []


@pytest.mark.parametrize("kind", [inits.OPENRC, inits.SYSVINIT])
def test_a_shell_accepts_the_init_scripts(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "script"
    path.write_text(inits.script(Paths("/"), kind))
    subprocess.run(["/bin/sh", "-n", path], check=True)


def test_a_failing_systemctl_is_quoted() -> None:
    with pytest.raises(Refusal, match="'false' failed"):
        hostcommand.call("false")
    with pytest.raises(Refusal, match="could not be run"):
        hostcommand.call("no-such-command-here")
    assert hostcommand.said(["no-such-command-here"], 1.0) is None
    assert hostcommand.said(["false"], 1.0) is None


# --- software and machine --------------------------------------------------------------------------------------------


def test_packages_are_counted_again_only_when_the_database_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "status"
    monkeypatch.setattr(software, "DPKG", str(path))
    entry = "Package: p{}\nStatus: {} ok {}\n\n"
    path.write_text(entry.format(1, "install", "installed") + entry.format(2, "deinstall", "config-files"))
    assert software.packages() == 1
    monkeypatch.setattr(software, "dpkg", lambda path: pytest.fail("read again"))
    assert software.packages() == 1
    monkeypatch.undo()
    monkeypatch.setattr(software, "DPKG", str(path))
    path.write_text(path.read_text() + entry.format(3, "hold", "installed"))
    assert software.packages() == 2


def test_packages_of_alpine_and_of_rpm_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "installed").write_text("P:musl\nV:1\n\nP:busybox\nV:2\n")
    assert software.apk(str(tmp_path / "installed")) == 2
    rpm = tmp_path / "rpm"
    rpm.write_text("#!/bin/sh\necho; echo; echo\n")
    rpm.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert software.rpm("any") == 3
    rpm.write_text("#!/bin/sh\nexit 1\n")
    assert software.rpm("any") is None


@pytest.mark.parametrize(
    ("running", "others", "due"),
    [
        ("5.10.0-9-amd64", ["5.10.0-21-amd64"], True),
        ("5.10.0-21-amd64", ["5.10.0-9-amd64"], False),
        ("4.18.0-553.el8_10.x86_64", ["4.18.0-553.5.1.el8_10.x86_64"], True),
        ("4.18.0-553.5.1.el8_10.x86_64", ["4.18.0-553.el8_10.x86_64", "0-rescue-abc"], False),
        ("5.15.0-91-generic", ["6.5.0-14-lowlatency"], False),
        ("6.12.41+deb13-amd64", ["6.12.43+deb13-amd64"], True),
    ],
)
def test_a_newer_kernel_of_the_same_kind_calls_for_a_reboot(
    running: str, others: list[str], due: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(software, "KERNELS", str(tmp_path))
    monkeypatch.setattr(software, "FLAGS", (str(tmp_path / "flag"),))
    assert software.reboot_needed(running) is None
    for kernel in [running, *others]:
        (tmp_path / f"vmlinuz-{kernel}").write_text("")
    assert software.reboot_needed(running) is due
    (tmp_path / "flag").write_text("")
    assert software.reboot_needed(running) is True


@given(st.text(max_size=20), st.lists(st.text(max_size=20)))
def test_no_kernel_name_breaks_the_comparison(running: str, kernels: list[str]) -> None:
    software.newer(kernels, running)


def laid(root: Path, **names: str) -> str:
    """A machine below this folder, with these names: cloud, dmi, source, vendor, product."""
    places = {
        "cloud": "var/lib/cloud/data/instance-id", "dmi": "sys/class/dmi/id/product_uuid",
        "source": "run/cloud-init/cloud-id", "vendor": "sys/class/dmi/id/sys_vendor",
        "product": "sys/class/dmi/id/product_name",
    }  # fmt: skip
    for name, text in names.items():
        (root / places[name]).parent.mkdir(parents=True, exist_ok=True)
        (root / places[name]).write_text(text + "\n")
    return str(root)


def test_a_machine_is_named_by_its_cloud_or_its_hypervisor(tmp_path: Path) -> None:
    root = laid(tmp_path, dmi="E3D5A1B2-0000-4000-8000-000000000001")
    assert machine.name(machine.instance(root)) == "e3d5a1b2-0000-4000-8000-000000000001"
    laid(tmp_path, cloud="i-1234")
    assert machine.name(machine.instance(root)) == "i-1234"
    laid(tmp_path, cloud="nocloud", dmi="00000000-0000-0000-0000-000000000000")
    assert machine.name(machine.instance(root)) is None


UUIDS = "e3d5a1b2-c3d4-4e5f-8000-000000000001", "99999999-c3d4-4e5f-8000-000000000002"
TURNED = "b2a1d5e3-d4c3-5f4e-8000-000000000001"


@pytest.mark.parametrize(
    ("then", "now", "same"),
    [
        ((None, None), (None, None), True),
        (("a", None), (None, UUIDS[0]), True),  # nothing to compare
        (("a", UUIDS[0]), ("b", UUIDS[0]), True),  # cloud-init was told anew
        (("a", UUIDS[0]), ("a", UUIDS[1]), False),  # a copied disk, before cloud-init ran
        (("a", None), ("b", None), False),
        ((None, UUIDS[0]), (None, TURNED), True),  # the virtual hardware was upgraded
    ],
)
def test_a_copy_is_told_from_the_machine_it_was_copied_from(then: tuple, now: tuple, same: bool) -> None:
    one, other = ({"cloud": cloud, "dmi": dmi} for cloud, dmi in (then, now))
    assert machine.is_same(one, other) is machine.is_same(other, one) is same


@pytest.mark.parametrize(
    ("names", "platform"),
    [
        ({"source": "openstack"}, "openstack"),
        ({"source": "configdrive"}, "openstack"),
        ({"vendor": "OpenStack Foundation", "product": "OpenStack Nova"}, "openstack"),
        ({"vendor": "Apache Software Foundation", "product": "CloudStack KVM Hypervisor"}, "cloudstack"),
        ({"vendor": "QEMU", "product": "Standard PC"}, None),
        ({"vendor": "VMware, Inc.", "product": "VMware7,1"}, "vcloud"),
    ],
)
def test_the_platform_is_told_by_cloud_init_or_the_virtual_hardware(
    names: dict, platform: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "bin" / "vmtoolsd"
    tools.parent.mkdir()
    tools.write_text("#!/bin/sh\n[ \"$2\" = 'info-get guestinfo.ovfEnv' ] && echo '<Property key=\"vCloud_x\"/>'\n")
    tools.chmod(0o755)
    monkeypatch.setenv("PATH", str(tools.parent))
    machine.in_vcloud.cache_clear()
    assert machine.platform(laid(tmp_path, **names)) == platform
    machine.in_vcloud.cache_clear()


@given(st.tuples(st.integers() | st.none(), st.integers() | st.none()), st.floats(allow_nan=False))
def test_a_rate_is_never_negative(counters: tuple, seconds: float) -> None:
    found = metrics.rate(counters[0], counters[1], seconds)
    assert found is None or found >= 0


def test_an_install_waits_for_the_uninstall_that_is_at_work_and_then_has_a_lock_of_its_own(tmp_path: Path) -> None:
    paths, told = Paths(str(tmp_path)), []

    def install() -> None:
        with process.changing(paths, 60):
            with pytest.raises(Refusal, match="at work here"), process.changing(paths):
                raise AssertionError("two at once")
            told.append(Path(paths.lock).exists())

    with process.changing(paths):
        waits = threading.Thread(target=install)
        waits.start()
        wait(lambda: descriptors_of(paths.lock) == 2)
        Path(paths.lock).unlink()
        Path(paths.state).rmdir()
    waits.join(60)
    assert told == [True]


def descriptors_of(path: str) -> int:
    """How often this process has the file open."""
    links = [Path("/proc/self/fd", number) for number in os.listdir("/proc/self/fd")]
    return sum(link.exists() and link.samefile(path) for link in links)
