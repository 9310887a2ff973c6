"""The page that tells, for every generation of every platform, what it can do, and why not (docs/clouds.md)."""

from __future__ import annotations

from accounts import clouds
from accounts.clouds.operations import Capability, Operation
from providers.platforms import PLATFORMS

_HEAD = """# What each cloud can do

Made by `manage.py cloud_matrix` from the tables that the console itself asks (`accounts/clouds/*_capabilities.py`); a
test keeps it so. **yes** works; **in some states** names what to do first; **no** is impossible there, for the reason
below the table. A † marks what neither a recording of a real cloud of that generation nor a run against one
([real-openstack.md](real-openstack.md)) has confirmed yet: it was written from manuals, schemas and sources, and tried
against a simulated cloud.

A server that its cloud calls failed is refused what its state does not allow with the cloud's own word for it and with
what the cloud takes then. One whose state is not known is asked for all the same, and its cloud decides; only going
back to a snapshot waits until the state is known.
"""


def markdown() -> str:
    """The whole page. Every operation of every generation stands in it: a missing one is a KeyError."""
    return "\n".join([_HEAD, *(_platform(name) for name in clouds.platforms())])


def _platform(name: str) -> str:
    tables = clouds.tables(name)
    lines = [
        f"## {PLATFORMS[name].title}",
        "",
        "| operation | " + " | ".join(tables) + " |",
        "| --- |" + " --- |" * len(tables),
    ]
    reasons: dict[str, int] = {}
    for operation in Operation:
        cells = [_cell(table[operation], reasons) for table in tables.values()]
        lines.append(f"| {operation.value.replace('_', ' ')} | " + " | ".join(cells) + " |")
    lines += ["", *(f"{number}. {words}" for words, number in reasons.items()), ""]
    return "\n".join(lines)


def _cell(capability: Capability, reasons: dict[str, int]) -> str:
    dagger = " †" if capability.unproven else ""
    if not capability.reason:
        return f"yes{dagger}"
    number = reasons.setdefault(capability.reason, len(reasons) + 1)
    return f"{'in some states' if capability.allowed else 'no'} ({number}){dagger}"
