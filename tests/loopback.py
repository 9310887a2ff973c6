"""Far sides on loopback, down to the bytes: one handler per connection."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from typing import Any

import pytest

from console.lib import addresses
from console.lib.outbound import Session, Transport

LOOPBACK = ["127.0.0.1/32"]
OURS: frozenset[addresses.Address] = frozenset({ip_address("8.8.4.4")})
Handler = Callable[[socket.socket], None]


@contextmanager
def answering(handle: Handler, context: ssl.SSLContext | None = None) -> Iterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def one(conn: socket.socket) -> None:
        with conn, suppress(OSError):
            if context is None:
                handle(conn)
            else:
                with context.wrap_socket(conn, server_side=True) as encrypted:
                    handle(encrypted)

    def accept() -> None:
        with suppress(OSError):
            while True:
                conn, _ = listener.accept()
                threads.append(threading.Thread(target=one, args=(conn,), daemon=True))
                threads[-1].start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join(5)
        for thread in threads:
            thread.join(5)


def request_of(conn: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        got = conn.recv(65536)
        if not got:
            break
        data += got
    return data


def saying(reply: bytes) -> Handler:
    def handle(conn: socket.socket) -> None:
        request_of(conn)
        conn.sendall(reply)

    return handle


def page(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


def guarded(**kwargs: Any) -> Session:
    return Transport(LOOPBACK, allow_http=True, **kwargs).session()


def names(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Replace the far side of DNS: each look-up gets the next of `answers`, the last one for ever."""
    asked: list[str] = []

    def look_up(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        found = answers[min(len(asked), len(answers)) - 1]
        family = {4: socket.AF_INET, 6: socket.AF_INET6}
        return [(family[ip_address(ip).version], socket.SOCK_STREAM, 6, "", (ip, port)) for ip in found]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return asked
