"""The sandbox's simulated clouds: what opens them, and where they stand. `manage.py sandbox_cloud` serves them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from django.conf import settings

WORD: Final = "sandbox"  # password, project, organisation: nothing to hide, since what it opens is made up


@dataclass(frozen=True)
class Login:
    """Credentials that an integrator can push, and the status of the account that comes of it."""

    status: str
    words: str
    credentials: Mapping[str, str]


@dataclass(frozen=True)
class SimulatedCloud:
    """One of them; `slug` is that of its endpoint."""

    slug: str
    name: str
    platform: str
    ports: int
    logins: tuple[Login, ...]


# The name that somebody signs in with → the status that follows, and why.
PASSES, SLOW, WRONG, FORBIDDEN = "passes", "slow", "wrong", "forbidden"
NAMES: Final[dict[str, tuple[str, str]]] = {
    PASSES: ("ok", "They pass, and the account has servers."),
    WRONG: ("bad_credentials", "The cloud does not know them. So it is with any others that are not in this list."),
    FORBIDDEN: ("refused", "The cloud knows them, and refuses what we ask."),
    "unreachable": ("unreachable", "The cloud is down. They are tried again for as long as they are the newest."),
    "rubbish": ("error", "The cloud answers rubbish."),
}
_SLOW: Final = ("ok", "They pass after some seconds, in which the account is pending.")


def _openstack(name: str) -> dict[str, str]:
    return {"username": name, "password": WORD, "project": WORD}


def _cloudstack(name: str) -> dict[str, str]:
    return {"api_key": name, "secret_key": WORD}


def _vcloud(name: str) -> dict[str, str]:
    return {"username": name, "org": WORD, "password": WORD}


CLOUDS: Final = (
    SimulatedCloud(
        "openstack", "Simulated OpenStack", "openstack", 2,
        tuple(Login(*said, _openstack(name)) for name, said in {**NAMES, SLOW: _SLOW}.items()),
    ),
    SimulatedCloud(
        "cloudstack", "Simulated CloudStack", "cloudstack", 1,
        tuple(Login(*said, _cloudstack(name)) for name, said in NAMES.items()),
    ),
    SimulatedCloud(
        "vcloud", "Simulated vCloud", "vcloud", 1,
        # A cell that says 403 to a sign-in means the credentials.
        tuple(Login(*said, _vcloud(name)) for name, said in NAMES.items() if name != FORBIDDEN),
    ),
)  # fmt: skip


def site_file() -> Path:
    """Where the process that serves them writes their addresses, for its owner only."""
    return Path(settings.MUSTER_HOME) / "sandbox" / "site.json"


def places() -> dict[str, str]:
    """The address of each, by slug; none where this console has no sandbox, or before its first start."""
    if not settings.SANDBOX:
        return {}
    try:
        found: dict[str, Any] = json.loads(site_file().read_text())
        return {cloud.slug: str(found[cloud.slug]["url"]) for cloud in CLOUDS}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def listeners() -> list[str]:
    """HOST:PORT of every listener that they have: what a sandbox may reach on this machine, and nothing beside."""
    if not settings.SANDBOX:
        return []
    try:
        found: dict[str, Any] = json.loads(site_file().read_text())
        return [
            f"{urlsplit(str(found[cloud.slug]['url'])).hostname}:{int(port)}"
            for cloud in CLOUDS
            for port in found[cloud.slug]["ports"]
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return []
