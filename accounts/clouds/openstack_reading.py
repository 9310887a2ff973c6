"""One region's rows of servers/detail → facts, without decoding those that are known."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from accounts.clouds import openstack_rows as rows
from accounts.clouds.base import Page, Same, ServerFacts
from accounts.clouds.known import KnownRows, Prints
from accounts.clouds.openstack_signin import Compute, alike


class Fresh(msgspec.Struct, gc=False):
    """A row that was decoded, and its fingerprint ("" when nobody asked for it)."""

    row: rows.Row
    fingerprint: str

    @property
    def external_id(self) -> str:
        return str(self.row.id)


Told = Fresh | Same


class Seen:
    """What a listing has shown so far, of all regions: each server comes once."""

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.numbering: Compute | None = None  # the region whose servers have numbers for ids

    def fresh(self, page: list[Told], compute: Compute) -> list[Told]:
        """Those that were not seen before. Refused when two regions number their servers: equal ids are two servers."""
        if page and page[0].external_id.isdecimal():
            if self.numbering is not None and self.numbering.url != compute.url:
                raise alike(self.numbering, compute)
            self.numbering = compute
        found = []
        for told in page:
            external_id = told.external_id
            if external_id not in self.ids:
                self.ids.add(external_id)
                found.append(told)
        return found


class Names:
    """One region's sizes and images by id, asked for when the first row needs them: an empty region costs no call."""

    def __init__(
        self, ask_flavors: Callable[[], Mapping[str, rows.Flavor]], ask_images: Callable[[], Mapping[str, str]]
    ) -> None:
        self._ask_flavors, self._ask_images = ask_flavors, ask_images
        self.flavors: Mapping[str, rows.Flavor] | None = None
        self.images: Mapping[str, str] | None = None
        self._in_vain: set[str] = set()

    def ask_for(self, row: rows.Row) -> bool:
        """Ask for what this row needs and nobody asked for yet; whether that was anything."""
        asked = False
        if self.flavors is None and row.flavor_id:
            self.flavors, asked = self._ask_flavors(), True
        if self.images is None:
            self.images, asked = self._ask_images(), True
        return asked

    def renew_for(self, row: rows.Row) -> None:
        """Ask again for what was asked before this row's size or image was made. Once for each id: a deleted image
        stays unknown."""
        if self.flavors is not None and self._new(row.flavor_id, self.flavors):
            self.flavors = None
        if self.images is not None and self._new(row.image_id, self.images):
            self.images = None
        self.ask_for(row)
        for wanted, found in ((row.flavor_id, self.flavors), (row.image_id, self.images)):
            if wanted and wanted not in (found or {}):
                self._in_vain.add(wanted)

    def _new(self, wanted: str, known: Mapping[str, object]) -> bool:
        return bool(wanted) and wanted not in known and wanted not in self._in_vain


class Reader:
    """Reads the rows of one call. What they name by id is in `names`."""

    def __init__(self, region: str, names: Names, known: KnownRows | None = None) -> None:
        self._region = region
        self._names = names
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
            read = rows.facts(told.row, self._region, self._names.flavors or {}, self._names.images or {})
            if read is not None:
                found.append(read)
                if self._known is not None:
                    self._known.noted[read.external_id] = told.fingerprint
        return tuple(found)

    def _look(self, row: rows.Row) -> Prints:
        """Ask for what this row needs and nobody asked for yet; returns the prints of all that is known now."""
        if self._names.ask_for(row) or self._prints is None:
            self._prints = Prints([self._region, self._names.flavors, self._names.images], rows)
        return self._prints
