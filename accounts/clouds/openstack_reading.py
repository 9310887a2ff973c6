"""One region's rows of servers/detail → facts, without decoding those that are known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from accounts.clouds import openstack_rows as rows
from accounts.clouds.base import Page, Same, ServerFacts
from accounts.clouds.known import KnownRows, Prints


class Fresh(msgspec.Struct, gc=False):
    """A row that was decoded, and its fingerprint ("" when nobody asked for it)."""

    row: rows.Row
    fingerprint: str

    @property
    def external_id(self) -> str:
        return str(self.row.id)


Told = Fresh | Same


class Reader:
    """Names that rows lack are asked for once, when the first row comes: an empty region costs no call for them."""

    def __init__(
        self,
        region: str,
        flavors: Callable[[], Mapping[str, rows.Flavor]],
        images: Callable[[], Mapping[str, str]],
        known: KnownRows | None = None,
    ) -> None:
        self._region = region
        self._ask_flavors, self._ask_images = flavors, images
        self._flavors: Mapping[str, rows.Flavor] | None = None
        self._images: Mapping[str, str] | None = None
        self._known = known
        self._prints: Prints | None = None

    def split(self, page: list[msgspec.Raw]) -> list[Told]:
        """A page, row by row. Unexpected when one that is not known is no server."""
        if self._known is None:
            return [Fresh(rows.read(raw), "") for raw in page]
        if not page:
            return []
        told: list[Told] = []
        prints = self._look(rows.read(page[0]))
        for raw in page:
            fingerprint = prints.of(raw)
            external_id = self._known.had.get(fingerprint)
            if external_id is not None:
                told.append(Same(external_id))
                continue
            row = rows.read(raw)
            if (later := self._look(row)) is not prints:
                prints = later
                fingerprint = prints.of(raw)
            told.append(Fresh(row, fingerprint))
        return told

    def facts(self, page: Iterable[Told]) -> Page:
        """The servers of a page that are not deleted."""
        found: list[ServerFacts | Same] = []
        for told in page:
            if isinstance(told, Same):
                found.append(told)
                continue
            self._look(told.row)
            read = rows.facts(told.row, self._region, self._flavors or {}, self._images or {})
            if read is not None:
                found.append(read)
                if self._known is not None:
                    self._known.noted[read.external_id] = told.fingerprint
        return tuple(found)

    def _look(self, row: rows.Row) -> Prints:
        """Ask for what this row needs and nobody asked for yet; returns the prints of all that is known now."""
        if self._flavors is None and row.names_a_flavor_by_id:
            self._flavors, self._prints = self._ask_flavors(), None
        if self._images is None:
            self._images = self._ask_images()
        if self._prints is None:
            self._prints = Prints([self._region, self._flavors, self._images], rows)
        return self._prints
