"""What a cloud tells against what we have, by digest alone: a whole listing, or only what changed."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection

from accounts.clouds import ServerFacts
from console.lib.faults import Unexpected

LONGEST_ID: Final = 255
FREEZE_SHARE: Final = 0.20
FREEZE_COUNT: Final = 3
TWICE: Final = timedelta(minutes=10)  # between the two listings that a server must be missing from

_ROWS: Final = "SELECT external_id, digest, missing_since FROM servers_server WHERE account_id = %s AND gone_at IS NULL"


@dataclass
class Difference:
    """`changed` holds new and changed servers with their digests; the other lists are external ids.

    `absent`: those that were missing already and are still, with the moment since when. `gone`: those among them that
    the cloud says do not exist (servers.confirming).
    """

    present: int = 0  # servers that we had and that were not missing
    seen: int = 0  # servers that the cloud told of
    added: int = 0
    returned: int = 0  # those of `changed` that were missing
    changed: list[tuple[ServerFacts, str]] = field(default_factory=list)
    back: list[str] = field(default_factory=list)
    vanished: list[str] = field(default_factory=list)
    absent: list[tuple[str, datetime]] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether nothing is to be written."""
        return not (self.changed or self.back or self.vanished or self.gone)

    @property
    def listed(self) -> int:
        """How many servers the account has now."""
        return self.present + self.added + self.returned + len(self.back) - len(self.vanished)

    @property
    def suspicious(self) -> bool:
        """So many vanished at once that a broken listing is likelier than so many deletions (SECURITY.md §7)."""
        return many(len(self.vanished), self.present)


def many(gone: int, of: int) -> bool:
    """More than three, and more than a fifth of them."""
    return gone > FREEZE_COUNT and gone > FREEZE_SHARE * of


def compare(account_id: Any, pages: Iterable[tuple[ServerFacts, ...]]) -> Difference:
    """A whole listing: read `pages` to their end, which may raise any fault, and keep only what differs."""
    digests: dict[str, str] = {}
    stamped: dict[str, datetime] = {}
    with connection.cursor() as cursor:
        cursor.execute(_ROWS, [account_id])
        for external_id, digest, missing in cursor.fetchall():
            digests[external_id] = digest
            if missing is not None:
                stamped[external_id] = missing
    found = Difference(present=len(digests) - len(stamped))
    for page in pages:
        _take(found, page, digests, stamped)
    for external_id in digests:
        if (since := stamped.get(external_id)) is None:
            found.vanished.append(external_id)
        else:
            found.absent.append((external_id, since))
    return found


def compare_some(account_id: Any, told: Collection[ServerFacts], deleted: Collection[str]) -> Difference:
    """What changed, or some servers by id: those that are not named stay as they are."""
    ids = [*(facts.external_id for facts in told), *deleted]
    digests: dict[str, str] = {}
    stamped: dict[str, datetime] = {}
    with connection.cursor() as cursor:
        cursor.execute(f"{_ROWS} AND external_id = ANY(%s)", [account_id, ids])
        for external_id, digest, missing in cursor.fetchall():
            digests[external_id] = digest
            if missing is not None:
                stamped[external_id] = missing
        cursor.execute(
            "SELECT count(*) FROM servers_server WHERE account_id = %s AND gone_at IS NULL AND missing_since IS NULL",
            [account_id],
        )
        found = Difference(present=cursor.fetchone()[0])
    _take(found, told, digests, stamped)
    found.vanished = [external_id for external_id in deleted if external_id in digests and external_id not in stamped]
    return found


def _take(
    found: Difference, page: Collection[ServerFacts], digests: dict[str, str], stamped: dict[str, datetime]
) -> None:
    """Compare a page. What was met is taken out of `digests`."""
    found.seen += len(page)
    for facts in page:
        digest = facts.digest
        had = digests.pop(facts.external_id, None)
        if had != digest:
            if len(facts.external_id) > LONGEST_ID:
                raise Unexpected(f"The cloud has a server with an id longer than {LONGEST_ID} characters.")
            found.added += had is None
            found.returned += facts.external_id in stamped
            found.changed.append((facts, digest))
        elif facts.external_id in stamped:
            found.back.append(facts.external_id)
