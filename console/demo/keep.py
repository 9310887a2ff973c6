"""The demo's state on disk: written whole or not at all, readable by its owner only."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from console.demo.cloud import Cloud
from console.demo.instance import Instance, Nic
from console.demo.offers import Flavor, Image, Network
from console.demo.tokens import User


def write_private(path: Path, text: str) -> None:
    """Replaces the file in one step; mode 0600."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(name, path)
    except BaseException:  # whatever stopped it, half a file is not left behind
        os.unlink(name)
        raise


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object of that file; empty when there is no such file."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return found


def dump(cloud: Cloud) -> dict[str, Any]:
    """Everything of a cloud that outlives its process, as JSON. Running actions count as done; tokens are not kept."""
    with cloud.lock:
        return {
            "generation": cloud.generation,
            "seed": cloud.seed,
            "password": cloud.password,
            "projects": cloud.projects,
            "users": [asdict(user) for user in cloud.users.values()],
            "flavors": [asdict(one) for one in cloud.flavors.values()],
            "images": [asdict(one) | {"status": "ACTIVE"} for one in cloud.images.values()],
            "networks": [asdict(one) for one in cloud.networks.values()],
            "keypairs": cloud.keypairs,
            "random": cloud.new_id(),
            "instances": [
                _written(one) for one in cloud.instances.values() if one.ends is None or one.ends[1] != "DELETED"
            ],
        }


def load(kept: dict[str, Any]) -> Cloud:
    """The cloud that `dump` wrote down."""
    cloud = Cloud(
        generation=kept["generation"],
        seed=kept["seed"],
        password=kept["password"],
        projects=kept["projects"],
        users={one["name"]: _user(one) for one in kept["users"]},
        flavors={one["id"]: Flavor(**one) for one in kept["flavors"]},
        images={one["id"]: Image(**one) for one in kept["images"]},
        # A state of before there were networks has none.
        networks={one["id"]: Network(**one) for one in kept.get("networks", [])},
        keypairs=kept["keypairs"],
        instances={one["id"]: _instance(one) for one in kept["instances"]},
    )
    # Not the seed again: it would give out the ids that it gave out at first.
    cloud.random.seed(kept["random"])
    return cloud


def _user(kept: dict[str, Any]) -> User:
    credentials = {key: (secret, project) for key, (secret, project) in kept["application_credentials"].items()}
    return User(**(kept | {"application_credentials": credentials}))


SIMPLE = (
    "id", "name", "number", "flavor", "image", "project_id", "user_id",
    "metadata", "key_name", "host_id", "locked", "fault", "console", "user_data",
)  # fmt: skip


def _written(instance: Instance) -> dict[str, Any]:
    return {name: getattr(instance, name) for name in SIMPLE} | {
        "status": instance.ends[1] if instance.ends else instance.status,
        "created": instance.created.isoformat(),
        "updated": instance.updated.isoformat(),
        "addresses": {label: [asdict(nic) for nic in nics] for label, nics in instance.addresses.items()},
    }


def _instance(kept: dict[str, Any]) -> Instance:
    addresses = {label: tuple(Nic(**nic) for nic in nics) for label, nics in kept["addresses"].items()}
    times = {name: datetime.fromisoformat(kept[name]) for name in ("created", "updated")}
    return Instance(**(kept | times | {"addresses": addresses}))
