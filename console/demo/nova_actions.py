"""What is done to one server of a simulated Nova: its actions, consoles, snapshots, and the log of its deeds."""

from __future__ import annotations

import secrets
from typing import Any

from console.demo.calls import Call, Refusal
from console.demo.cloud import Conflict, Missing
from console.demo.instance import MOVES, Deed, Instance
from console.demo.nova_create import checked_personality, checked_user_data
from console.demo.wire import Reply, as_html, as_json


def found(call: Call) -> Instance:
    """The server that the path names. Raises Missing; Refusal when its cell is down."""
    instance = call.cloud.get(call.parts[0], call.project_id)
    if instance.id in call.cloud.down:
        raise Refusal(500, "Unexpected API Error. Please report this at http://bugs.launchpad.net/nova/.")
    return instance


def action(call: Call) -> Reply:
    """POST /servers/{id}/action."""
    body = call.body()
    instance = found(call)
    if len(body) != 1:
        raise Refusal(400, "There is no such action: " + ", ".join(body))
    word, argument = next(iter(body.items()))
    details = argument if isinstance(argument, dict) else {}
    match word:
        case "os-getConsoleOutput":
            return _console(call, instance, details.get("length"))
        case "os-getVNCConsole" if call.old or call.style.minor < 6:
            _ready(call, instance)
            return as_json(200, {"console": console_url(call, details)})
        case "os-getVNCConsole":
            raise Refusal(404, f"API version '2.{call.style.minor}' is not supported on this method.")
        case "createImage":
            return _snapshot(call, instance, details)
        case "reboot":
            kind = str(details.get("type", "")).upper()
            if kind not in ("SOFT", "HARD"):
                raise Refusal(400, "Argument 'type' for reboot is not HARD or SOFT")
            word = f"reboot:{kind}"
    if word not in MOVES:
        raise Refusal(400, f"There is no such action: {word}")
    to = _target(call, instance, word, details)
    instance = call.cloud.act(instance.id, word, call.project_id, to=to, request_id=call.request_id)
    if word == "rescue":
        return as_json(200, {"adminPass": details.get("adminPass") or secrets.token_urlsafe(9)})
    if word == "rebuild":
        return _rebuilt(call, instance, details)
    status = 204 if word == "confirmResize" else 202
    return as_html(status, "") if call.old else Reply(status, b"", {"Content-Type": "application/json"})


def _target(call: Call, instance: Instance, word: str, details: dict[str, Any]) -> str:
    """The size of a resize, the image of a rebuild. Raises Refusal."""
    if word not in ("resize", "rebuild"):
        return ""
    name, known = ("flavorRef", call.cloud.flavors) if word == "resize" else ("imageRef", call.cloud.images)
    if name not in details:
        if call.old:
            raise Refusal(400, f"{word.capitalize()} requests require '{name}' attribute.")
        raise Refusal(
            400, f"Invalid input for field/attribute {word}. Value: {details}. '{name}' is a required property"
        )
    to = str(details[name]).rsplit("/", 1)[-1]
    if to not in known:
        raise Refusal(400, f"Invalid {name} provided.")
    if word == "rebuild":
        checked_personality(call, details)
    elif to == instance.flavor:
        old, new = "Resize requires a change in size.", "When resizing, instances must change flavor!"
        raise Refusal(400, old if call.old else new)
    return to


def _rebuilt(call: Call, instance: Instance, details: dict[str, Any]) -> Reply:
    cloud, minor = call.cloud, call.style.minor
    if isinstance(details.get("name"), str):
        cloud.update(instance.id, name=details["name"])
    if isinstance(details.get("metadata"), dict):
        cloud.update(instance.id, metadata=details["metadata"])
    fresh = not call.old and minor >= 57
    if fresh and "user_data" in details:
        instance.user_data = checked_user_data(call, details["user_data"])
    password = details.get("adminPass") or secrets.token_urlsafe(9)
    shown = call.style.updated(instance) | {"status": "REBUILD", "adminPass": password}
    if fresh:
        shown["user_data"] = instance.user_data or None
    return as_json(202, {"server": shown}, {"Location": shown["links"][0]["href"]})


def _snapshot(call: Call, instance: Instance, details: dict[str, Any]) -> Reply:
    name, metadata = details.get("name"), details.get("metadata") or {}
    if not isinstance(name, str) or not name:
        words = f"Invalid input for field/attribute createImage. Value: {details}. 'name' is a required property"
        raise Refusal(400, "createImage entity requires name attribute" if call.old else words)
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise Refusal(400, "Invalid metadata")
    image = call.cloud.snapshot(instance.id, name, call.project_id, metadata=metadata, request_id=call.request_id)
    if call.old:
        return as_html(202, "", {"Location": f"{call.style.here}/images/{image.id}"})
    if call.style.minor >= 45:
        return as_json(202, {"image_id": image.id})
    where = {"Location": f"{call.style.base}/image/images/{image.id}", "Content-Type": "application/json"}
    return Reply(202, b"", where)


def _ready(call: Call, instance: Instance) -> None:
    """Modern clouds give consoles of running servers only (modern.txt, console)."""
    if not call.old and instance.vm_state not in ("active", "rescued"):
        raise Conflict(f"Instance {instance.id} is not ready")


def _console(call: Call, instance: Instance, length: object) -> Reply:
    if instance.vm_state == "building" and not call.old:
        raise Conflict(f"Instance {instance.id} is not ready")
    real = call.cloud.console_of(instance) if call.cloud.console_of else None
    text = instance.console if real is None else real
    if isinstance(length, int | str) and str(length).isdigit():
        text = "\n".join(text.split("\n")[-int(length) :]) if int(length) else ""
    return as_json(200, {"output": text})


def console_url(call: Call, details: dict[str, Any]) -> dict[str, str]:
    """A graphical console's address; nothing listens there."""
    with call.cloud.lock:
        token = call.cloud.new_id()
    return {"type": str(details.get("type", "novnc")), "url": f"http://127.0.0.1:6080/vnc_auto.html?token={token}"}


def remote_consoles(call: Call) -> Reply:
    """POST /servers/{id}/remote-consoles, since 2.6."""
    instance = found(call)
    if call.old or call.style.minor < 6:
        raise Missing(instance.id)
    _ready(call, instance)
    wanted = call.body().get("remote_console")
    if not isinstance(wanted, dict) or not {"protocol", "type"} <= set(wanted):
        raise Refusal(400, f"Invalid input for field/attribute remote_console. Value: {wanted}.")
    return as_json(200, {"remote_console": console_url(call, wanted) | {"protocol": str(wanted["protocol"])}})


# --- what was done


def _asked(call: Call) -> Instance:
    """The server, also a deleted one since 2.21."""
    with call.cloud.lock:
        gone = call.cloud.buried.get(call.parts[0])
        if gone is not None and gone.project_id == call.project_id and call.style.minor >= 21:
            return gone
    return found(call)


def _deeds(instance: Instance) -> list[Deed]:
    """Newest first. A server that was there from the beginning has only been created."""
    born = [one for one in instance.deeds if one.action == "create"]
    first = [] if born else [Deed("create", f"req-{instance.id}", instance.created, instance.created)]
    return [*reversed(instance.deeds), *first]


def _shown(call: Call, instance: Instance, deed: Deed) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "action": deed.action,
        "instance_uuid": instance.id,
        "request_id": deed.request_id,
        "user_id": instance.user_id,
        "project_id": instance.project_id,
        "start_time": deed.started.strftime("%Y-%m-%dT%H:%M:%S.%f"),
        "message": "Error" if deed.action == "create" and instance.status == "ERROR" else None,
    }
    if call.style.minor >= 58:
        shown["updated_at"] = (deed.finished or deed.started).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return shown


def instance_actions(call: Call) -> Reply:
    """GET /servers/{id}/os-instance-actions: what was asked of it, newest first."""
    instance = _asked(call)
    return as_json(200, {"instanceActions": [_shown(call, instance, deed) for deed in _deeds(instance)]})


def instance_action(call: Call) -> Reply:
    """GET /servers/{id}/os-instance-actions/{request id}; since 2.51 with its events."""
    instance = _asked(call)
    for deed in _deeds(instance):
        if deed.request_id == call.parts[1]:
            shown = _shown(call, instance, deed)
            if call.style.minor >= 51:
                shown["events"] = [_event(deed)]
            return as_json(200, {"instanceAction": shown})
    raise Refusal(404, f"Action for request_id {call.parts[1]} on instance {instance.id} not found")


def _event(deed: Deed) -> dict[str, Any]:
    return {
        "event": f"compute__do_{deed.action}",
        "start_time": deed.started.strftime("%Y-%m-%dT%H:%M:%S.%f"),
        "finish_time": deed.finished.strftime("%Y-%m-%dT%H:%M:%S.%f") if deed.finished else None,
        "result": "Success" if deed.finished else None,
    }
