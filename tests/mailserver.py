"""A mail server on loopback that takes mails, or says what it is told to say."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class MailServer:
    """`answers` maps a verb (EHLO, MAIL, RCPT, DATA, END) to the reply line that it gets; others are taken."""

    host: str = "127.0.0.1"
    port: int = 0
    answers: dict[str, str] = field(default_factory=dict)
    taken: list[bytes] = field(default_factory=list)
    hang_up_on: str = ""


class _Talk(socketserver.StreamRequestHandler):
    server: _Server

    def say(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())

    def handle(self) -> None:
        site = self.server.site
        self.say("220 test mail server")
        while line := self.rfile.readline():
            verb = line.split(b":")[0].split()[0].decode().upper() if line.strip() else ""
            if verb == site.hang_up_on:
                return
            if verb in site.answers:
                self.say(site.answers[verb])
            elif verb == "DATA":
                self.say("354 go on")
                body = b""
                while (line := self.rfile.readline()) not in (b".\r\n", b""):
                    body += line
                if site.hang_up_on == "END":
                    return
                if "END" not in site.answers:
                    site.taken.append(body)
                self.say(site.answers.get("END", "250 queued"))
            elif verb == "QUIT":
                self.say("221 bye")
                return
            else:
                self.say("250 ok")


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    site: MailServer


@contextmanager
def serving() -> Iterator[MailServer]:
    site = MailServer()
    with _Server((site.host, 0), _Talk) as server:
        server.site, site.port = site, server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()
