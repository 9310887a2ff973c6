"""How a machine reads what its cloud shows to it alone: ids and nonces, and rubbish in their place."""

from __future__ import annotations

import http.server
import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servers.agents.program import base64url, channels, files, identity, machine, protocol, word
from servers.agents.program.agent import Agent
from servers.agents.program.channels import CloudStack, OpenStack, VCloud
from servers.agents.program.claim import Claim
from servers.agents.program.client import Console
from servers.agents.program.clock import Clock
from servers.agents.program.log import Log
from servers.agents.program.paths import Paths
from tests.small_console import SmallConsole
from tests.test_agent_parts import laid


class Service(http.server.ThreadingHTTPServer):
    """A metadata service on loopback: `pages` by path, bytes or a status."""

    def __init__(self) -> None:
        self.pages: dict[str, bytes | int] = {}
        super().__init__(("127.0.0.1", 0), _Answers)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class _Answers(http.server.BaseHTTPRequestHandler):
    server: Service

    def do_GET(self) -> None:
        page = self.server.pages.get(self.path, 404)
        self.send_response(page if isinstance(page, int) else 200)
        self.end_headers()
        self.wfile.write(b"" if isinstance(page, int) else page)

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""


@pytest.fixture
def service() -> Iterator[Service]:
    with Service() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_openstack_tells_the_instance_and_the_nonce(service: Service, tmp_path: Path) -> None:
    page = {"uuid": "8a47d7fd-c7c2-4c1a-a8a2-41b5f6f0a4f5", "meta": {"role": "web", protocol.CHALLENGE: "n0nce-1"}}
    service.pages["/openstack/latest/meta_data.json"] = json.dumps(page).encode()
    here = OpenStack(str(tmp_path), service.address)
    assert (here.instance_id(), here.nonce()) == ("8a47d7fd-c7c2-4c1a-a8a2-41b5f6f0a4f5", "n0nce-1")
    service.pages["/openstack/latest/meta_data.json"] = json.dumps({"uuid": "x", "meta": {}}).encode()
    assert (here.instance_id(), here.nonce()) == ("x", None)


def test_cloudstack_tells_the_instance_and_the_newest_line_of_its_user_data(service: Service, tmp_path: Path) -> None:
    line = protocol.CHALLENGE_LINE
    service.pages["/latest/meta-data/instance-id"] = b"i-2-17-VM\n"
    service.pages["/latest/user-data"] = f"#!/bin/sh\necho {line}\n{line}old\n{line}n0nce-2\n".encode()
    here = CloudStack(str(tmp_path), service.address)
    assert (here.instance_id(), here.nonce()) == ("i-2-17-VM", "n0nce-2")
    service.pages = {"/latest/instance-id": b"42", "/latest/user-data": b"\xff\xfe not text"}
    assert (here.instance_id(), here.nonce()) == ("42", None)


def test_vcloud_tells_the_nonce_by_the_tools_of_the_guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "vmtoolsd"
    tool.write_text(f'#!/bin/sh\n[ "$*" = "--cmd info-get {protocol.CHALLENGE_PROPERTY}" ] && echo n0nce-3\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert VCloud(str(tmp_path)).nonce() == "n0nce-3"
    tool.write_text("#!/bin/sh\nexit 1\n")
    assert VCloud(str(tmp_path)).nonce() is None


RUBBISH: list[bytes | int] = [
    403, 500, b"", b"[]", b"{", b'{"uuid": 3, "meta": "x"}', b"[" * 100_000, b"x" * 2_000_000,
    b'{"uuid": "two words", "meta": {"muster-claim": "\\u0000"}}',
]  # fmt: skip


@pytest.mark.parametrize("page", RUBBISH)
def test_rubbish_of_a_service_is_no_id_and_no_nonce(service: Service, tmp_path: Path, page: bytes | int) -> None:
    service.pages["/openstack/latest/meta_data.json"] = page
    assert OpenStack(str(tmp_path), service.address).instance_id() is None
    assert OpenStack(str(tmp_path), service.address).nonce() is None


def test_a_service_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "PATIENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        assert OpenStack(str(tmp_path), f"127.0.0.1:{deaf.getsockname()[1]}").instance_id() is None
    assert OpenStack(str(tmp_path), "no host").nonce() is None


def test_the_platform_is_the_one_that_answers(service: Service, tmp_path: Path) -> None:
    service.pages["/latest/meta-data/instance-id"] = b"i-2-17-VM"
    platform, found = channels.channel(str(tmp_path), None, service.address)
    assert platform == "cloudstack" and isinstance(found, CloudStack)
    service.pages.clear()
    assert channels.channel(str(tmp_path), None, service.address) == ("", None)
    assert channels.channel(str(tmp_path), "vcloud")[0] == "vcloud"


def test_virtual_routers_are_found_in_leases_of_every_client(tmp_path: Path) -> None:
    for folder, name, text in (
        ("run/systemd/netif/leases", "2", "ADDRESS=10.1.1.9\nSERVER_ADDRESS=10.1.1.1\n"),
        ("var/lib/dhcp", "dhclient.eth0.leases", "lease {\n  option dhcp-server-identifier 10.1.2.1;\n}\n"),
        ("var/lib/NetworkManager", "x.lease", "dhcp_server_identifier=10.1.3.1\noption x y\nSERVER_ADDRESS=no\n"),
    ):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / name).write_text(text)
    assert sorted(channels.dhcp_servers(str(tmp_path))) == ["10.1.1.1", "10.1.2.1", "10.1.3.1"]


def test_the_gateway_is_read_from_the_kernels_table() -> None:
    address = int.from_bytes(socket.inet_aton("10.0.0.1"), "little" if sys.byteorder == "little" else "big")
    table = f"Iface Destination Gateway Flags\neth0 00000000 {address:08X} 0003\neth0 0000000A 00000000 0001\n"
    assert channels.gateways(table) == ["10.0.0.1"]


@given(st.text())
def test_a_table_that_is_none_has_no_gateway(text: str) -> None:
    assert all(isinstance(one, str) for one in channels.gateways("head\n" + text))


# --- who asks them ---------------------------------------------------------------------------------------------------

UUID = "8a47d7fd-c7c2-4c1a-a8a2-41b5f6f0a4f5"


def shown(nonce: str = "") -> bytes:
    return json.dumps({"uuid": UUID, "meta": {protocol.CHALLENGE: nonce} if nonce else {}}).encode()


@pytest.mark.parametrize("named", [{}, {"platform": "openstack"}], ids=["nobody tells", "the image tells"])
def test_a_machine_that_comes_up_before_its_cloud_answers_looks_again(
    service: Service, tmp_path: Path, named: dict[str, str]
) -> None:
    moment = [1000.0]
    paths, clock = Paths(str(tmp_path)), Clock(lambda: moment[0], lambda: 1_700_000_000.0)
    with SmallConsole().serving() as console:
        console.rule = lambda path, body: (202, {"retry": 5})
        who = identity.made(console.url, paths.prefix)
        settings = {"channel": "c", "metadata": service.address, **named}
        claim = Claim(paths, Console(console.url), who, settings, Log(str(tmp_path / "log")))
        claim.round(clock)
        path, first, _ = console.heard[0]
        assert (path, first["platform"]) == (protocol.CLAIM_PATH, named.get("platform", ""))

        service.pages["/openstack/latest/meta_data.json"] = shown("n0nce-4")
        moment[0] += 6
        claim.round(clock)
        claim._console.close()
    (again,) = [body for path, body, _ in console.heard[1:] if path == protocol.CLAIM_PATH]
    assert (again["platform"], again["instance_id"]) == ("openstack", UUID)
    (proof,) = [body for path, body, _ in console.heard if path == protocol.PROOF_PATH and "proof" in body]
    assert proof["instance_id"] == UUID and base64url.decode(proof["proof"])


def joined(console: SmallConsole, tmp_path: Path, service: Service, **names: str) -> dict[str, Any]:
    """The facts of an agent's first check-in, after it joined by a token on a machine with these names."""
    paths = Paths(laid(tmp_path / "host", **names))
    for path in (paths.config, paths.identity, paths.pid, paths.log):
        files.folder(os.path.dirname(path))
    settings = {"url": console.url, "token": "join-token-one", "metadata": service.address}
    files.write_json(paths.config, settings)
    agent = Agent(paths, Log(paths.log), lambda: 0.5)
    while not console.checkins():
        assert agent.step() is None
    agent.close()
    enrolled, first = console.heard[0][1]["facts"], console.checkins()[0]["facts"]
    assert enrolled["instance_id"] == first["instance_id"]
    assert "instance" not in (files.read_json(paths.config) or {})
    return dict(first, session=console.agents["agent-1"].instance_id)


def test_who_joins_by_a_token_is_called_as_its_cloud_calls_it(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "is_container", lambda: False)
    service.pages["/openstack/latest/meta_data.json"] = shown()
    with SmallConsole().serving() as console:
        facts = joined(console, tmp_path, service, vendor="OpenStack Foundation", cloud="i-00000042", dmi="d" * 8)
    assert (facts["instance_id"], facts["session"], facts["platform"]) == (UUID, UUID, "openstack")


def test_where_its_cloud_does_not_answer_the_machine_says_what_it_knows(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "is_container", lambda: False)
    with SmallConsole().serving() as console:
        facts = joined(console, tmp_path, service, vendor="OpenStack Foundation", cloud="i-00000042")
    assert (facts["instance_id"], facts["session"]) == ("i-00000042", "i-00000042")


def test_a_lost_answer_to_an_enrolment_does_not_change_what_a_machine_is_called(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "is_container", lambda: False)
    service.pages["/openstack/latest/meta_data.json"] = shown()
    lost: list[str] = []

    def lose_one(path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
        if path == protocol.ENROL_PATH and not lost:
            lost.append(body["facts"]["instance_id"])
            service.pages.clear()  # and the cloud's service is gone by then
            return 503, {}
        return None

    with SmallConsole().serving() as console:
        console.rule = lose_one
        facts = joined(console, tmp_path, service, vendor="OpenStack Foundation", cloud="i-00000042")
    assert lost == [UUID] == [facts["session"]]


def test_a_container_does_not_take_its_hosts_name(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "is_container", lambda: True)
    service.pages["/openstack/latest/meta_data.json"] = shown()
    paths = Paths(laid(tmp_path, vendor="OpenStack Foundation"))
    assert word.had(paths, {"metadata": service.address}) is None
    assert word.had(paths, {"metadata": service.address, "platform": "openstack"}) == UUID
