"""Every server of a vCloud account: by the query service since 1.5, by a walk in parallel in 1.0.

Traps (../shared/CLOUDS.md §2.1–2.2): pages of at most 128, cut further by some cells without a word; no record of a
server carries its addresses below 5.7; 1.0 has neither a query nor paging.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from accounts.clouds import vcloud_rows as rows
from accounts.clouds import vcloud_xml as xml
from accounts.clouds.base import ServerFacts
from accounts.clouds.operations import Untold
from accounts.clouds.vcloud_addresses import Known
from accounts.clouds.vcloud_rows import Record
from accounts.clouds.vcloud_wire import Wire
from console.lib.faults import Refused, Unexpected

MOST_PAGES: Final = 500
RESTARTS: Final = 2
AT_ONCE: Final = 64  # vApps read before their servers are handed on
MOST_CHANGED: Final = 100  # beyond that the whole list is fewer calls

Page = tuple[ServerFacts, ...]


class Listing:
    """Reading the servers of one account. `region` is the name of a virtual data centre, None for all."""

    def __init__(self, wire: Wire, known: Known, region: str | None) -> None:
        self._wire = wire
        self._known = known
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

    def pages(self) -> Iterator[Page]:
        """Each server once. A listing that ends without a fault is complete."""
        return self._queried() if self.queries else self._walked()

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
                    details = rows.details(vm) if self._lacks(record) else None
                    return rows.record_facts(record, self._names(), details)
        return self._in_vapp(vm, up, external_id)

    def address(self, external_id: str) -> str:
        """Where a server is. The one address that is not taken from a link: an id is all that is kept between two
        processes, and every version has {root}/vApp/{id} (../shared/fixtures)."""
        return f"{self._wire.spoken.root}/vApp/{quote(external_id, safe='')}"

    def records(self, kind: str) -> list[Record]:
        """Every record of the query service of another kind than servers."""
        return [record for page in self._read(self._wire.query(kind, sort="name")) for record in page]

    def changes(self, since: datetime) -> tuple[Page, frozenset[str]]:
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
        for start in range(0, len(addresses), AT_ONCE):
            some = addresses[start : start + AT_ONCE]
            page = []
            read = self._wire.gather(some, self._machines)
            for facts in (facts for machines in read for facts in machines or ()):
                if facts.external_id not in seen:
                    seen.add(facts.external_id)
                    page.append(facts)
            if page:
                yield tuple(page)
            hidden += [address for address, machines in zip(some, read, strict=True) if machines is None]
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

    def _queried(self) -> Iterator[Page]:
        vdcs = {xml.tail(address) for address in self.vdcs()}
        read: dict[str, dict[str, rows.Details]] = {}
        for records in self._read(self._wire.query("vm", "isVAppTemplate==false", sort="name")):
            page = [record for record in records if not _left_out(record)]
            if self._region:
                page = [record for record in page if xml.tail(record.get("vdc", "")) in vdcs]
            if page:
                yield tuple(self._facts(page, read))

    def _read(self, address: str) -> Iterator[list[Record]]:
        """Records of every page that are new, until no page follows and as many were seen as the cell counts.

        A server that is deleted meanwhile moves later ones onto pages that were read already: then from the start.
        """
        seen: set[str] = set()
        total = 0
        for _ in range(RESTARTS + 1):
            for page, counted in self._once(address):
                total = counted
                fresh = [record for record in page if record.get("href", "") not in seen]
                seen |= {record.get("href", "") for record in fresh}
                if fresh:
                    yield fresh
            if len(seen) >= total:
                return
        raise Unexpected(f"The cell counts {total} entries but lists {len(seen)}, so its listing is not complete.")

    def _once(self, address: str) -> Iterator[tuple[list[Record], int]]:
        read: set[str] = set()
        while address:
            if address in read or len(read) >= MOST_PAGES:
                raise Unexpected(f"The cell's listing does not end after {len(read)} pages.")
            read.add(address)
            page = self._wire.get(address)
            total = xml.number(page.get("total", ""))
            if xml.name_of(page) != "QueryResultRecords" or total is None:
                raise Unexpected("The cell answered a query with something that is not a page of records.")
            yield _records(page), total
            address = xml.link(page, "nextPage")

    def _facts(self, page: Sequence[Record], read: dict[str, dict[str, rows.Details]]) -> list[ServerFacts]:
        """`read` keeps what each vApp's document told, since its servers may stand on several pages."""
        found: dict[str, rows.Details] = {}
        lacking: dict[str, Record] = {}
        for record in page:
            if self._lacks(record):
                vm_id = xml.tail(record.get("href", ""))
                known = self._known.get(vm_id, record)
                if known is None:
                    lacking[vm_id] = record
                else:
                    found[vm_id] = known
        vapps = {record.get("container", "") for record in lacking.values()} - read.keys() - {""}
        for vapp, inside in zip(vapps, self._wire.gather(vapps, rows.all_details), strict=True):
            read[vapp] = inside or {}
        for vm_id, record in lacking.items():
            details = read.get(record.get("container", ""), {}).get(vm_id)
            if details is not None:
                found[vm_id] = details
                self._known.put(vm_id, record, details)
        regions = self._names()
        return [rows.record_facts(record, regions, found.get(xml.tail(record.get("href", "")))) for record in page]

    def _lacks(self, record: Record) -> bool:
        """Whether only its document tells the addresses."""
        if self._wire.spoken.version < (5, 7):
            return True
        return not record.get("ipAddress", "") and record.get("networkName", "") not in ("", "none")


def _records(page: xml.Element) -> list[Record]:
    return [child for child in page if xml.name_of(child).endswith("Record")]


def _left_out(record: Record) -> bool:
    return xml.truth(record.get("isVAppTemplate", "")) or xml.truth(record.get("isDeleted", ""))


def _vapps(vdc: xml.Element) -> list[str]:
    entities = xml.children(xml.named(vdc, "Vdc", "AdminVdc"), "ResourceEntities", "ResourceEntity")
    return [found.get("href", "") for found in entities if found.get("type", "") == f"{xml.VCLOUD}vApp+xml"]
