"""Many agents in one process, as cheap as can be: `python -m tests.bench.fleet call|wait PORT FILE …`.

FILE has an agent a line: id, session, key in hex. `call` sends prebuilt check-ins with a sample each, as fast as they
are answered, and prints what it saw. `wait` keeps a long poll of each agent open, tells of the work that it is given,
and prints when that came, until its standard input ends.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
import sys
import time
from collections import deque
from typing import Any

import uvloop

from servers.agents.program import protocol

CONNECTIONS = 64  # of `call`
WAIT = 50  # seconds
OPENED = 400  # connections a second of `wait`
_WORK = re.compile(rb'\\"work\\":\\"([0-9a-f-]{36})')
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: (\d+)")
_SAMPLE = {
    "load1": 0.51, "load5": 0.42, "load15": 0.33, "cpu_percent": 12.5, "memory_used_bytes": 1_234_567_890,
    "memory_total_bytes": 4_294_967_296, "swap_used_bytes": 0, "swap_total_bytes": 1_073_741_824,
    "uptime_seconds": 86_400, "disks": [{"mount": "/", "used_bytes": 7_516_192_768, "total_bytes": 21_474_836_480}],
}  # fmt: skip


class One:
    """One agent."""

    def __init__(self, line: str) -> None:
        self.id, self.session, key = line.split()
        self.key, self.sequence = bytes.fromhex(key), 0

    def request(self, body: dict[str, Any], path: str = protocol.CHECKIN_PATH) -> bytes:
        """The bytes of one signed check-in."""
        data = json.dumps({"version": protocol.VERSION, **body}, separators=(",", ":")).encode()
        self.sequence += 1
        number, moment = str(self.sequence), str(int(time.time()))
        text = protocol.signed_text("POST", path, hashlib.sha256(data).hexdigest(), self.session, number, moment)
        return (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(data)}\r\nMuster-Session: {self.session}\r\nMuster-Sequence: {number}\r\n"
            f"Muster-Time: {moment}\r\nMuster-Signature: {hmac.digest(self.key, text, 'sha256').hex()}\r\n\r\n"
        ).encode() + data


def whole(answer: bytes) -> bool:
    """Whether all of it is there, by its Content-Length, or its last chunk."""
    head, _, body = answer.partition(b"\r\n\r\n")
    length = _LENGTH.search(head)
    return len(body) >= int(length[1]) if length else body.endswith(b"0\r\n\r\n")


class Calling(asyncio.Protocol):
    """Sends the next request as soon as one is answered."""

    answered = refused = 0

    def __init__(self, requests: deque[bytes], done: asyncio.Event) -> None:
        self.requests, self.done, self.answer = requests, done, b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.send()

    def data_received(self, data: bytes) -> None:
        self.answer += data
        if not whole(self.answer):
            return
        Calling.answered += 1
        if not self.answer.startswith(b"HTTP/1.1 200"):
            Calling.refused += 1
        self.answer = b""
        self.send()

    def send(self) -> None:
        if self.requests:
            self.transport.write(self.requests.popleft())
        else:
            self.done.set()


async def call(port: int, agents: list[One], count: int, path: str, ago: float) -> None:
    """`count` check-ins, each agent in its turn, with the samples of minute after minute since `ago` seconds before."""
    start = time.time() - ago
    requests = deque(
        agents[number % len(agents)].request(
            {"samples": [{"at": start + 60 * (number // len(agents)), **_SAMPLE}]}, path
        )
        for number in range(count)
    )  # fmt: skip
    sys.stdout.write("built\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.readline)
    loop, done = asyncio.get_running_loop(), [asyncio.Event() for _ in range(CONNECTIONS)]
    began = time.time()
    for event in done:
        await loop.create_connection(lambda event=event: Calling(requests, event), "127.0.0.1", port)  # type: ignore[misc]
    for event in done:
        await event.wait()
    told = {"began": began, "ended": time.time(), "answered": Calling.answered, "refused": Calling.refused}
    sys.stdout.write(json.dumps(told) + "\n")


class Waiting(asyncio.Protocol):
    """A long poll of one agent, sent again when it is answered."""

    given: list[tuple[str, float]] = []
    lost = 0
    why = ""

    def __init__(self, agent: One) -> None:
        self.agent, self.answer = agent, b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(self.agent.request({"wait": WAIT}))

    def connection_lost(self, exc: Exception | None) -> None:
        Waiting.lost += 1

    def data_received(self, data: bytes) -> None:
        self.answer += data
        if not whole(self.answer):
            return
        now, body = time.time(), {"wait": WAIT}
        found = _WORK.findall(self.answer)
        if not self.answer.startswith(b"HTTP/1.1 200"):
            Waiting.lost += 1
            Waiting.why = self.answer.decode()
        self.answer = b""
        if found:
            Waiting.given += [(work.decode(), now) for work in found]
            body["work"] = [{"id": work.decode(), "state": "done", "exit_code": 0} for work in found]  # type: ignore[assignment]
        self.transport.write(self.agent.request(body))


async def wait(port: int, agents: list[One]) -> None:
    loop = asyncio.get_running_loop()
    for start in range(0, len(agents), OPENED // 10):
        some = agents[start : start + OPENED // 10]
        await asyncio.gather(*(loop.create_connection(lambda one=one: Waiting(one), "127.0.0.1", port) for one in some))  # type: ignore[misc]
        await asyncio.sleep(0.1)
    sys.stdout.write("open\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.readline)
    sys.stdout.write(json.dumps({"given": Waiting.given, "lost": Waiting.lost, "why": Waiting.why}) + "\n")
    sys.stdout.flush()


def main() -> None:
    kind, port, file, *more = sys.argv[1:]
    with open(file) as lines:
        agents = [One(line) for line in lines]
    if kind == "wait":
        uvloop.run(wait(int(port), agents))
    else:
        count, path, ago = more
        uvloop.run(call(int(port), agents, int(count), path, float(ago)))


if __name__ == "__main__":
    main()
