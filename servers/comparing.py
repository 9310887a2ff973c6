"""What a complete listing says against what we have, by digest alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from django.db import connection

from accounts.clouds import ServerFacts
from console.lib.faults import Unexpected

LONGEST_ID: Final = 255
FREEZE_SHARE: Final = 0.20
FREEZE_COUNT: Final = 3


@dataclass
class Difference:
    """`changed` holds new and changed servers with their digests; `back` and `vanished` are external ids."""

    present: int = 0  # servers that we had and that were not missing
    seen: int = 0
    added: int = 0
    changed: list[tuple[ServerFacts, str]] = field(default_factory=list)
    back: list[str] = field(default_factory=list)
    vanished: list[str] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether nothing is to be written."""
        return not (self.changed or self.back or self.vanished)

    @property
    def suspicious(self) -> bool:
        """So many vanished at once that a broken listing is likelier than so many deletions (SECURITY.md §7)."""
        gone = len(self.vanished)
        return gone > FREEZE_COUNT and gone > FREEZE_SHARE * self.present


def compare(account_id: Any, pages: Iterable[tuple[ServerFacts, ...]]) -> Difference:
    """Read `pages` to their end, which may raise any fault, and keep of them only what differs from our rows."""
    digests: dict[str, str] = {}
    stamped: set[str] = set()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT external_id, digest, missing_since IS NOT NULL FROM servers_server WHERE account_id = %s",
            [account_id],
        )
        for external_id, digest, missing in cursor.fetchall():
            digests[external_id] = digest
            if missing:
                stamped.add(external_id)
    found = Difference(present=len(digests) - len(stamped))
    for page in pages:
        found.seen += len(page)
        for facts in page:
            digest = facts.digest
            had = digests.pop(facts.external_id, None)
            if had != digest:
                if len(facts.external_id) > LONGEST_ID:
                    raise Unexpected(f"The cloud has a server with an id longer than {LONGEST_ID} characters.")
                found.added += had is None
                found.changed.append((facts, digest))
            elif facts.external_id in stamped:
                found.back.append(facts.external_id)
    found.vanished = [external_id for external_id in digests if external_id not in stamped]
    return found
