"""Slots in Valkey: so many at once, over all workers. A killed holder's slot is free again after some seconds."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from typing import Final

from console.lib.valkey import client

SECONDS: Final = 15.0
# KEYS: the slot. ARGV: the holder's word, milliseconds.
_RENEW: Final = "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('PEXPIRE', KEYS[1], ARGV[2]) or 0"
_LEAVE: Final = "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1]) or 0"


class Slot:
    """A slot that is ours while it is renewed at least every SECONDS."""

    def __init__(self, name: str, word: str) -> None:
        self.name, self.word = name, word

    def renew(self) -> bool:
        """False when it is somebody else's now. RedisError when nobody can tell."""
        return bool(client().eval(_RENEW, 1, self.name, self.word, int(SECONDS * 1000)))

    def leave(self) -> None:
        client().eval(_LEAVE, 1, self.name, self.word)


def take(names: Iterable[str]) -> Slot | None:
    """The first of these slots that is free, or None. RedisError when nobody can tell."""
    word = secrets.token_hex(8)
    for name in names:
        if client().set(name, word, nx=True, px=int(SECONDS * 1000)):
            return Slot(name, word)
    return None
