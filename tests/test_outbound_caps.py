"""What a hostile far side can cost, and whom TLS trusts (SECURITY.md §5)."""

from __future__ import annotations

import gzip
import io
import socket
import ssl
import threading
import time
import tracemalloc
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from console.lib import dialling
from console.lib.faults import Refused, Unexpected, Unreachable
from console.lib.outbound import LARGEST, Transport
from tests.loopback import LOOPBACK, answering, guarded, names, page, request_of, saying

# --- caps


def test_a_slow_drip_is_cut_at_the_total_deadline() -> None:
    stop = threading.Event()

    def handle(conn: socket.socket) -> None:
        request_of(conn)
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not stop.wait(0.02):
            conn.sendall(b"x")

    with answering(handle) as port:
        started = time.monotonic()
        with pytest.raises(Unreachable, match="longer than"):
            guarded(deadline=2).get(f"http://127.0.0.1:{port}/")
        assert time.monotonic() - started < 20
        stop.set()


def test_headers_that_drip_are_cut_too() -> None:
    stop = threading.Event()

    def handle(conn: socket.socket) -> None:
        request_of(conn)
        conn.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        while not stop.wait(0.02):
            conn.sendall(b"x")

    with answering(handle) as port:
        with pytest.raises(Unreachable, match="longer than"):
            guarded(deadline=2).get(f"http://127.0.0.1:{port}/")
        stop.set()


def test_silence_is_cut_after_the_read_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()

    def handle(conn: socket.socket) -> None:
        request_of(conn)
        stop.wait(30)

    monkeypatch.setattr(dialling, "READ", 0.2)
    with answering(handle) as port:
        with pytest.raises(Unreachable, match="sent nothing"):
            guarded().get(f"http://127.0.0.1:{port}/")
        stop.set()


def bomb(size: int) -> bytes:
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb") as packed:
        for _ in range(size // (1 << 20)):
            packed.write(b"\0" * (1 << 20))
    return out.getvalue()


@pytest.mark.parametrize("chunked", [False, True])
def test_a_gzip_bomb_is_cut_while_it_streams(chunked: bool) -> None:
    body = bomb(256 << 20)
    assert len(body) < 1 << 20
    reply = page(body, "Content-Encoding: gzip")
    if chunked:
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n"
        reply = head + f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
    with answering(saying(reply)) as port:
        session = guarded()
        tracemalloc.start()
        try:
            with pytest.raises(Unexpected, match="more than 8 MiB"):
                session.get(f"http://127.0.0.1:{port}/")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 4 * LARGEST


@pytest.mark.parametrize("over", [0, 1])
def test_a_page_of_exactly_the_cap_passes_and_one_byte_more_does_not(over: int) -> None:
    with answering(saying(page(b"x" * (LARGEST + over)))) as port:
        if over:
            with pytest.raises(Unexpected, match="more than 8 MiB"):
                guarded().get(f"http://127.0.0.1:{port}/")
        else:
            assert len(guarded().get(f"http://127.0.0.1:{port}/").content) == LARGEST


def test_a_body_without_a_declared_length_is_capped_as_well() -> None:
    reply = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (LARGEST + 1)
    with answering(saying(reply)) as port, pytest.raises(Unexpected, match="more than 8 MiB"):
        guarded().get(f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello",
        b"\x15\x03\x01\x00\x02\x02\x16",
    ],
)
def test_a_reply_that_breaks_off_is_unreachable_and_never_short(reply: bytes) -> None:
    with answering(saying(reply)) as port, pytest.raises(Unreachable, match="broke off"):
        guarded().get(f"http://127.0.0.1:{port}/")


def test_a_page_that_is_not_the_gzip_it_claims_to_be_is_unexpected() -> None:
    reply = page(b"not gzip at all", "Content-Encoding: gzip")
    with answering(saying(reply)) as port, pytest.raises(Unexpected, match="cannot be unpacked"):
        guarded().get(f"http://127.0.0.1:{port}/")


@settings(max_examples=50)
@given(reply=st.binary(max_size=200))
def test_no_reply_can_raise_anything_but_a_fault(reply: bytes) -> None:
    with answering(saying(b"HTTP/1.1 200 OK\r\n" + reply)) as port, suppress(Unreachable, Unexpected, Refused):
        guarded(deadline=2).get(f"http://127.0.0.1:{port}/")


# --- TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ssl.SSLContext]:
    """(PEM of a CA, a server context with a certificate for cloud.example signed by it)."""
    key, leaf = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
    now = datetime.now(UTC)

    def signed(subject: x509.Name, public: Any, *extensions: tuple[x509.ExtensionType, bool]) -> x509.Certificate:
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(name).public_key(public)
        builder = builder.serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(key, hashes.SHA256())

    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    ca = signed(name, key.public_key(), (x509.BasicConstraints(True, None), True), (identifier, False))
    cert = signed(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "cloud.example")]),
        leaf.public_key(),
        (x509.SubjectAlternativeName([x509.DNSName("cloud.example")]), False),
        (x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), False),
    )
    pem = serialization.Encoding.PEM
    folder = tmp_path_factory.mktemp("tls")
    (folder / "cert.pem").write_bytes(cert.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        leaf.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return ca.public_bytes(pem).decode(), context


def test_a_registered_authority_is_trusted_and_the_name_is_sent_and_verified(
    authority: tuple[str, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    ca, context = authority
    indicated: list[str] = []
    context.sni_callback = lambda _, name, __: indicated.append(name)
    names(monkeypatch, ["127.0.0.1"])
    with answering(saying(page(b'{"tls": 1}')), context) as port:
        session = Transport(LOOPBACK, ca=ca).session()
        assert session.get(f"https://cloud.example:{port}/").json() == {"tls": 1}
        with pytest.raises(Unreachable, match="certificate was not accepted"):
            session.get(f"https://other.example:{port}/")
    assert indicated == ["cloud.example", "other.example"]


def test_an_unknown_authority_is_refused_whatever_the_caller_says_of_verify(
    authority: tuple[str, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, context = authority
    context.sni_callback = None
    names(monkeypatch, ["127.0.0.1"])
    with answering(saying(page(b"{}")), context) as port:
        session = Transport(LOOPBACK).session()
        session.verify = False
        with pytest.raises(Unreachable, match="certificate was not accepted"):
            session.get(f"https://cloud.example:{port}/", verify=False)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_a_cloud_that_speaks_only_tls_1_0_is_refused_in_words_until_staff_allow_it_and_verified_even_then(
    authority: tuple[str, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    ca, context = authority
    context.sni_callback = None
    names(monkeypatch, ["127.0.0.1"])
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    try:
        with answering(saying(page(b'{"old": 1}')), context) as port:
            where = f"https://cloud.example:{port}/"
            with pytest.raises(Unreachable, match="too old to be safe"):
                Transport(LOOPBACK, ca=ca).session().get(where)
            assert Transport(LOOPBACK, ca=ca, old_tls=True).session().get(where).json() == {"old": 1}
            with pytest.raises(Unreachable, match="certificate was not accepted"):
                Transport(LOOPBACK, old_tls=True).session().get(where)
    finally:
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.maximum_version = ssl.TLSVersion.MAXIMUM_SUPPORTED


def test_a_drip_under_tls_is_cut_at_the_total_deadline(
    authority: tuple[str, ssl.SSLContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    ca, context = authority
    context.sni_callback = None
    stop = threading.Event()

    def handle(conn: socket.socket) -> None:
        request_of(conn)
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not stop.wait(0.02):
            conn.sendall(b"x")

    names(monkeypatch, ["127.0.0.1"])
    with answering(handle, context) as port:
        with pytest.raises(Unreachable, match="longer than"):
            Transport(LOOPBACK, ca=ca, deadline=2).session().get(f"https://cloud.example:{port}/")
        stop.set()


def test_a_handshake_that_hangs_is_cut() -> None:
    stop = threading.Event()
    with answering(lambda conn: stop.wait(30) and None) as port:
        with pytest.raises(Unreachable):
            Transport(LOOPBACK, deadline=2).session().get(f"https://127.0.0.1:{port}/")
        stop.set()
