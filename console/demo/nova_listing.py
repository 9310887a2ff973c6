"""GET /servers of a simulated Nova: pages, filters, orders, changes-since."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from console.demo.calls import Call, Refusal
from console.demo.instance import STATES, Instance
from console.demo.wire import Reply

SORT_KEYS: dict[str, Callable[[Instance], Any]] = {
    "created_at": lambda one: one.created,
    "updated_at": lambda one: one.updated,
    "uuid": lambda one: one.id,
    "display_name": lambda one: one.name,
    "vm_state": lambda one: one.vm_state,
    "power_state": lambda one: one.power_state,
    "task_state": lambda one: one.task_state or "",
    "key_name": lambda one: one.key_name or "",
    "project_id": lambda one: one.project_id,
    "user_id": lambda one: one.user_id,
    "instance_type_id": lambda one: one.flavor,
    "image_ref": lambda one: one.image,
    "hostname": lambda one: one.name,
    "id": lambda one: one.number,
}
# Every sort_key that Nova takes, as its refusal of another one lists them (modern.txt, sortbad). Those that are not
# above are the same for all servers here.
SORT_NAMES = (
    "access_ip_v4", "access_ip_v6", "auto_disk_config", "availability_zone", "config_drive", "created_at",
    "display_description", "display_name", "host", "hostname", "image_ref", "instance_type_id", "kernel_id",
    "key_name", "launch_index", "launched_at", "locked_by", "node", "power_state", "progress", "project_id",
    "ramdisk_id", "root_device_name", "task_state", "terminated_at", "updated_at", "user_id", "uuid", "vm_state",
    "architecture", "cell_name", "cleaned", "default_ephemeral_device", "default_swap_device", "deleted",
    "deleted_at", "disable_terminate", "ephemeral_gb", "ephemeral_key_uuid", "id", "key_data", "launched_on",
    "locked", "memory_mb", "os_type", "reservation_id", "root_gb", "shutdown_terminate", "user_data", "vcpus",
    "vm_mode",
)  # fmt: skip
FILTERS: dict[str, Callable[[Instance, str], bool]] = {
    "status": lambda one, value: one.status == value.upper(),
    "name": lambda one, value: re.search(value, one.name) is not None,
    "image": lambda one, value: one.image == value,
    "flavor": lambda one, value: one.flavor == value,
}


def _whole(call: Call, name: str) -> int | None:
    value = call.request.param(name)
    if value is None:
        return None
    if re.fullmatch(r"\d{1,9}", value):
        return int(value)
    if call.old:
        words = f"{name} param must be {'positive' if value.startswith('-') else 'an integer'}"
        raise Refusal(400, words)
    raise Refusal(
        400, f"Invalid input for query parameters {name}. Value: {value}. '{value}' does not match '^[0-9]*$'"
    )


def moment(text: str, call: Call, name: str = "changes-since") -> datetime:
    """The time that the query names, UTC unless it says otherwise. Raises Refusal."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        words = f"Invalid {name} value"
        if not call.old:
            words = f"Invalid input for query parameters {name}. Value: {text}. '{text}' is not a 'date-time'"
        raise Refusal(400, words) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def filtered(call: Call, servers: list[Instance]) -> list[Instance]:
    """Those that fit the filters of the query. Raises Refusal."""
    for name, fits in FILTERS.items():
        value = call.request.param(name)
        if value is None:
            continue
        if name == "status" and call.old and value.upper() not in STATES:
            raise Refusal(400, f"Invalid server status: {value}")
        try:
            servers = [one for one in servers if fits(one, value)]
        except re.error:
            raise Refusal(400, f"Invalid filter: {value}") from None
    return servers


def _sorted(call: Call, servers: list[Instance]) -> list[Instance]:
    keys, ways = call.request.params("sort_key"), call.request.params("sort_dir")
    for key in keys:
        if key not in SORT_NAMES:
            allowed = ", ".join(f"'{one}'" for one in SORT_NAMES)
            words = f"Invalid input for query parameters sort_key. Value: {key}. '{key}' is not one of [{allowed}]"
            raise Refusal(400, words)
    # The last key first: Python's sort is stable. Nova's own default direction is descending.
    for place in reversed(range(len(keys))):
        down = (ways[place] if place < len(ways) else "desc") != "asc"
        if keys[place] in SORT_KEYS:
            servers = sorted(servers, key=SORT_KEYS[keys[place]], reverse=down)
    return servers


def _page(call: Call) -> tuple[list[Instance], int | None]:
    """The servers of this page, and the limit if one was given."""
    cloud, limit = call.cloud, _whole(call, "limit")
    count = cloud.max_limit if limit is None else min(limit, cloud.max_limit)
    marker_id, since = call.request.param("marker"), call.request.param("changes-since")
    before = call.request.param("changes-before") if call.style.minor >= 66 and not call.old else None
    with cloud.lock:
        _, everything = cloud.ordered(call.project_id)
        marker = None
        if marker_id is not None:
            marker = cloud.instances.get(marker_id)
            # A marker just deleted still works in modern clouds. Essex looks for it in what it is about to list, and
            # deleted servers are among that only with changes-since (CLOUDS.md 2.5 and 2.6; its limited_by_marker).
            marker = marker or (None if call.old and since is None else cloud.buried.get(marker_id))
            if marker is None:
                raise Refusal(400, f"marker [{marker_id}] not found")
        wants = (
            bool(cloud.down)
            or (since or before) is not None
            or any(call.request.param(name) is not None for name in (*FILTERS, "sort_key"))
        )
        if not wants:
            return cloud.after(call.project_id, marker, count), limit
        # Nova has rows of a cell that is down for those only who ask for 2.69, and without a limit, marker or order.
        servers = [one for one in everything if one.id not in cloud.down]
        if since is not None or before is not None:
            servers += [one for one in cloud.buried.values() if one.project_id == call.project_id]
            servers = [one for one in servers if since is None or one.updated >= moment(since, call)]
            last = None if before is None else moment(before, call, "changes-before")
            servers = [one for one in servers if last is None or one.updated <= last]
            servers.sort(key=lambda one: (-one.created.timestamp(), one.id))
        servers = filtered(call, servers)
        if not call.old:
            servers = _sorted(call, servers)
        if marker is None:
            return servers[:count], limit
        places = [place for place, one in enumerate(servers) if one.id == marker.id]
        if not places:
            raise Refusal(400, f"marker [{marker_id}] not found")
        return servers[places[0] + 1 : places[0] + 1 + count], limit


def _listing(call: Call, detail: bool) -> Reply:
    servers, limit = _page(call)
    write = call.style.server if detail else call.style.brief
    key = (*call.style.key, "detail" if detail else "brief")
    pieces = []
    for one in servers:
        piece = one.rendered.get(key)
        if piece is None:
            piece = one.rendered[key] = json.dumps(write(one)).encode()
        pieces.append(piece)
    body = b'{"servers": [' + b", ".join(pieces) + b"]"
    # Essex gives a next link only when the page is as long as the limit asked for, and leaves "/detail" out of it.
    full = limit if call.old else min(call.cloud.max_limit if limit is None else limit, call.cloud.max_limit)
    if servers and full == len(servers):
        kept = [(name, value) for name, value in call.request.query if name != "marker"]
        query = urlencode([*kept, ("marker", servers[-1].id)])
        path = "servers/detail" if detail and not call.old else "servers"
        links = [{"rel": "next", "href": f"{call.style.here}/{path}?{query}"}]
        body += b', "servers_links": ' + json.dumps(links).encode()
    return Reply(200, body + b"}", {"Content-Type": "application/json"})


def servers(call: Call) -> Reply:
    """GET /servers."""
    return _listing(call, detail=False)


def servers_detail(call: Call) -> Reply:
    """GET /servers/detail."""
    return _listing(call, detail=True)
