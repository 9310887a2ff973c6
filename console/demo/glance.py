"""A small Glance v2 beside a modern simulated Nova: versions, images, one image, deletion.

Fields after its public API reference, not after a capture.
"""

from __future__ import annotations

from typing import Any

from console.demo.cloud import Cloud
from console.demo.keystone import NEEDS_SIGN_IN, fixed_id
from console.demo.offers import Image
from console.demo.wire import Reply, Request, as_html, as_json

# Glance's words for Nova's: a snapshot is queued until its bytes arrive.
STATUSES = {"SAVING": "queued", "ACTIVE": "active", "ERROR": "killed", "DELETED": "deleted"}
FILTERS = ("name", "status", "visibility", "owner", "instance_uuid", "image_type", "container_format", "disk_format")


def shown(image: Image) -> dict[str, Any]:
    """An image in GET /v2/images. What Nova knows of a snapshot is among its fields."""
    ready = image.status == "ACTIVE"
    made_of = {
        "instance_uuid": image.server,
        "base_image_ref": image.base,
        "image_type": "snapshot",
        "owner_id": image.owner,
    }
    return {
        **image.metadata,
        **(made_of if image.server else {}),
        "id": image.id,
        "name": image.name,
        "status": STATUSES[image.status],
        "visibility": "private" if image.owner else "public",
        "protected": False,
        "container_format": "bare",
        "disk_format": "qcow2",
        "size": image.size if ready else None,
        "virtual_size": None,
        "min_disk": image.min_disk,
        "min_ram": image.min_ram,
        "owner": image.owner or fixed_id("project", "images"),
        "checksum": fixed_id(image.id) if ready else None,
        "os_hash_algo": None,
        "os_hash_value": None,
        "os_hidden": False,
        "created_at": image.created,
        "updated_at": image.created,
        "tags": [],
        "self": f"/v2/images/{image.id}",
        "file": f"/v2/images/{image.id}/file",
        "schema": "/v2/schemas/image",
    }


def answer(cloud: Cloud, request: Request, rest: tuple[str, ...]) -> Reply:
    """What Glance says to this request; `rest` is the path below its root."""
    match rest:
        case () | ("",):
            links = [{"rel": "self", "href": f"{request.base}/image/v2/"}]
            return as_json(300, {"versions": [{"id": "v2.16", "status": "CURRENT", "links": links}]})
        case _ if cloud.generation != "modern" or rest[0] != "v2":
            return as_html(404, "<h1>404 Not Found</h1>")
    token = cloud.tokens.find(request.headers.get("X-Auth-Token"))
    if token is None or token.project is None:
        return as_html(401, NEEDS_SIGN_IN)
    project_id = cloud.projects[token.project]
    with cloud.lock:
        cloud.advance()
        images = {one.id: one for one in cloud.images.values() if one.owner in ("", project_id)}
    match request.method, rest:
        case "GET", ("v2", "images"):
            return _listing(request, list(images.values()))
        case "GET", ("v2", "images", image_id) if image_id in images:
            return as_json(200, shown(images[image_id]))
        case "DELETE", ("v2", "images", image_id) if image_id in images:
            if images[image_id].owner != project_id:
                return as_html(403, f"You are not permitted to delete image '{image_id}'.")
            with cloud.lock:
                cloud.images.pop(image_id, None)
            return Reply(204, b"", {"Content-Type": "text/html; charset=UTF-8"})
        case _, ("v2", "images", image_id):
            return as_html(404, f"No image found with ID {image_id}")
    return as_html(404, "<h1>404 Not Found</h1>")


def _listing(request: Request, images: list[Image]) -> Reply:
    listed = [shown(one) for one in images]
    for name in FILTERS:
        value = request.param(name)
        if value is not None:
            listed = [one for one in listed if one.get(name) == value]
    ids = [one["id"] for one in listed]
    marker, limit = request.param("marker"), request.param("limit") or "25"
    if (marker is not None and marker not in ids) or not limit.isdigit():
        return as_html(400, "Invalid marker or limit")
    start = ids.index(marker) + 1 if marker is not None else 0
    page = listed[start : start + int(limit)]
    reply: dict[str, Any] = {"images": page, "schema": "/v2/schemas/images", "first": "/v2/images"}
    if page and start + len(page) < len(listed):
        kept = "".join(f"&{name}={request.param(name)}" for name in FILTERS if request.param(name) is not None)
        reply["next"] = f"/v2/images?limit={limit}&marker={page[-1]['id']}{kept}"
    return as_json(200, reply)
