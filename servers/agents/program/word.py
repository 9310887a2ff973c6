"""The cloud's own word for which instance this is, for a machine that joins by a token or tells its facts.

It is asked for where the machine itself tells which cloud it is on, and not from inside a container, where it would be
its host's. Elsewhere what cloud-init was told and what the firmware shows have to do.
"""

from typing import Any, Dict, Optional

from . import machine
from .identity import Identity
from .paths import Paths

SOURCE = "service"  # of `Identity.instance`
PATIENCE = 5.0  # seconds in all, about: the check-in waits


def kept(known: Optional[Identity]) -> Optional[str]:
    """The word that was had before."""
    return known.instance.get(SOURCE) if known is not None else None


def asked(paths: Paths, settings: Dict[str, Any]) -> bool:
    """Put the word, or None, as `instance` into the settings of a machine that joins: whether there is one to be saved.

    It is the same for every try, because the console keeps what it heard first.
    """
    if "instance" in settings:
        return False
    settings["instance"] = had(paths, settings)
    return settings["instance"] is not None


def had(paths: Paths, settings: Dict[str, Any]) -> Optional[str]:
    """The word, asked for now; None when this is no such machine, or nobody answers in time."""
    if not settings.get("platform") and (machine.is_container() or machine.platform(paths.prefix) is None):
        return None
    from .claim import channel_of

    found = channel_of(paths, settings)[1]
    if found is None:
        return None
    found.longest = PATIENCE
    return found.instance_id()
