"""The query service of 1.5 and later: types, filters, sorting, pages, and three formats.

A page larger than the cell's maximum is cut to it in silence, as the manuals of 1.5 and 5.5 say.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from urllib.parse import urlencode

from console.demo.vcloud_cloud import Cloud
from console.demo.vcloud_filters import filtered, sortable
from console.demo.vcloud_records import KINDS, Found, Kind, Row
from console.demo.vcloud_things import bad
from console.demo.vcloud_xml import Dialect, el, media
from console.demo.wire import Reply, Request

Cache = dict[object, list[Found]]


def query_list(d: Dialect) -> bytes:
    """What may be asked for, and in which formats (queryList.xml)."""
    links = (
        d.link("down", f"query?type={name}&format={shape}", f"query.{shape}", name)
        for name, kind in KINDS.items()
        if d.since(kind.since)
        for shape in kind.formats
    )
    return d.document("QueryList", {"type": media("query.queryList"), "href": d.href("query")}, *links)


def query(d: Dialect, cloud: Cloud, request: Request, cache: Cache) -> Reply:
    """One page of records. Raises Trouble for a type, attribute or number that is none."""
    name, shape = request.param("type") or "", request.param("format") or "records"
    kind = KINDS.get(name)
    if kind is None or not d.since(kind.since) or shape not in kind.formats:
        raise bad(f"The query type {name} in the format {shape} is not supported.")
    wanted = request.param("filter") or ""
    order = [(key, value) for key, value in request.query if key in ("sortAsc", "sortDesc")]
    key = (cloud.stamp, d, name, wanted, request.param("filterEncoded"), tuple(order))
    rows = cache.get(key)
    if rows is None:
        cache.clear()
        keep = filtered(wanted, encoded=request.param("filterEncoded") == "true")
        rows = [row for row in kind.rows(d, cloud) if keep(row[2])]
        for direction, attribute in reversed(order):
            rows.sort(key=lambda row, by=attribute: sortable(row[2].get(by)), reverse=direction == "sortDesc")  # type: ignore[misc]
        cache[key] = rows
    try:
        page, size = int(request.param("page") or 1), int(request.param("pageSize") or 25)
    except ValueError as error:
        raise bad("validation error on field 'page': not a number") from error
    if page < 1 or size < 1:
        raise bad("validation error on field 'pageSize': must be greater than or equal to 1")
    size = min(size, cloud.max_page)
    part = rows[(page - 1) * size : page * size]
    links = _links(request, shape, page, size, len(rows), kind.formats)
    if "json" in request.headers.get("Accept", ""):
        return _json(d, kind, part, links, page, size, len(rows))
    inner = [
        el("Link", {"rel": rel, "type": media(f"query.{what}"), "href": d.href(path)}) for rel, what, path in links
    ]
    inner += [_record(d, kind, shape, path, urn, row) for path, urn, row in part]
    root = f"{kind.element}References" if shape == "references" else "QueryResultRecords"
    here = _path(request, page=page, pageSize=size, format=shape)
    attributes: Row = {"total": len(rows), "pageSize": size, "page": page, "name": name}
    attributes |= {"type": media(f"query.{shape}"), "href": d.href(here)}
    return d.reply(d.document(root, attributes, *inner), f"query.{shape}")


def _record(d: Dialect, kind: Kind, shape: str, path: str, urn: str, row: Row) -> str:
    if shape == "references":
        attributes: Row = {"type": media(kind.short), "name": row.get("name"), "href": d.href(path)}
        return el(f"{kind.element}Reference", attributes)
    where: Row = {"id": d.urn(urn, re.sub(r"^(vm|vapp|vappTemplate)-", "", path.rpartition("/")[2]))}
    if shape == "records":
        where = {"href": None if urn == "event" else d.href(path)}  # an event has no document of its own
    return el(f"{kind.element}Record", {**row, **where})


def _json(d: Dialect, kind: Kind, rows: list[Found], links: list[tuple[str, str, str]],
          page: int, size: int, total: int) -> Reply:  # fmt: skip
    records = [
        {"_type": f"QueryResult{kind.element}RecordType", "href": d.href(path), "link": [], **_told(row)}
        for path, _, row in rows
    ]
    value = {
        "otherAttributes": {},
        "link": [{"rel": rel, "href": d.href(path), "type": f"application/vnd.vmware.vcloud.query.{what}+json"}
                 for rel, what, path in links],
        "name": kind.short, "page": page, "pageSize": size, "total": total, "record": records,
    }  # fmt: skip
    header = {"Content-Type": f"application/vnd.vmware.vcloud.query.records+json;version={d.version}"}
    return Reply(200, json.dumps(value).encode(), header)


def _told(row: Row) -> Row:
    plain = ((key, value) for key, value in row.items() if value is not None)
    return {
        key: value.isoformat(timespec="milliseconds") if isinstance(value, datetime) else value for key, value in plain
    }


def _path(request: Request, **changes: object) -> str:
    params = {**dict(request.query), **{key: str(value) for key, value in changes.items()}}
    return f"query?{urlencode(params)}"


def _links(request: Request, shape: str, page: int, size: int, total: int,
           formats: tuple[str, ...]) -> list[tuple[str, str, str]]:  # fmt: skip
    last = max(1, -(-total // size))
    found = []
    if page > 1:
        found += [("firstPage", 1), ("previousPage", page - 1)]
    if page < last:
        found += [("nextPage", page + 1), ("lastPage", last)]
    links = [(rel, shape, _path(request, page=where, pageSize=size, format=shape)) for rel, where in found]
    others = (one for one in formats if one != shape)
    return links + [("alternate", one, _path(request, page=page, pageSize=size, format=one)) for one in others]
