"""All that an agent does, under the Pythons of its range: joining by a token is with the packed program's tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from console.lib.signing import encode
from servers.agents.program import build, process, protocol
from tests.small_console import SmallConsole
from tests.test_agent_channels import UUID, Service, service, shown
from tests.test_agent_desk import PUBLIC, name, signed
from tests.test_agent_program import FOUND, RANGE, Host
from tests.test_agent_updates import good, heard_of, next_version, supervised

__all__ = ["service"]
ENDS = sorted({(3, 6), (3, 13), sys.version_info[:2]})  # the oldest, the newest, and the one that runs the tests
# Loads every module of the packed program.
IMPORTING = """
import importlib, sys
sys.path.insert(0, sys.argv[1])
for name in sys.argv[2:]:
    importlib.import_module(name)
"""


def python(version: tuple[int, int]) -> str:
    if version not in FOUND:
        pytest.skip(f"Python {version[0]}.{version[1]} is not installed here (pyenv install {version[0]}.{version[1]})")
    return FOUND[version]


@pytest.fixture
def console() -> Iterator[SmallConsole]:
    with SmallConsole().serving() as console:
        console.keys = [{"id": "k1", "key": encode(PUBLIC)}]
        yield console


@pytest.mark.parametrize("version", RANGE, ids=lambda v: f"{v[0]}.{v[1]}")
def test_every_module_loads_without_a_warning_under_each_python(version: tuple[int, int]) -> None:
    packed = str(build.artifact().path)
    with zipfile.ZipFile(packed) as archive:
        found = [entry.removesuffix(".py").replace("/", ".") for entry in archive.namelist() if "/" in entry]
    modules = [entry for entry in found if not entry.endswith("__init__")]
    assert {"muster_agent.update", "muster_agent.trial", "muster_agent.claim", "muster_agent.image"} <= set(modules)
    done = subprocess.run(
        [python(version), "-I", "-S", "-W", "error", "-c", IMPORTING, packed, *modules],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.full
@pytest.mark.parametrize("version", ENDS, ids=lambda v: f"{v[0]}.{v[1]}")
def test_a_machine_of_an_image_claims_works_is_updated_and_sealed_under_this_python(
    version: tuple[int, int], tmp_path: Path, console: SmallConsole, service: Service
) -> None:
    host = Host(tmp_path, python(version))
    settings = {"url": console.url, "channel": "c", "keys": console.keys, "metadata": service.address}
    (tmp_path / "image.json").write_text(json.dumps(settings))
    console.nonce = "n0nce-5"
    try:
        assert host.call("install", "--image", str(tmp_path / "image.json"))["started"]
        console.wait(lambda: "claims" in console.paths())
        assert process.until(lambda: os.path.exists(host.paths.motd), 10), "it waits, and tells its code"
        service.pages["/openstack/latest/meta_data.json"] = shown(console.nonce)  # its cloud came up late
        console.wait(lambda: bool(console.checkins()), 60)
        assert console.agents["agent-1"].instance_id == UUID and not os.path.exists(host.paths.motd)
        assert console.checkins()[0]["facts"]["instance_id"] == UUID

        item = signed("echo $((6 * 7))", agent="agent-1")
        console.tell(work=[item])
        console.wait(lambda: any(
            result["id"] == name(item) and result["state"] == protocol.DONE
            for body in console.checkins() for result in body.get("work", [])
        ), 60)  # fmt: skip
        assert [body["data"] for path, body, _ in console.heard if path == protocol.OUTPUT_PATH] == [encode(b"42\n")]

        host.call("halt")
        newer = next_version()
        with supervised(host):
            good(console, newer)
            assert heard_of(console, newer) == (newer, "done", "")

        host.call("boot")
        assert host.call("seal")["removed"] >= 3
        left = set(os.listdir(host.paths.state))
        assert left <= {"receipt.json", "install.lock"} and process.holders(host.paths) is None
        assert host.call("uninstall")["left"] == []
        assert host.files() == []
    finally:
        process.halt(host.paths)
