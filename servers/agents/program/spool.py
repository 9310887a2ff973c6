"""What a script writes, kept on disk until the console has it: the first MiB of each stream, and the last 256 KiB."""

import os
import threading
from typing import IO, Any, Dict, List

from . import files, protocol

PIECE = protocol.MAX_OUTPUT
STREAMS = {"out": 1, "err": 2}


class Stream:
    """One stream being written. A full disk loses what comes after, not the script."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.total = 0
        self._tail = bytearray()
        self._lost = False
        self._lock = threading.Lock()

    def add(self, data: bytes) -> None:
        with self._lock:
            room = max(0, protocol.OUTPUT_HEAD - self.total)
            self.total += len(data)
            if room and not self._lost:
                try:
                    with open(self.path, "ab") as file:
                        file.write(data[:room])
                except OSError:
                    self._lost = True  # for good: what follows a gap would stand at a wrong place
            self._tail += data[room:]
            if len(self._tail) > 2 * protocol.OUTPUT_TAIL:
                del self._tail[: -protocol.OUTPUT_TAIL]

    def close(self) -> bool:
        """Put the end of a long stream beside its beginning, behind the offset where it belongs. False when the disk
        would not have all that had to be kept."""
        with self._lock:
            tail = bytes(self._tail[-protocol.OUTPUT_TAIL :])
            if tail and not self._lost:
                offset = self.total - len(tail)
                try:
                    files.write(self.path + ".tail", offset.to_bytes(8, "big") + tail)
                except OSError:
                    self._lost = True
            return not self._lost


def pump(source: IO[bytes], stream: Stream) -> threading.Thread:
    """A thread that reads until the end, so that no script waits for a reader."""

    def run() -> None:
        with source:
            while True:
                data = os.read(source.fileno(), 65536)
                if not data:
                    return
                stream.add(data)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def pieces(base: str, ended: bool, sent: Dict[str, int]) -> List[Dict[str, Any]]:
    """`[{stream, offset, data, name, place}]` that were not sent yet, at most PIECE bytes each and 16 of them.

    `sent` says how far each file of the work was sent (`note`). [] when the console has all that stands there.
    """
    found = []  # type: List[Dict[str, Any]]
    for name in sorted(STREAMS):
        found += _slices(base + "." + name, name, STREAMS[name], sent.get(name, 0))
        if ended:
            found += _tail(base + "." + name + ".tail", name + ".tail", STREAMS[name], sent.get(name + ".tail", 0))
    return found[:16]


def note(piece: Dict[str, Any], sent: Dict[str, int]) -> None:
    """The console has this piece."""
    sent[piece["name"]] = piece["place"] + len(piece["data"])


def _slices(path: str, name: str, stream: int, start: int) -> List[Dict[str, Any]]:
    found = []  # type: List[Dict[str, Any]]
    try:
        with open(path, "rb") as file:
            file.seek(start)
            while len(found) < 16:
                data = file.read(PIECE)
                if not data:
                    break
                found.append({"stream": stream, "offset": start, "data": data, "name": name, "place": start})
                start += len(data)
    except FileNotFoundError:
        return []
    return found


def _tail(path: str, name: str, stream: int, start: int) -> List[Dict[str, Any]]:
    """The same of the kept end, whose first eight bytes say where in the stream it stands."""
    try:
        with open(path, "rb") as file:
            offset = int.from_bytes(file.read(8), "big")
            data = file.read()
    except FileNotFoundError:
        return []
    return [
        {"stream": stream, "offset": offset + at, "data": data[at : at + PIECE], "name": name, "place": at}
        for at in range(start, len(data), PIECE)
    ]
