"""OpenStack, the reading half: Nova from Diablo to today, over raw JSON.

openstacksdk is not in this path: it costs 1.9 ms of CPU a server, and on Essex its pager follows `next` links that
drop /detail, so that later pages have neither state nor addresses (seen: ../shared/CLOUDS.md §1 and §2.5).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlencode

import msgspec

from accounts.clouds import openstack_replies as replies
from accounts.clouds import openstack_rows as rows
from accounts.clouds import openstack_signin as signin
from accounts.clouds.base import Checked, Page, ServerFacts
from accounts.clouds.known import KnownRows
from accounts.clouds.openstack_calls import NOVA, Calls
from accounts.clouds.openstack_reading import Fresh, Names, Reader, Seen, Told
from accounts.clouds.operations import Operation, Untold, require
from console.lib.faults import Refused, Unexpected

PAGE: Final = 1000  # Nova's own default for the largest page; a smaller cap on its side is fine
MOST_PAGES: Final = 500
RESTARTS: Final = 2

_Query = Mapping[str, str | list[str]]  # a list stands for a name that comes several times
_NO_QUERY: Final[_Query] = MappingProxyType({})


class _Page(msgspec.Struct):
    servers: list[msgspec.Raw]


class _One(msgspec.Struct):
    server: msgspec.Raw


_PAGE: Final = msgspec.json.Decoder(_Page)
_ONE: Final = msgspec.json.Decoder(_One)


class Listing(Calls):
    """The reading half of the driver. The promise of each method is in `accounts.clouds.base.Driver`."""

    def check(self) -> Checked:
        for compute in self._signed_in():
            # A token alone proves little: Essex signs in users who have no role in the project.
            self._listed(compute, {"limit": "1"})
        spoken = sorted({compute.version for compute in self._computes})
        way = f"Keystone v{self._way}" if self._way in ("2.0", "3") else "X-Auth"
        return Checked(f"{way}, Nova {' and '.join(spoken)}", self._generation())

    def servers(self, known: KnownRows | None = None) -> Iterator[Page]:
        seen = Seen()
        for compute in self._signed_in():
            reader = self._reader(compute, known)
            for page in self._pages(compute, reader, seen):
                if facts := reader.facts(page):
                    yield facts

    def changes(self, since: datetime) -> tuple[tuple[ServerFacts, ...], frozenset[str]]:
        require(self.capabilities(), Operation.CHANGES)
        changed: list[ServerFacts] = []
        gone: set[str] = set()
        seen = Seen()
        for compute in self._signed_in():
            at = since.astimezone(UTC)
            # Nova v1.0 reads seconds; v1.1 and later ISO, and refuse the other.
            asked = str(int(at.timestamp())) if compute.version == "v1.0" else at.strftime("%Y-%m-%dT%H:%M:%SZ")
            reader = self._reader(compute)
            for page in self._pages(compute, reader, seen, {"changes-since": asked}):
                if seen.numbering and len(self._signed_in()) > 1:
                    raise Untold  # whether a number of one region is another server's elsewhere, a whole list shows
                deleted = {told.external_id for told in page if isinstance(told, Fresh) and told.row.deleted}
                gone |= deleted
                alive = [told for told in page if told.external_id not in deleted]
                changed.extend(facts for facts in reader.facts(alive) if isinstance(facts, ServerFacts))
        return tuple(changed), frozenset(gone)

    def server(self, external_id: str) -> ServerFacts | None:
        for compute in self._homes(external_id):
            response = self._get(self._server_url(compute, external_id))
            if response.status_code == 404:
                continue
            row = rows.read(replies.decoded(response, _ONE, NOVA, self._secrets).server)
            names = self._names.setdefault(compute.url, self._fresh_names(compute))
            names.renew_for(row)
            if facts := rows.facts(row, compute.region, names.flavors or {}, names.images or {}):
                return facts
        return None

    # --- listings

    def _reader(self, compute: signin.Compute, known: KnownRows | None = None) -> Reader:
        """A listing asks for names anew, and leaves them for servers that are read by id after it."""
        names = self._names[compute.url] = self._fresh_names(compute)
        return Reader(compute.region, names, known)

    def _fresh_names(self, compute: signin.Compute) -> Names:
        return Names(lambda: self._flavors(compute), lambda: self._images(compute))

    def _pages(
        self, compute: signin.Compute, reader: Reader, seen: Seen, query: _Query = _NO_QUERY
    ) -> Iterator[list[Told]]:
        """Rows of every page that are new to `seen`, until the cloud answers an empty page.

        `servers_links` is never followed: Essex leaves it out when no limit was sent, and points it at the wrong
        listing. A page shorter than the limit is not the end either: the cloud may cap pages below our limit.
        """
        if compute.version == "v1.0":
            yield from self._pages_by_offset(compute, reader, seen, query)
            return
        if compute.version == "v2.1":
            # Oldest first, so that a server made meanwhile lands on a page that is still to come; by id within one
            # second, so that the order is the same for each page.
            query = {**query, "sort_key": ["created_at", "uuid"], "sort_dir": ["asc", "asc"]}
        restarts = 0
        marker = ""
        longest, doubtful = 0, False
        for _ in range(MOST_PAGES):
            asked: _Query = {"limit": str(PAGE), **query, **({"marker": marker} if marker else {})}
            listed = self._listed(compute, asked)
            if listed is None:
                # The marker's server was deleted meanwhile (Essex: 400). Rows before it are already in `seen`.
                restarts = _again(restarts)
                marker = ""
                continue
            if not listed and doubtful:
                doubtful = False  # after a full page the end is asked for twice: one empty page may be a slip
                continue
            if not listed:
                return
            doubtful = len(listed) in (PAGE, longest)
            longest = max(longest, len(listed))
            page = reader.split(listed)
            fresh = seen.fresh(page, compute)
            last = page[-1].external_id
            if last == marker:
                raise Unexpected("The compute API repeats the same page, so its listing cannot be read to the end.")
            marker = last
            if fresh:
                yield fresh
        raise Unexpected(f"The compute API has more than {MOST_PAGES} pages of servers.")

    def _pages_by_offset(
        self, compute: signin.Compute, reader: Reader, seen: Seen, query: _Query
    ) -> Iterator[list[Told]]:
        """Nova v1.0 pages by offset and answers a marker with the first page again (diablo.txt, limit=1&marker=2).
        Each page begins with the last row of the one before it; when that one moved up, the listing starts again."""
        restarts, read, last = 0, 0, ""
        for _ in range(MOST_PAGES):
            offset = {"offset": str(read - 1)} if read else {}
            page = reader.split(self._listed(compute, {"limit": str(PAGE), **query, **offset}) or [])
            first = page[0].external_id if page else ""
            if read and first not in seen.ids:
                restarts = _again(restarts)
                read, last = 0, ""
                continue
            if not page or (page[-1].external_id == last and len(page) == 1):
                return
            if page[-1].external_id == last:
                raise Unexpected("The compute API repeats the same page, so its listing cannot be read to the end.")
            read += len(page) - (1 if read else 0)
            last = page[-1].external_id
            if fresh := seen.fresh(page, compute):
                yield fresh
        raise Unexpected(f"The compute API has more than {MOST_PAGES} pages of servers.")

    def _listed(self, compute: signin.Compute, query: _Query) -> list[msgspec.Raw] | None:
        """The rows of one page, not decoded yet; None when the marker is not known there."""
        response = self._get(f"{compute.url}/servers/detail?{urlencode(query, doseq=True)}")
        if response.status_code == 400 and "marker" in query and b"marker" in response.content:
            return None
        return replies.decoded(response, _PAGE, NOVA, self._secrets).servers

    def _flavors(self, compute: signin.Compute) -> dict[str, rows.Flavor]:
        return {str(row["id"]): rows.flavor(row) for row in self._offered(compute, "flavors", "sizes")}

    def _images(self, compute: signin.Compute) -> dict[str, str]:
        """Image names by id, from Nova's proxy, which every microversion below 2.36 has (we ask for none)."""
        try:
            return {str(row["id"]): str(row.get("name") or "") for row in self._offered(compute, "images", "images")}
        except Refused:
            return {}  # a cloud without the proxy, or a role without the right: images are shown by id

    def _offered(self, compute: signin.Compute, kind: str, words: str) -> list[dict[str, Any]]:
        # Essex ignores limit and marker here and answers all of them each time.
        return self._rows(f"{compute.url}/{kind}/detail", kind, words, until_empty=False)

    def _rows(
        self,
        url: str,
        key: str,
        words: str,
        of: str = NOVA,
        query: _Query = _NO_QUERY,
        *,
        until_empty: bool = True,
    ) -> list[dict[str, Any]]:
        """All rows of a listing with limit and marker. `until_empty` costs a call and bears caps that nothing tells."""
        found: dict[str, dict[str, Any]] = {}
        marker = ""
        for _ in range(MOST_PAGES):
            asked: _Query = {"limit": str(PAGE), **query, **({"marker": marker} if marker else {})}
            told = self._read(self._get(f"{url}?{urlencode(asked, doseq=True)}"), of)
            listed = told.get(key)
            if not isinstance(listed, list) or not all(isinstance(row, dict) and "id" in row for row in listed):
                raise Unexpected(f"{of} answered a listing without {words} in it.")
            fresh = {str(row["id"]): row for row in listed if str(row["id"]) not in found}
            found |= fresh
            # A cloud whose pages are smaller than ours (Nova's max_limit) says so by a link to the next.
            if not fresh or (not until_empty and len(listed) < PAGE and not told.get(f"{key}_links")):
                return list(found.values())
            marker = str(listed[-1]["id"])
        raise Unexpected(f"{of} has more than {MOST_PAGES} pages of {words}.")


def _again(restarts: int) -> int:
    if restarts >= RESTARTS:
        raise Unexpected(f"The listing had to start again {restarts + 1} times because servers were deleted meanwhile.")
    return restarts + 1
