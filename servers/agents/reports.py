"""What an agent tells of its host, read with suspicion: whoever has root there can send anything.

Fields are those of `program/protocol.py`. Text loses control characters and is cut; unknown fields are dropped; a value
of the wrong kind or out of range refuses the whole report, with the field's name.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar
from uuid import UUID

from console.lib.denials import Wrong
from servers.agents.program import protocol
from servers.agents.work import ENDS, Told

T = TypeVar("T")
BYTES = 2**60  # an exbibyte, which still fits a bigint
SECONDS = 2**40


def facts(value: Any) -> dict[str, Any]:
    """`facts` as they are kept. Wrong when they are not facts."""
    given = _object(value, "facts")
    system = _object(given.get("os") or {}, "facts.os")
    return {
        "os": {name: _text(system.get(name), f"facts.os.{name}") for name in ("id", "name", "version")},
        **{
            name: _text(given.get(name), f"facts.{name}")
            for name in (
                "kernel",
                "hostname",
                "arch",
                "cpu_model",
                "machine_id",
                "instance_id",
                "dmi_uuid",
                "platform",
                "vendor",
                "python",
            )
        },
        "cpus": _whole(given.get("cpus"), "facts.cpus", 65536),
        "memory_bytes": _whole(given.get("memory_bytes"), "facts.memory_bytes", BYTES),
        "booted_at": _whole(given.get("booted_at"), "facts.booted_at", SECONDS),
        "packages": _whole(given.get("packages"), "facts.packages", 2**31 - 1),
        "reboot_needed": _flag(given.get("reboot_needed"), "facts.reboot_needed"),
        "disks": _list(given.get("disks"), "facts.disks", protocol.MAX_DISKS, _disk),
        "nics": _list(given.get("nics"), "facts.nics", protocol.MAX_NICS, _nic),
    }


def metrics(value: Any) -> dict[str, Any]:
    """`metrics` as they are kept. Wrong when they are not metrics."""
    given = _object(value, "metrics")
    return {
        **{name: _number(given.get(name), f"metrics.{name}", 1e6) for name in ("load1", "load5", "load15")},
        "cpu_percent": _number(given.get("cpu_percent"), "metrics.cpu_percent", 100),
        **{
            name: _whole(given.get(name), f"metrics.{name}", BYTES)
            for name in ("memory_used_bytes", "memory_total_bytes", "swap_used_bytes", "swap_total_bytes")
        },
        "uptime_seconds": _whole(given.get("uptime_seconds"), "metrics.uptime_seconds", SECONDS),
        "disks": _list(given.get("disks"), "metrics.disks", protocol.MAX_DISKS, _usage),
    }


def version(value: Any) -> str:
    """The agent's version, at most 40 characters."""
    return (_text(value, "version") or "")[:40]


def text(value: Any, name: str) -> str:
    """One string, cleaned as those in facts; "" for none."""
    return _text(value, name) or ""


def columns(sample: dict[str, Any]) -> dict[str, Any]:
    """The columns of Agent that lists show, from cleaned metrics. The disk is the root file system, or the largest."""
    disks = sorted(sample["disks"], key=lambda disk: (disk["mount"] == "/", disk["total_bytes"] or 0))
    disk = disks[-1] if disks else {"used_bytes": None, "total_bytes": None}
    return {
        "load1": sample["load1"],
        "cpu_percent": sample["cpu_percent"],
        "memory_used": sample["memory_used_bytes"],
        "memory_total": sample["memory_total_bytes"],
        "disk_used": disk["used_bytes"],
        "disk_total": disk["total_bytes"],
        "metrics": sample,
    }


def _disk(value: Any, name: str) -> dict[str, Any]:
    given = _object(value, name)
    return {
        **{field: _text(given.get(field), f"{name}.{field}") for field in ("mount", "device", "filesystem")},
        "total_bytes": _whole(given.get("total_bytes"), f"{name}.total_bytes", BYTES),
    }


def _usage(value: Any, name: str) -> dict[str, Any]:
    given = _object(value, name)
    return {
        "mount": _text(given.get("mount"), f"{name}.mount"),
        "used_bytes": _whole(given.get("used_bytes"), f"{name}.used_bytes", BYTES),
        "total_bytes": _whole(given.get("total_bytes"), f"{name}.total_bytes", BYTES),
    }


def _nic(value: Any, name: str) -> dict[str, Any]:
    given = _object(value, name)
    return {
        "name": _text(given.get("name"), f"{name}.name"),
        "mac": _text(given.get("mac"), f"{name}.mac"),
        "addresses": _list(given.get("addresses"), f"{name}.addresses", protocol.MAX_ADDRESSES, _text),
    }


def _wrong(name: str, words: str) -> NoReturn:
    raise Wrong({name: [words]}, "The report of this agent could not be read.")


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        _wrong(name, "This is an object.")
    return value


def _list(value: Any, name: str, most: int, each: Callable[[Any, str], T]) -> list[T]:
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > most:
        _wrong(name, f"This is a list of at most {most}.")
    return [each(item, f"{name}.{at}") for at, item in enumerate(value)]


def _text(value: Any, name: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        _wrong(name, "This is text.")
    return "".join(c for c in value if c.isprintable()).strip()[: protocol.MAX_TEXT] or None


def _flag(value: Any, name: str) -> bool | None:
    if value is not None and not isinstance(value, bool):
        _wrong(name, "This is true or false.")
    return value


def _number(value: Any, name: str, most: float) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        _wrong(name, "This is a number.")
    if not 0 <= value <= most:
        _wrong(name, f"This is a number from 0 to {most:g}.")
    return float(value)


def _whole(value: Any, name: str, most: int) -> int | None:
    number = _number(value, name, most)
    return None if number is None else int(value)


def release(value: Any) -> tuple[str, str, str]:
    """The `release` of a check-in: version, state and reason."""
    given = _object(value, "release")
    names = ("version", "state", "reason")
    version, state, reason = (_text(given.get(name), f"release.{name}") or "" for name in names)
    return version[:40], state, reason


def work(value: Any) -> list[Told]:
    """The `work` of a check-in, as `work.tell` takes it."""
    return _list(value, "work", protocol.MAX_RESULTS, _told)


def _told(value: Any, name: str) -> Told:
    given = _object(value, name)
    try:
        pk = UUID(str(given.get("id")))
    except ValueError:
        _wrong(f"{name}.id", "This is the id of a piece of work.")
    state, code = given.get("state"), given.get("exit_code")
    if state not in (protocol.STARTED, *ENDS):
        _wrong(f"{name}.state", "This is a state of work.")
    if code is not None and (isinstance(code, bool) or not isinstance(code, int) or not -(2**31) <= code < 2**31):
        _wrong(f"{name}.exit_code", "This is a whole number.")
    reason = given.get("reason")
    if reason is not None and not isinstance(reason, str):
        _wrong(f"{name}.reason", "This is text.")
    return Told(pk, state, code, "".join(c for c in reason or "" if c.isprintable())[:300])
