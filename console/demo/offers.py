"""What a simulated cloud has on offer: sizes, images, networks. Plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Flavor:
    """A size. Memory in MB, disks in GB."""

    id: str
    name: str
    vcpus: int
    ram: int
    disk: int
    ephemeral: int = 0


@dataclass(frozen=True, slots=True)
class Image:
    """A boot image, or a snapshot of `server` (an id). `size` in bytes; `created` as Nova writes it.

    `status` is Nova's: SAVING until it can be used, then ACTIVE. `owner` is a project id; "" for a public image.
    """

    id: str
    name: str
    size: int = 734_003_200
    min_disk: int = 0
    min_ram: int = 0
    status: str = "ACTIVE"
    created: str = "2026-01-05T01:02:03Z"
    server: str = ""
    base: str = ""
    owner: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Network:
    """A network that servers are put on; its label is its name."""

    id: str
    name: str
    cidr: str = "10.40.0.0/16"
    external: bool = False
