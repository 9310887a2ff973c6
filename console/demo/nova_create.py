"""POST /servers of a simulated Nova, and what it refuses by generation and microversion (CLOUDS.md 2.5 and 2.6)."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Mapping
from typing import Any

from console.demo.calls import Call, Refusal
from console.demo.instance import Deed
from console.demo.wire import Reply, as_json

MOST_USER_DATA = 65_535
"""Bytes of base64."""


def _invalid(field: str, value: object, words: str) -> Refusal:
    return Refusal(400, f"Invalid input for field/attribute {field}. Value: {value}. {words}")


def _named(call: Call, wanted: Mapping[str, Any]) -> str:
    name = wanted.get("name")
    if isinstance(name, str) and name.strip():
        return name
    if call.old:
        raise Refusal(400, "Server name is not defined")
    if name is None:
        raise _invalid("server", wanted, "'name' is a required property")
    raise _invalid("name", name, f"{name!r} does not match '^(?! )[^\\x00-\\x1f]+(?<! )$'")


def _referenced(call: Call, wanted: Mapping[str, Any]) -> tuple[str, str]:
    """(flavor, image), each by id or by URL."""
    if "flavorRef" not in wanted:
        if call.old:
            raise Refusal(400, "Missing flavorRef attribute")
        raise _invalid("server", wanted, "'flavorRef' is a required property")
    flavor, image = (str(wanted.get(name, "")).rsplit("/", 1)[-1] for name in ("flavorRef", "imageRef"))
    if image not in call.cloud.images:
        raise Refusal(400, "Invalid imageRef provided.")
    if call.cloud.images[image].status != "ACTIVE":
        raise Refusal(400, f"Image {image} is not active.")
    if flavor not in call.cloud.flavors:
        raise Refusal(400, "Invalid flavorRef provided.")
    return flavor, image


def checked_user_data(call: Call, given: object) -> str:
    """User data as it was sent. Raises Refusal when it is not base64, or too long."""
    if given is None:
        return ""
    try:
        base64.b64decode(str(given), validate=True)
    except (binascii.Error, ValueError):
        if call.old:
            raise Refusal(400, "Userdata content cannot be decoded") from None
        raise _invalid("user_data", given, f"'{given}' is not a 'base64'") from None
    if len(str(given)) > MOST_USER_DATA:
        raise _invalid("user_data", "…", "it is too long")
    return str(given)


def checked_personality(call: Call, wanted: Mapping[str, Any]) -> None:
    """Files to put into the server: up to five, gone since 2.57. Raises Refusal."""
    files = wanted.get("personality")
    if files is None:
        return
    if not call.old and call.style.minor >= 57:
        words = "Additional properties are not allowed ('personality' was unexpected)"
        raise _invalid("server", wanted, words)
    if not isinstance(files, list) or not all(isinstance(one, dict) and "path" in one for one in files):
        raise Refusal(400, "Bad personality format")
    if len(files) > 5:
        raise Refusal(413 if call.old else 403, "Personality file limit exceeded")
    for one in files:
        try:
            base64.b64decode(str(one.get("contents", "")), validate=True)
        except (binascii.Error, ValueError):
            raise Refusal(400, f"Personality content for {one['path']} cannot be decoded") from None


def networks(call: Call, wanted: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Labels of the networks of the order; None for the cloud's default. Raises Refusal."""
    asked = wanted.get("networks")
    if asked is None:
        if not call.old and call.style.minor >= 37:
            raise _invalid("server", wanted, "'networks' is a required property")
        return None
    if asked in ("auto", "none") and not call.old and call.style.minor >= 37:
        return () if asked == "none" else None
    if not isinstance(asked, list) or not all(isinstance(one, dict) for one in asked):
        raise Refusal(400, "Bad networks format") if call.old else _invalid("networks", asked, "it is not a list")
    labels = []
    for one in asked:
        network = call.cloud.networks.get(str(one.get("uuid", "")))
        if network is None:
            raise Refusal(400, f"Network {one.get('uuid')} could not be found.")
        labels.append(network.name)
    return tuple(labels) or None


def create(call: Call) -> Reply:
    """POST /servers: BUILD at once, ACTIVE when the cloud's `settle` is over."""
    wanted, cloud = call.body().get("server"), call.cloud
    if not isinstance(wanted, dict):
        raise Refusal(400, "Invalid input for field/attribute server.")
    name = _named(call, wanted)
    flavor, image = _referenced(call, wanted)
    labels = networks(call, wanted)
    user_data = checked_user_data(call, wanted.get("user_data"))
    checked_personality(call, wanted)
    key_name = wanted.get("key_name")
    if key_name is not None and key_name not in cloud.keypairs:
        raise Refusal(400, "Invalid key_name provided.")
    many = int(wanted.get("min_count") or 1)
    made = []
    with cloud.lock:
        for number in range(1, many + 1):
            instance = cloud.add(
                name if many == 1 else f"{name}-{number}",
                status="BUILD",
                flavor=flavor,
                image=image,
                metadata=wanted.get("metadata") or {},
                key_name=key_name,
                project=call.token.project,
            )
            instance.networks, instance.user_data = labels, user_data
            instance.deeds.append(Deed("create", call.request_id, cloud.clock()))
            made.append(instance)
        for instance in made:
            cloud.begin(instance, "ACTIVE", "scheduling")
    if wanted.get("return_reservation_id"):
        return as_json(202, {"reservation_id": f"r-{secrets.token_hex(4)}"})
    links = call.style.links("servers", made[0].id)
    password = str(wanted.get("adminPass") or secrets.token_urlsafe(9))
    reply: dict[str, Any] = {"id": made[0].id, "links": links, "adminPass": password}
    reply["OS-DCF:diskConfig"] = "AUTO" if call.old else "MANUAL"
    if not call.old:
        reply["security_groups"] = [{"name": "default"}]
    return as_json(202, {"server": reply}, {"Location": links[0]["href"]})
