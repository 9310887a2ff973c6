"""The agent's wire: answers that are none, proxies, and certificates."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from pathlib import Path

import pytest

from servers.agents.program import client, install
from servers.agents.program.client import Console, Unreached
from tests.certificates import self_signed


def ask(console: Console) -> client.Answer:
    try:
        return console.post("/x", b"{}", {})
    finally:
        console.close()


@pytest.mark.parametrize(
    "reply",
    [
        b"", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n[1]", b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 999999 X\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n" + b" " * 90000, b"HTTP/1.1 200 OK\r\n\r\n" + b"[" * 60000,
        b"HTTP/1.1 407 Sign in\r\n\r\n<html>",
    ],
)  # fmt: skip
def test_an_answer_that_is_not_the_consoles_is_told_in_words(reply: bytes) -> None:
    with answering(reply) as port, pytest.raises(Unreached) as words:
        ask(Console(f"http://127.0.0.1:{port}"))
    assert str(words.value).endswith(".")


def test_a_far_side_that_sends_a_byte_at_a_time_is_left() -> None:
    over = threading.Event()
    with answering(b"H" * 10000, over, pause=0.02) as port:
        with pytest.raises(Unreached, match="did not answer in time"):
            ask(Console(f"http://127.0.0.1:{port}", total=0.3))
        over.set()


def test_nobody_there_and_no_such_name_are_told_apart() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(Unreached, match="refused the connection"):
        ask(Console(f"http://127.0.0.1:{port}"))
    with pytest.raises(Unreached, match="could not be resolved"):
        ask(Console("https://no-such-host.invalid"))


class answering:
    """One connection that gets these bytes, a few at a time when asked to; then it is closed."""

    def __init__(self, reply: bytes, over: threading.Event | None = None, pause: float = 0.0) -> None:
        self.reply, self.over, self.pause = reply, over or threading.Event(), pause

    def __enter__(self) -> int:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()
        return int(self.server.getsockname()[1])

    def _serve(self) -> None:
        connection, _ = self.server.accept()
        with connection:
            connection.recv(65536)
            step = 1 if self.pause else len(self.reply) or 1
            try:
                for at in range(0, len(self.reply), step):
                    connection.sendall(self.reply[at : at + step])
                    if self.pause and self.over.wait(self.pause):
                        return
            except OSError:
                return  # it hung up first, as it should

    def __exit__(self, *_: object) -> None:
        self.server.close()
        self.thread.join()


class Proxy(BaseHTTPRequestHandler):
    """Records what it is asked and passes CONNECT through."""

    asked: list[tuple[str, str, str]]

    def do_CONNECT(self) -> None:
        self.asked.append((self.command, self.path, self.headers.get("Proxy-Authorization", "")))
        host, _, port = self.path.rpartition(":")
        with socket.create_connection((host, int(port)), 5) as far:
            self.send_response(200)
            self.end_headers()
            back = threading.Thread(target=pipe, args=(far, self.connection))
            back.start()
            pipe(self.connection, far)
            back.join()
        self.close_connection = True

    def do_POST(self) -> None:
        self.asked.append((self.command, self.path, self.headers.get("Proxy-Authorization", "")))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


def pipe(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


@pytest.fixture
def proxy() -> Iterator[HTTPServer]:
    Proxy.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return self_signed(tmp_path_factory.mktemp("tls") / "cert.pem")


@pytest.fixture
def secure(certificate: Path) -> Iterator[str]:
    """An HTTPS server of that certificate that answers {}; its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    Proxy.asked = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that distrusts us hangs up
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"https://localhost:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_console_of_a_private_authority_is_trusted_only_when_told(secure: str, certificate: Path) -> None:
    with pytest.raises(Unreached, match=r"could not be verified \(self.signed certificate\)"):
        ask(Console(secure))
    ca = install.read_ca(str(certificate))
    assert ask(Console(secure, ca)).status == 200
    with pytest.raises(Unreached, match="could not be verified"):
        ask(Console(secure.replace("localhost", "127.0.0.1"), ca))


def test_https_goes_through_a_proxy_that_asks_for_a_password(secure: str, certificate: Path, proxy: HTTPServer) -> None:
    through = f"http://me:s%40crt@127.0.0.1:{proxy.server_port}"
    assert ask(Console(secure, certificate.read_text(), through)).status == 200
    assert Proxy.asked[0] == ("CONNECT", secure.removeprefix("https://"), "Basic bWU6c0BjcnQ=")
    assert Proxy.asked[1] == ("POST", "/x", "")  # the console never sees the proxy's password


def test_http_goes_through_a_proxy_by_its_whole_address(proxy: HTTPServer) -> None:
    ask(Console("http://console.example:8080/base", None, f"http://127.0.0.1:{proxy.server_port}"))
    assert Proxy.asked == [("POST", "http://console.example:8080/base/x", "")]


def test_the_proxy_of_the_environment_is_taken_unless_it_is_bypassed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "internal.example")
    assert install.proxy_of_environment("https://console.example") == "http://proxy.example:3128"
    assert install.proxy_of_environment("https://console.internal.example") is None
    assert install.proxy_of_environment("https://localhost") is None


@pytest.mark.parametrize("url", ["https://a", "https://a:8443/base/", "http://127.0.0.1:8000", "https://[::1]:8443"])
def test_good_urls_pass(url: str) -> None:
    assert client.check_url(url, allow_http=False) == url.rstrip("/")
