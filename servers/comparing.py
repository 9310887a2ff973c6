"""What a cloud tells against what we have, by fingerprint and digest: a whole listing, or only what changed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import connection

from accounts.clouds import Page, Same, ServerFacts
from accounts.clouds.known import KnownRows
from console.lib.faults import Unexpected

LONGEST_ID: Final = 255
FREEZE_SHARE: Final = 0.20
FREEZE_COUNT: Final = 3
TWICE: Final = timedelta(minutes=10)  # between the two listings that a server must be missing from

_ROWS: Final = (
    "SELECT external_id, digest, missing_since, fingerprint FROM servers_server"
    " WHERE account_id = %s AND gone_at IS NULL"
)


@dataclass
class Difference:
    """`changed` holds new and changed servers; the other lists are external ids.

    `prints`: external id → fingerprint of the rows that were read. `reprinted`: those whose facts are what we have,
    read from a row that is not what it was. `absent`: those that were missing already and are still, with the moment
    since when. `gone`: those among them that the cloud says do not exist (servers.confirming). `unread`: those that a
    whole listing lacks and that stand as they were, because the cloud did not say by id whether they exist.
    """

    present: int = 0  # servers that we had and that were not missing
    seen: int = 0  # servers that the cloud told of
    added: int = 0
    returned: int = 0  # those of `changed` that were missing
    changed: list[ServerFacts] = field(default_factory=list)
    prints: dict[str, str] = field(default_factory=dict)
    reprinted: list[str] = field(default_factory=list)
    back: list[str] = field(default_factory=list)
    vanished: list[str] = field(default_factory=list)
    absent: list[tuple[str, datetime]] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether nothing is different that people see."""
        return not (self.changed or self.back or self.vanished or self.gone)

    @property
    def listed(self) -> int:
        """How many servers the account has now."""
        return self.present + self.added + self.returned + len(self.back) - len(self.vanished)

    def include(self, some: Difference) -> None:
        """Add what was told of some servers by id (`compare_some`)."""
        self.seen += some.seen
        self.added += some.added
        self.returned += some.returned
        self.changed += some.changed
        self.back += some.back

    @property
    def suspicious(self) -> bool:
        """So many vanished at once that a broken listing is likelier than so many deletions (SECURITY.md §7)."""
        return many(len(self.vanished), self.present)


def many(gone: int, of: int) -> bool:
    """More than three, and more than a fifth of them."""
    return gone > FREEZE_COUNT and gone > FREEZE_SHARE * of


def compare(account_id: Any, listing: Callable[[KnownRows], Iterable[Page]]) -> Difference:
    """A whole listing (`Driver.servers`): read it to its end, which may raise any fault, and keep what differs."""
    had = _Had(account_id)
    known = KnownRows({fingerprint: external_id for external_id, fingerprint in had.prints.items() if fingerprint})
    found = Difference(present=len(had.digests) - len(had.stamped), prints=known.noted)
    for page in listing(known):
        _take(found, page, had)
    for external_id in had.digests:
        if (since := had.stamped.get(external_id)) is None:
            found.vanished.append(external_id)
        else:
            found.absent.append((external_id, since))
    return found


def compare_some(account_id: Any, told: Collection[ServerFacts], deleted: Collection[str]) -> Difference:
    """What changed, or some servers by id: those that are not named stay as they are."""
    had = _Had(account_id, [*(facts.external_id for facts in told), *deleted])
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM servers_server WHERE account_id = %s AND gone_at IS NULL AND missing_since IS NULL",
            [account_id],
        )
        found = Difference(present=cursor.fetchone()[0])
    _take(found, told, had)
    found.vanished = [
        external_id for external_id in deleted if external_id in had.digests and external_id not in had.stamped
    ]
    return found


class _Had:
    """An account's rows, or those with the given ids. What a listing shows is taken out of `digests`."""

    def __init__(self, account_id: Any, ids: list[str] | None = None) -> None:
        self.digests: dict[str, str] = {}
        self.prints: dict[str, str] = {}
        self.stamped: dict[str, datetime] = {}
        with connection.cursor() as cursor:
            if ids is None:
                cursor.execute(_ROWS, [account_id])
            else:
                cursor.execute(f"{_ROWS} AND external_id = ANY(%s)", [account_id, ids])
            found = cursor.fetchall()
        if found:
            names, digests, missing, prints = zip(*found, strict=True)
            self.digests, self.prints = dict(zip(names, digests, strict=True)), dict(zip(names, prints, strict=True))
            self.stamped = {name: since for name, since in zip(names, missing, strict=True) if since is not None}


def _take(found: Difference, page: Collection[ServerFacts | Same], had: _Had) -> None:
    found.seen += len(page)
    for one in page:
        external_id = one.external_id
        digest = had.digests.pop(external_id, None)
        if isinstance(one, ServerFacts):
            if digest is None or digest != one.digest:
                if len(external_id) > LONGEST_ID:
                    raise Unexpected(f"The cloud has a server with an id longer than {LONGEST_ID} characters.")
                found.added += digest is None
                found.returned += external_id in had.stamped
                found.changed.append(one)
                continue
            if found.prints.get(external_id, "") not in ("", had.prints[external_id]):
                found.reprinted.append(external_id)
        if external_id in had.stamped:
            found.back.append(external_id)
