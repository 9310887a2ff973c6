"""What every cloud driver promises, and the frozen values it returns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

if TYPE_CHECKING:
    from accounts.clouds.known import KnownRows

_ENCODER: Final = msgspec.json.Encoder()


class State(StrEnum):
    """What a server is doing, in the words of no single cloud."""

    RUNNING = "running"
    STOPPED = "stopped"
    SUSPENDED = "suspended"
    CHANGING = "changing"
    FAILED = "failed"
    UNKNOWN = "unknown"


# Structs and not dataclasses where a listing makes ten thousands: three times cheaper to make, five to digest.
class Address(msgspec.Struct, frozen=True, gc=False):
    """One IP address of a server. `kind` is "fixed", "floating" or "" when the cloud does not say."""

    ip: str
    version: int
    kind: str = ""
    network: str = ""
    mac: str = ""


class ServerFacts(msgspec.Struct, frozen=True, gc=False):
    """One server as its cloud shows it. Unknown texts are "", unknown numbers None; memory in MiB, disk in GiB."""

    external_id: str
    name: str
    state: State
    raw_state: str
    addresses: tuple[Address, ...] = ()
    size: str = ""
    image: str = ""
    region: str = ""
    cpus: int | None = None
    memory_mb: int | None = None
    disk_gb: int | None = None
    key_name: str = ""
    created_at: datetime | None = None

    @property
    def digest(self) -> str:
        """32 hex digits that change when any fact changes; the same in every process."""
        return blake2b(_ENCODER.encode(self), digest_size=16).hexdigest()


class Same(msgspec.Struct, frozen=True, gc=False):
    """A server that its cloud shows exactly as the last time: its facts stand, and were not read again."""

    external_id: str


Page = tuple[ServerFacts | Same, ...]


@dataclass(frozen=True, slots=True)
class Checked:
    """A sign-in that worked. `version` is what was spoken, for people: "Keystone v3, Nova v2.1".

    `generation` is the key of the driver's capability table: "modern", "4.x", "1.5" …; kept with the account.
    """

    version: str
    generation: str = ""


class Driver(Protocol):
    """One account at one cloud. Every call may raise any fault of `console.lib.faults`. Not for use by two threads."""

    @property
    def calls(self) -> int:
        """HTTP requests made so far."""

    def check(self) -> Checked:
        """Really sign in, find the compute endpoint and read from it."""

    def close(self) -> None:
        """Sign out, where the cloud would keep the session until its idle time-out. The last call of all: it waits for
        no turn, takes a few seconds at most, and raises no fault."""

    def servers(self, known: KnownRows | None = None) -> Iterator[Page]:
        """Every server of the account, each once, page by page. A listing that ends without a fault is complete.

        With `known`, rows that are known come as Same, and the fingerprints of others are noted there. A driver without
        fingerprints reads every row. Without `known`, all are ServerFacts.
        """

    def server(self, external_id: str) -> ServerFacts | None:
        """One server; None when the cloud says that it does not exist."""

    def console_text(self, external_id: str, lines: int = 200) -> str:
        """The last lines of the serial console. Refused where the platform or the server has none."""
