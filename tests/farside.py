"""Far sides of an install that a real sshd cannot play: a stand-in agent, a console's health, odd listeners, sudo."""

from __future__ import annotations

import hashlib
import io
import socket
import ssl
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from servers.installs.bootstrap import Payload

AGENT = """
import os, sys
arguments = dict(zip(sys.argv[2::2], sys.argv[3::2]))
with open(arguments["--token-file"]) as token:
    word = token.read()
seen = os.environ.get("MUSTER_SEEN")
if seen:
    import json
    with open(seen, "a") as note:
        note.write(json.dumps({"argv": sys.argv, "token": word, "stdin": "", "python": sys.version_info[:2]}) + "\\n")
print("installing ...")
%s
print('{"ok": true, "version": "1.2.3", "mode": "supervised", "receipt": "/receipt.json"}')
"""


def stand_in(body: str = "", size: int = 100_000) -> bytes:
    """A zipapp that keeps the agent's promise on its command line; `body` runs before its last word."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("__main__.py", AGENT % body)
        archive.writestr("ballast", b"\0" * size)
    return target.getvalue()


def payload(url: str, body: str = "", *, sha256: str = "", need_mb: int = 1) -> Payload:
    agent = stand_in(body)
    return Payload(url, agent, sha256 or hashlib.sha256(agent).hexdigest(), "mjt_once", need_mb)


class _Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status = self.server.status  # type: ignore[attr-defined]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Tests read what is answered, not a log."""


class _Quiet(ThreadingHTTPServer):
    status = 200

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that does not trust us hangs up, which is what some tests want."""


@contextmanager
def health(status: int = 200, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """A console of which only /healthz exists; its URL."""
    server = _Quiet(("127.0.0.1", 0), _Health)
    server.status = status
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def listener(speak: Callable[[socket.socket], None], host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """A server on this loopback address that does `speak` with each connection; its port. It ends with the block."""
    server = socket.create_server((host, port), backlog=512)
    lines: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def talk(line: socket.socket) -> None:
        try:
            speak(line)
        except OSError:
            return  # the other side is gone, or the test is over

    def serve() -> None:
        while True:
            try:
                line, _ = server.accept()
            except OSError:
                return
            lines.append(line)
            threads.append(threading.Thread(target=talk, args=(line,)))
            threads[-1].start()

    accepting = threading.Thread(target=serve)
    accepting.start()
    try:
        yield server.getsockname()[1]
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        accepting.join()
        for line in lines:
            try:
                line.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it had already ended
        for thread in threads:
            thread.join()
        for line in lines:
            line.close()


SUDO = """#!/bin/sh
# Speaks as sudo 1.9 does in the C locale; MOOD says how this server's sudoers file is written.
ask=; prompt=
while [ $# -gt 0 ]; do
  case "$1" in
    -n) ask=no; shift ;;
    -S) ask=stdin; shift ;;
    -p) prompt=$2; shift 2 ;;
    --) shift; break ;;
    *) break ;;
  esac
done
run() { MUSTER_AGENT_PREFIX=@PREFIX@ SUDO_USER=someone exec "$@"; }
case "$MOOD" in
  code) [ "$ask" = no ] || { printf 'Verification code: ' >&2; IFS= read -r word; exit 1; } ;;
  nopasswd) run "$@" ;;
  tty) echo "sudo: sorry, you must have a tty to run sudo" >&2; exit 1 ;;
esac
[ "$ask" = no ] && { echo "sudo: a password is required" >&2; exit 1; }
for try in 1 2 3; do
  printf %s "$prompt" >&2
  IFS= read -r word || { echo "sudo: no password was provided" >&2; exit 1; }
  if [ "$word" = "right horse" ]; then
    if [ "$MOOD" = twice ]; then
      printf 'Verification code: ' >&2
      IFS= read -r word || { echo "sudo: no password was provided" >&2; exit 1; }
    fi
    [ "$MOOD" = denied ] && { echo "someone is not in the sudoers file." >&2; exit 1; }
    run "$@"
  fi
  echo "Sorry, try again." >&2
done
echo "sudo: 3 incorrect password attempts" >&2
exit 1
"""


def put_sudo(folder: Path, prefix: Path) -> str:
    """Put the stand-in sudo into `folder`; a PATH that finds it first."""
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / "sudo"
    program.write_text(SUDO.replace("@PREFIX@", str(prefix)))
    program.chmod(0o755)
    return f"{folder}:/usr/bin:/bin"
