"""In demo mode only: who signs in to the simulated servers, and where their key lies."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings


@dataclass(frozen=True)
class Hint:
    user: str
    port: int
    key_path: str
    servers: tuple[str, ...]  # names of those that accept SSH


def hint() -> Hint | None:
    """What `manage.py demo_cloud` wrote of its SSH-accepting instances; None outside the demo, or while it is off."""
    if not settings.DEMO:
        return None
    try:
        said = json.loads((Path(settings.MUSTER_HOME) / "demo" / "site.json").read_text())
        return Hint(str(said["ssh_user"]), int(said["ssh_port"]), str(said["ssh_key"]), tuple(said["ssh_instances"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
