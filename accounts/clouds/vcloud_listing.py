"""Every server of a vCloud account: by the query service since 1.5, by a walk in parallel in 1.0.

Traps (../shared/CLOUDS.md §2.1–2.2): pages of at most 128, cut further by some cells without a word; no record of a
server carries its addresses below 5.7; 1.0 has neither a query nor paging.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from accounts.clouds import vcloud_rows as rows
from accounts.clouds import vcloud_xml as xml
from accounts.clouds.base import Page, ServerFacts
from accounts.clouds.known import KnownRows
from accounts.clouds.operations import Untold
from accounts.clouds.vcloud_reading import Reader, Told
from accounts.clouds.vcloud_replies import CELL
from accounts.clouds.vcloud_wire import Wire
from console.lib.faults import Refused, Unexpected

MOST_PAGES: Final = 500
RESTARTS: Final = 2
AT_ONCE: Final = 64  # vApps whose servers make a page
MOST_CHANGED: Final = 100  # beyond that the whole list is fewer calls


class Listing:
    """Reading the servers of one account. `region` is the name of a virtual data centre, None for all."""

    def __init__(self, wire: Wire, region: str | None) -> None:
        self._wire = wire
        self._region = region
        self._regions: dict[str, str] | None = None

    @property
    def queries(self) -> bool:
        return self._wire.spoken.generation != "1.0"

    def vdcs(self) -> dict[str, str]:
        """Name by address of the virtual data centres to read. Unexpected when the region names none of them."""
        found = self._wire.vdcs()
        if not found and self.queries:
            # From 33 on some organisations name their data centres only through the query service.
            found = {record.get("href", ""): xml.cut(record.get("name", "")) for record in self.records("orgVdc")}
        self._regions = {xml.tail(address): name for address, name in found.items()}
        if self._region:
            found = {address: name for address, name in found.items() if name == self._region}
            if not found:
                raise Unexpected(f"The organisation has no virtual data centre named {self._region}.")
        return found

    def pages(self, known: KnownRows | None = None) -> Iterator[Page]:
        """Each server once. A listing that ends without a fault is complete. A walk (1.0) reads every document."""
        return self._queried(known) if self.queries else self._walked()

    def first(self) -> None:
        """Read from the compute part, to see that the account may."""
        self.vdcs()
        if self.queries:
            self._wire.get(self._wire.query("vm").replace("pageSize=128", "pageSize=1"))

    def one(self, external_id: str) -> ServerFacts | None:
        """A server by id, with the same facts as a listing gives; None when the cell says that it does not exist."""
        vm = self._wire.find(self.address(external_id))
        if vm is None:
            return None
        up = xml.link(xml.named(vm, "Vm"), "up", "vApp")
        if not up:
            return rows.facts(vm, "")
        if not self.queries:
            return self._in_vapp(vm, up, external_id)
        # Its own record, for the same facts as in a listing: a refresh must not look like a change.
        for page in self._read(self._wire.query("vm", f"container=={quote(up, safe='')}")):
            for record in page:
                if xml.tail(record.get("href", "")) == external_id:
                    names = self._names()
                    lacks = Reader(self._wire, names).lacks(record)
                    return rows.record_facts(record, names, rows.details(vm) if lacks else None)
        return self._in_vapp(vm, up, external_id)

    def address(self, external_id: str) -> str:
        """Where a server is. The one address that is not taken from a link: an id is all that is kept between two
        processes, and every version has {root}/vApp/{id} (../shared/fixtures)."""
        return f"{self._wire.spoken.root}/vApp/{quote(external_id, safe='')}"

    def records(self, kind: str) -> list[xml.Element]:
        """Every record of the query service of another kind than servers."""
        return [record for page in self._read(self._wire.query(kind)) for record in page]

    def changes(self, since: datetime) -> tuple[tuple[ServerFacts, ...], frozenset[str]]:
        """By the tasks that ended or began since: records of servers have no date of change. May raise Untold."""
        moment = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        touched: set[str] = set()
        for page in self._read(self._wire.query("task", f"(endDate=gt={moment},startDate=gt={moment})")):
            touched |= {xml.tail(record.get("object", "")) for record in page}
        vapps = [f"{self._wire.spoken.root}/vApp/{quote(name)}" for name in touched if name.startswith("vapp-")]
        machines = {name for name in touched if name.startswith("vm-")}
        for inside in self._wire.gather(vapps[:MOST_CHANGED], rows.all_details):
            if inside is None:
                raise Untold  # the vApp is gone, and nothing tells which servers went with it
            machines |= set(inside)
        if len(vapps) + len(machines) > MOST_CHANGED:
            raise Untold
        found = {name: self.one(name) for name in sorted(machines)}
        gone = frozenset(name for name, facts in found.items() if facts is None)
        return tuple(facts for facts in found.values() if facts is not None), gone

    # --- 1.0

    def _walked(self) -> Iterator[Page]:
        vdcs = self.vdcs()
        seen: set[str] = set()
        hidden: list[str] = []
        addresses = list(dict.fromkeys(vapp for vapps in self._wire.gather(vdcs, _vapps) for vapp in vapps or ()))
        page: list[ServerFacts] = []
        for place, machines in enumerate(self._wire.stream(addresses, self._machines), 1):
            if machines is None:
                hidden.append(addresses[place - 1])
            fresh = [facts for facts in machines or () if facts.external_id not in seen]
            seen.update(facts.external_id for facts in fresh)
            page += fresh
            if page and (place % AT_ONCE == 0 or place == len(addresses)):
                yield tuple(page)
                page = []
        # "Not there" and "not for you" are the same 403. What the data centre still lists is there, and a listing
        # without it would make its servers look deleted.
        if hidden and set(hidden) & {vapp for vapps in self._wire.gather(vdcs, _vapps) for vapp in vapps or ()}:
            raise Refused("The cell lists a vApp that it does not show, so its servers cannot be listed completely.")

    def _in_vapp(self, vm: xml.Element, up: str, external_id: str) -> ServerFacts:
        """From the vApp that it is in, which also tells the virtual data centre."""
        vapp = self._wire.find(up)
        for facts in self._machines(vapp) if vapp is not None else ():
            if facts.external_id == external_id:
                return facts
        return rows.facts(vm, "")

    def _machines(self, vapp: xml.Element) -> list[ServerFacts]:
        vdc = xml.tail(xml.link(vapp, "up", "vdc"))
        return [rows.facts(vm, self._names().get(vdc, vdc)) for vm in rows.machines(vapp)]

    def _names(self) -> dict[str, str]:
        if self._regions is None:
            self.vdcs()
        return self._regions or {}

    # --- since 1.5

    def _queried(self, known: KnownRows | None) -> Iterator[Page]:
        wanted = frozenset(map(xml.tail, self.vdcs()))
        reader = Reader(self._wire, self._names(), wanted if self._region else None, known)
        return reader.pages(self._told(self._wire.query("vm", "isVAppTemplate==false"), reader))

    def _read(self, address: str) -> Iterator[list[xml.Element]]:
        return (told.fresh for told in self._told(address))

    def _told(self, address: str, reader: Reader | None = None) -> Iterator[Told]:
        """Records of every page, each once, of a pass in which the cell counted the same on all pages and listed as
        many. Until then nothing is told.

        What is deleted meanwhile moves later records onto pages that were read already, and still stands in what was
        read: a count that falls is the only sign. So there is another pass, which alone says what there is. A cell that
        never stands still shows all that any pass saw: what is there all the time hides from none but one or two.
        """
        earlier: dict[str, Told] = {}
        for _ in range(RESTARTS + 1):
            seen: set[str] = set()
            pages: list[Told] = []
            counts: set[int] = set()
            for page, total in self._once(address, reader):
                counts.add(total)
                same = list(dict.fromkeys(one for one in page.same if one not in seen))
                seen.update(same)
                fresh = {xml.tail(record.get("href", "")): record for record in page.fresh}
                fresh = {name: record for name, record in fresh.items() if name not in seen}
                seen.update(fresh)
                pages.append(Told(same, list(fresh.values())))
            if len(counts) < 2 and len(seen) >= max(counts, default=0):
                yield from filter(any, pages)
                return
            earlier |= {one: Told([one], []) for page in pages for one in page.same}
            earlier |= {xml.tail(one.get("href", "")): Told([], [one]) for page in pages for one in page.fresh}
        if len(earlier) < total:
            raise Unexpected(
                f"The cell counts {total} entries but lists {len(earlier)}, so its listing is not complete."
            )
        yield from earlier.values()

    def _once(self, address: str, reader: Reader | None) -> Iterator[tuple[Told, int]]:
        read: set[str] = set()
        same: list[str] = []
        while address:
            if address in read or len(read) >= MOST_PAGES:
                raise Unexpected(f"The cell's listing does not end after {len(read)} pages.")
            read.add(address)
            content = self._wire.content(address)
            if reader is not None:
                content, same = reader.cut(content)
            page = xml.parse(content, CELL)
            total = xml.number(page.get("total", ""))
            if xml.name_of(page) != "QueryResultRecords" or total is None:
                raise Unexpected("The cell answered a query with something that is not a page of records.")
            yield Told(same, _records(page)), total
            address = xml.link(page, "nextPage")


def _records(page: xml.Element) -> list[xml.Element]:
    return [child for child in page if xml.name_of(child).endswith("Record")]


def _vapps(vdc: xml.Element) -> list[str]:
    entities = xml.children(xml.named(vdc, "Vdc", "AdminVdc"), "ResourceEntities", "ResourceEntity")
    return [found.get("href", "") for found in entities if found.get("type", "") == f"{xml.VCLOUD}vApp+xml"]
