"""The conversation on one channel: send and read at once, so that neither side can wait for the other for ever."""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from typing import Any

from paramiko import Channel

from servers.installs.bootstrap import Answer

CHUNK = 32 * 1024
HINT = 3.0  # seconds of silence after which a server's "Please login as …" is taken at its word
LAST_WORDS = 2.0  # seconds that the stream may stay open after the command's end


def converse(
    channel: Channel, data: bytes, answer: Answer, follow: Callable[[dict[str, Any]], None], user: str
) -> None:
    """Send all of `data` and read both streams, whichever is ready, until the command has had its last word."""
    ready = select.poll()
    ready.register(channel.fileno(), select.POLLIN)
    sent, heard, ended = 0, time.monotonic(), None
    while True:
        moved = False
        while channel.recv_ready():
            moved = True
            for event in answer.out(channel.recv(CHUNK)):
                follow(event)
        while channel.recv_stderr_ready():
            moved = True
            answer.err(channel.recv_stderr(CHUNK))
        if sent < len(data) and not channel.closed and channel.send_ready():
            moved = True
            sent += channel.send(data[sent : sent + CHUNK])
            if sent == len(data):
                channel.shutdown_write()
        now = time.monotonic()
        if moved:
            heard = now
            continue
        if channel.closed or channel.eof_received:
            channel.status_event.wait(LAST_WORDS)
            return
        if channel.exit_status_ready():
            ended = ended or now
            if now - ended > LAST_WORDS or answer.over:
                return
        if now - heard > HINT and (no_entry := answer.no_entry(user)):
            raise no_entry
        ready.poll(50 if sent < len(data) else 500)
