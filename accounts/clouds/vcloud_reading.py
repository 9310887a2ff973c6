"""Records of the query service → facts. Below 5.7 they carry no addresses, and a call for each vApp at every listing
would cost more than the list (../shared/CLOUDS.md §2.2): a document is read when the record of its server is not known.
"""

from __future__ import annotations

import re
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple
from zlib import crc32

from accounts.clouds import vcloud_rows as rows
from accounts.clouds import vcloud_xml as xml
from accounts.clouds.base import Page, Same, ServerFacts
from accounts.clouds.known import KnownRows, Prints
from accounts.clouds.vcloud_wire import Wire

EVERY: Final = 3600.0  # seconds after which a document is read again: an address may move and leave the record as it is
AT_ONCE: Final = 1000  # records that wait for their documents

_NAME: Final = re.compile(rb"(?:[\w.-]+:)?\w+Record(?=\s)").match
_ADDRESS: Final = re.compile(rb'\sipAddress="[^"]').search
_PRINT: Final = b"muster-print"


class Told(NamedTuple):
    """A page: the ids of the servers whose records are known, and the other records."""

    same: list[str]
    fresh: list[xml.Element]


class Reader:
    """One listing. `regions`: name by id of the virtual data centres. `only`: the ids of those whose servers are
    wanted, None for all."""

    def __init__(
        self,
        wire: Wire,
        regions: Mapping[str, str],
        only: frozenset[str] | None = None,
        known: KnownRows | None = None,
    ) -> None:
        self._wire = wire
        self._regions = regions
        self._only = only
        self._known = known
        self._now = time.time()
        self._hours: dict[bytes, bytes] = {}
        version = wire.spoken.version
        self._bare = version < (5, 7)
        self._prints = Prints([regions, sorted(only or ()), version], rows, xml, sys.modules[__name__])

    def cut(self, content: bytes) -> tuple[bytes, list[str]]:
        """A page of records without those that are known, and their ids. The others carry their fingerprint."""
        if self._known is None:
            return content, []
        had, fingerprint_of = self._known.had, self._prints.of
        same: list[str] = []
        kept: list[bytes] = []
        for piece in content.split(b"<"):  # in XML no "<" is anything but the start of markup
            end = piece.find(b">")
            # A whole element with nothing in it: without it, or with one more attribute, the page is as well-formed as
            # it was. A ">" may stand in a value too, but no quote may within its own kind: so the one before this end
            # must not be one that opens. Records with values in single quotes are always read.
            whole = end > 0 and _NAME(piece) and piece[end - 2 : end] == b'"/'
            if not whole or piece[end - 3] in b"= \t\r\n" or b"='" in piece:
                kept.append(piece)
                continue
            record = piece[: end - 1]
            fingerprint = fingerprint_of(record + self._hour(record))
            external_id = had.get(fingerprint)
            if external_id is None:
                kept.append(b'%b %b="%b"%b' % (record, _PRINT, fingerprint.encode(), piece[end - 1 :]))
            else:
                same.append(external_id)
                kept[-1] += piece[end + 1 :]
        return b"<".join(kept), same

    def pages(self, listed: Iterable[Told]) -> Iterator[Page]:
        """The servers among these records, each page whole, except for those that wait for their documents."""
        waiting: list[xml.Element] = []
        for told in listed:
            page: list[ServerFacts | Same] = [Same(external_id) for external_id in told.same]
            for record in filter(self._wanted, told.fresh):
                if self.lacks(record):
                    waiting.append(record)
                else:
                    page.append(self._facts(record, None))
            if page:
                yield tuple(page)
            if len(waiting) >= AT_ONCE:
                yield self._documented(waiting)
                waiting = []
        if waiting:
            yield self._documented(waiting)

    def lacks(self, record: xml.Element) -> bool:
        """Whether only its document tells the addresses."""
        if self._bare:
            return True
        return not record.get("ipAddress", "") and record.get("networkName", "") not in ("", "none")

    def _wanted(self, record: xml.Element) -> bool:
        if xml.truth(record.get("isVAppTemplate", "")) or xml.truth(record.get("isDeleted", "")):
            return False
        return self._only is None or xml.tail(record.get("vdc", "")) in self._only

    def _hour(self, record: bytes) -> bytes:
        """What makes its fingerprint another one each hour, where its document may be read too. Not for all vApps at
        the same moment, but for all servers of one, since they share the document."""
        if not self._bare and _ADDRESS(record):
            return b""
        start = record.find(b'container="') + 11
        container = record[start : record.find(b'"', start)] if start > 10 else b""
        hour = self._hours.get(container)
        if hour is None:
            hour = self._hours[container] = b"%d" % ((self._now + crc32(container) % EVERY) // EVERY)
        return hour

    def _documented(self, waiting: list[xml.Element]) -> Page:
        """A vApp's document tells of all its servers; of one alone, its own document is a fraction of that."""
        beside = Counter(record.get("container", "") for record in waiting)
        sources = [
            record.get("container" if beside[record.get("container", "")] > 1 else "href", "") for record in waiting
        ]
        addresses = [address for address in dict.fromkeys(sources) if address]
        read = dict(zip(addresses, self._wire.gather(addresses, rows.all_details), strict=True))
        return tuple(
            self._facts(record, (read.get(source) or {}).get(xml.tail(record.get("href", ""))), documented=True)
            for record, source in zip(waiting, sources, strict=True)
        )

    def _facts(self, record: xml.Element, found: rows.Details | None, *, documented: bool = False) -> ServerFacts:
        facts = rows.record_facts(record, self._regions, found)
        # What a task is at work on may change under an unchanged record, and what was not shown may be next time.
        busy = xml.truth(record.get("isBusy", ""))
        if self._known is not None and not busy and (found is not None or not documented):
            self._known.noted[facts.external_id] = record.get(_PRINT.decode(), "")
        return facts
