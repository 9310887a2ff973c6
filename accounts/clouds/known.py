"""What a listing need not read again: rows that the cloud shows with the same bytes as the last time.

A fingerprint stands for a row's bytes and for all else that its facts come from: names that are looked up elsewhere,
and the code that reads. The driver makes it (`Prints`); whoever lists keeps it beside the facts that came from it.
"""

from __future__ import annotations

import inspect
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b, sha256
from types import ModuleType
from typing import Any

import msgspec

from accounts.clouds import base


@dataclass(frozen=True, slots=True)
class KnownRows:
    """One account's rows. `had`: fingerprint → external id, of facts that stand as they were read. `noted`: external id
    → fingerprint, of the rows that this listing had to read; worth nothing unless it came to its end."""

    had: Mapping[str, str]
    noted: dict[str, str] = field(default_factory=dict)


class Prints:
    """Fingerprints of rows whose facts come from the row, from `context` (anything that JSON can hold), and from the
    source of `readers`: a row is read again when any of them changed."""

    def __init__(self, context: Any, *readers: ModuleType) -> None:
        told = msgspec.json.encode([context, *map(_source, (base, *readers))], order="sorted")
        self._begun = sha256(sha256(told).digest())

    def of(self, row: bytes | memoryview | msgspec.Raw) -> str:
        """32 hex digits, the same in every process. The row holds its server's id, so a print stands for one server."""
        # Not blake2b: processors have instructions for SHA-256, which halves what a print costs.
        going = self._begun.copy()
        going.update(row)
        return going.hexdigest()[:32]


@cache
def _source(module: ModuleType) -> str:
    try:
        return blake2b(inspect.getsource(module).encode(), digest_size=16).hexdigest()
    except OSError:  # shipped without its source: rows of another process are read again, which is slower and right
        return secrets.token_hex()
