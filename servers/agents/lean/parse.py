"""The body of a check-in, read and checked in one go: samples by their types here, the rest by reports.py."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, NoReturn

import msgspec
from msgspec import Meta, Struct

from console.lib.denials import Wrong
from servers.agents.program import protocol
from servers.agents.reports import BYTES, SECONDS

Load = Annotated[float, Meta(ge=0, le=1e6)] | None
Percent = Annotated[float, Meta(ge=0, le=100)] | None
Bytes = Annotated[int, Meta(ge=0, le=BYTES)] | None
Rate = Annotated[float, Meta(ge=0, le=1e15)] | None
Seconds = Annotated[float, Meta(ge=0, le=SECONDS)]


class Disk(Struct):
    mount: str | None = None
    used_bytes: Bytes = None
    total_bytes: Bytes = None


class Nic(Struct):
    name: str | None = None
    rx_bytes_per_second: Rate = None
    tx_bytes_per_second: Rate = None


class Sample(Struct):
    """One sample, as protocol.py has it. `at` in seconds since 1970."""

    at: Seconds
    load1: Load = None
    load5: Load = None
    load15: Load = None
    cpu_percent: Percent = None
    memory_used_bytes: Bytes = None
    memory_total_bytes: Bytes = None
    swap_used_bytes: Bytes = None
    swap_total_bytes: Bytes = None
    uptime_seconds: Seconds | None = None
    disks: Annotated[list[Disk], Meta(max_length=protocol.MAX_DISKS)] | None = None
    nics: Annotated[list[Nic], Meta(max_length=protocol.MAX_NICS)] | None = None


class Body(Struct):
    version: str | None = None
    samples: Annotated[list[Sample], Meta(max_length=protocol.MAX_SAMPLES)] | None = None
    facts: Any = None
    work: Any = None
    release: Any = None
    wait: Annotated[float, Meta(ge=0, le=3600)] | None = None


class Piece(Struct):
    work: str
    stream: int
    offset: int
    data: str


_body: Final = msgspec.json.Decoder(Body).decode
_piece: Final = msgspec.json.Decoder(Piece).decode
_encode: Final = msgspec.json.Encoder().encode
_PLACE: Final = re.compile(r"(.*) - at `\$\.?(.*)`", re.S)


def body(data: bytes) -> Body:
    """A check-in. Wrong, with the field's name, when it is none."""
    try:
        return _body(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as fault:
        _wrong(fault)


def piece(data: bytes) -> Piece:
    """A piece of output. Wrong, as above."""
    try:
        return _piece(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as fault:
        _wrong(fault)


def kept(sample: Sample) -> bytes:
    """The sample as it is stored, in the form of reports.metrics: its text cleaned, no list absent."""
    for disk in sample.disks or ():
        disk.mount = clean(disk.mount)
    for nic in sample.nics or ():
        nic.name = clean(nic.name)
    if sample.disks is None:
        sample.disks = []
    if sample.nics is None:
        sample.nics = []
    return _encode(sample)


def clean(text: str | None) -> str | None:
    if text is None or (text.isprintable() and len(text) <= protocol.MAX_TEXT and text.strip() == text):
        return text or None
    return "".join(c for c in text if c.isprintable()).strip()[: protocol.MAX_TEXT] or None


def _wrong(fault: Exception) -> NoReturn:
    """msgspec's words name the place as `$.samples[0].load1`."""
    found = _PLACE.fullmatch(str(fault))
    words = "The report of this agent could not be read."
    if not found:
        raise Wrong({"body": ["This is a JSON object, as the agents' protocol has it."]}, words) from fault
    place = found[2].replace("[", ".").replace("]", "")
    raise Wrong({place or "body": [f"{found[1].replace('`', '')}."]}, words) from fault
