"""The guarded transport: what it dials, and which URLs it takes (SECURITY.md §5)."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from console.lib import dialling
from console.lib.faults import Refused, Unexpected, Unreachable
from console.lib.outbound import Transport, origin
from tests.loopback import LOOPBACK, answering, guarded, names, page, request_of, saying

# --- dialling


def test_a_reply_comes_whole_and_host_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []

    def handle(conn: socket.socket) -> None:
        seen.append(request_of(conn))
        conn.sendall(page(b'{"ok": true}'))

    names(monkeypatch, ["127.0.0.1"])
    with answering(handle) as port:
        session = guarded()
        response = session.get(f"http://cloud.example:{port}/v3")
    assert response.json() == {"ok": True}
    assert session.calls == 1
    assert f"Host: cloud.example:{port}".encode() in seen[0]


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "0x7f.1", "2130706433", "127.1", "[::1]", "[::ffff:127.0.0.1]", "①②⑦.⓪.⓪.①"]
)
def test_every_spelling_of_loopback_is_refused_without_an_approval(host: str) -> None:
    asked: list[bytes] = []
    with answering(lambda conn: asked.append(request_of(conn))) as port:
        session = Transport(allow_http=True).session()
        with pytest.raises((Refused, Unreachable, Unexpected)):
            session.get(f"http://{host}:{port}/")
    assert asked == []


def test_a_name_with_one_bad_record_is_refused_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch, ["127.0.0.1", "10.0.0.7"])
    with answering(saying(page(b"{}"))) as port, pytest.raises(Refused, match=r"10\.0\.0\.7.*private"):
        guarded().get(f"http://cloud.example:{port}/")


def test_a_name_is_looked_up_once_for_a_connection_so_rebinding_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = names(monkeypatch, ["127.0.0.1"], ["127.0.0.2"])
    with answering(saying(page(b"{}"))) as port:
        session = guarded()
        assert session.get(f"http://cloud.example:{port}/").status_code == 200
        assert asked == ["cloud.example"]
        with pytest.raises(Refused, match=r"127\.0\.0\.2"):
            session.get(f"http://cloud.example:{port}/")


def test_the_next_record_is_tried_when_the_first_does_not_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch, ["127.0.0.9", "127.0.0.1"])
    with answering(saying(page(b"{}"))) as port:
        session = Transport(["127.0.0.0/8"], allow_http=True).session()
        assert session.get(f"http://cloud.example:{port}/").status_code == 200


def test_a_port_where_nothing_listens_is_unreachable() -> None:
    with answering(saying(b"")) as port:
        pass
    with pytest.raises(Unreachable, match="nothing listens"):
        guarded().get(f"http://127.0.0.1:{port}/")


def test_a_name_without_an_address_is_unreachable() -> None:
    with pytest.raises(Unreachable, match="could not be looked up"):
        guarded().get("http://no-such-host.invalid/")


def test_a_resolver_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: release.wait(30) and [])
    monkeypatch.setattr(dialling, "CONNECT", 0.1)
    with pytest.raises(Unreachable, match="Looking up"):
        guarded().get("http://cloud.example/")
    release.set()


def test_dial_gives_ssh_a_checked_socket_and_refuses_the_rest() -> None:
    with answering(lambda conn: conn.sendall(b"SSH-2.0-x\r\n")) as port:
        with Transport(LOOPBACK).dial("127.0.0.1", port, timeout=7) as sock:
            assert sock.recv(64) == b"SSH-2.0-x\r\n"
            assert sock.gettimeout() == 7
            assert type(sock) is socket.socket
        with pytest.raises(Refused, match="this machine"):
            Transport().dial("127.0.0.1", port)


# --- what a URL may be


def test_plain_http_is_refused_unless_staff_allowed_it() -> None:
    with pytest.raises(Refused, match="not encrypted"):
        Transport(LOOPBACK).session().get("http://127.0.0.1:1/")


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1/"])
def test_only_http_is_spoken(url: str) -> None:
    with pytest.raises(Refused, match="not an HTTP address"):
        guarded().get(url)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_a_redirect_is_refused_with_its_target_and_never_followed(status: str) -> None:
    asked: list[bytes] = []

    def handle(conn: socket.socket) -> None:
        asked.append(request_of(conn))
        conn.sendall(page(b"", "Location: http://127.0.0.1:1/next", status=status))

    with answering(handle) as port, pytest.raises(Refused, match=r"redirects to http://127\.0\.0\.1:1/next"):
        guarded().get(f"http://127.0.0.1:{port}/", allow_redirects=True)
    assert len(asked) == 1


def test_proxies_and_netrc_of_the_environment_do_not_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[bytes] = []

    def handle(conn: socket.socket) -> None:
        seen.append(request_of(conn))
        conn.sendall(page(b"{}"))

    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    with answering(handle) as port:
        assert guarded().get(f"http://127.0.0.1:{port}/").status_code == 200
    assert b"Authorization" not in seen[0]


def test_a_pinned_session_talks_to_its_host_on_any_port_and_to_nobody_else() -> None:
    with answering(saying(page(b"{}"))) as port:
        transport = Transport(["127.0.0.0/8"], allow_http=True)
        session = transport.session("http://127.0.0.1:5000/v3")
        assert session.get(f"http://127.0.0.1:{port}/v2.1").status_code == 200
        with pytest.raises(Refused, match=r"127\.0\.0\.2.*only http://127\.0\.0\.1:5000 is registered"):
            session.get(f"http://127.0.0.2:{port}/v2.1")
        with pytest.raises(Refused):
            session.get(f"http://127.0.0.1@127.0.0.2:{port}/")


def test_origins_that_staff_registered_or_a_driver_named_are_open_to_a_pinned_session() -> None:
    with answering(saying(page(b"{}"))) as port:
        url = f"http://127.0.0.1:{port}/"
        registered = Transport(LOOPBACK, allow_http=True, origins=[url]).session("http://keystone.example/")
        assert registered.get(url).status_code == 200
        named = Transport(LOOPBACK, allow_http=True).session("http://keystone.example/")
        with pytest.raises(Refused):
            named.get(url)
        named.allow(url)
        assert named.get(url).status_code == 200


@pytest.mark.parametrize("url", ["", "cloud", "http://", "http://x:99999/", "mailto:a@b"])
def test_a_text_without_an_origin_is_unexpected(url: str) -> None:
    with pytest.raises(Unexpected):
        origin(url)


def test_origins_are_compared_in_lower_case_with_their_port() -> None:
    assert (
        origin("HTTPS://Cloud.Example./v3") == origin("https://cloud.example:443/x") == ("https", "cloud.example", 443)
    )


@pytest.mark.parametrize("kwargs", [{"networks": ["10.0.0.0/99"]}, {"ca": "no pem"}, {"origins": ["nothing"]}])
def test_a_registration_that_cannot_be_read_says_so(kwargs: dict[str, Any]) -> None:
    with pytest.raises(Unexpected):
        Transport(**kwargs)
