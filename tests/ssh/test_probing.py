"""What a look at the server finds before anything is installed is told apart, with a way out."""

from __future__ import annotations

import socket
import ssl
import subprocess
from pathlib import Path

from servers.installs.trouble import Stage
from tests import farside
from tests.ssh.going import fails, go, small_disk
from tests.sshd import Sshd


def test_a_server_without_python_is_told_to_get_one(room: Path, console: str) -> None:
    (room / "empty").mkdir()
    with Sshd(room / "nopython", env={"PATH": str(room / "empty")}) as server:
        assert "apt install python3" in fails("no_python", Stage.PROBE, lambda: go(server, console)).fix


def test_a_server_with_an_old_python_only_is_told_so(room: Path, console: str) -> None:
    old = room / "old"
    old.mkdir()
    # What 2.7 and 3.5 do with the loader: their own version check ends them with 66 before they read anything.
    (old / "python").write_text("#!/bin/sh\nexit 66\n")
    (old / "python").chmod(0o755)
    with Sshd(room / "oldpython", env={"PATH": str(old)}) as server:
        assert "its python is older" in fails("no_python", Stage.PROBE, lambda: go(server, console)).cause


def test_a_python_that_does_not_start_is_quoted(room: Path, console: str) -> None:
    broken = room / "broken"
    broken.mkdir()
    (broken / "python3").write_text("#!/bin/sh\necho 'Fatal Python error: cannot get zipimporter' >&2\nexit 1\n")
    (broken / "python3").chmod(0o755)
    with Sshd(room / "brokenpython", env={"PATH": str(broken)}) as server:
        assert "zipimporter" in fails("odd_shell", Stage.PROBE, lambda: go(server, console)).cause


def test_a_server_that_cannot_reach_the_console_says_how_it_failed(sshd: Sshd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    problem = fails("no_way_out", Stage.PROBE, lambda: go(sshd, f"http://127.0.0.1:{port}"))
    assert "refused" in problem.cause and str(port) in problem.cause
    fails("no_name", Stage.PROBE, lambda: go(sshd, "http://console.invalid"))
    with farside.health(503) as url:
        assert "503" in fails("odd_answer", Stage.PROBE, lambda: go(sshd, url)).cause


def test_a_certificate_that_the_server_does_not_trust_is_named_so(sshd: Sshd, tmp_path: Path) -> None:
    paper, key = tmp_path / "paper.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-keyout", str(key), "-out", str(paper)], check=True, capture_output=True,
    )  # fmt: skip
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(paper, key)
    with farside.health(tls=tls) as url:
        problem = fails("no_trust", Stage.PROBE, lambda: go(sshd, url))
        assert "certificate" in problem.cause.lower() and "clock" in problem.fix
    trusting = {"SSL_CERT_FILE": str(paper)}
    with farside.health(tls=tls) as url, Sshd(tmp_path / "trusts", env=trusting) as other:
        san = fails("no_trust", Stage.PROBE, lambda: go(other, url))  # trusted, but it names no such host
        assert "127.0.0.1" in san.cause


def test_a_full_disk_is_seen_before_anything_is_written(room: Path, console: str) -> None:
    with small_disk(room / "full", "64k", console) as server:
        problem = fails("disk_full", Stage.PROBE, lambda: go(server, console))
        assert "/tmp has 0 MB free" in problem.cause and "1 MB" in problem.fix


def test_a_disk_that_fills_up_during_the_upload_is_told_so(room: Path, console: str) -> None:
    with small_disk(room / "fills", "64k", console) as server:
        parcel = farside.payload(console, need_mb=0)
        fails("disk_full", Stage.UPLOAD, lambda: go(server, console, payload=parcel))


def test_an_agent_that_does_not_arrive_whole_is_not_run(sshd: Sshd, console: str) -> None:
    parcel = farside.payload(console, "open('/nowhere/at/all', 'w')", sha256="0" * 64)
    assert "checksum" in fails("upload_broken", Stage.UPLOAD, lambda: go(sshd, console, payload=parcel)).cause
    assert list((sshd.folder / "tmp").iterdir()) == []
