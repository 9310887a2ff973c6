"""Settings from the environment: `X`, or `X_FILE` naming a file that holds it. A wrong one says what to write."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeVar
from urllib.parse import urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

T = TypeVar("T")
env = environ.FileAwareEnv()


def wrong(name: str, hint: str) -> NoReturn:
    """Stop the start with one sentence and a hint, without a traceback (a person reads it, not a developer)."""
    sys.stderr.write(f"Muster cannot start: the setting {name} is wrong.\n  {hint}\n")
    raise SystemExit(78)  # EX_CONFIG


def read(name: str, cast: Callable[[str], T], default: T, hint: str) -> T:
    """The setting `name` through `cast`; `default` when it is not set or empty."""
    try:
        text = env.str(name, default="").strip()
    except OSError as fault:
        wrong(f"{name}_FILE", f"{fault.strerror}: {fault.filename}. {hint}")
    if not text:
        return default
    try:
        return cast(text)
    except (ValueError, TypeError, ImproperlyConfigured):
        wrong(name, hint)


def yes_no(text: str) -> bool:
    """`1/0`, `true/false`, `yes/no`, `on/off`."""
    known = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    return known[text.lower()] if text.lower() in known else _not_yes_no(text)


def _not_yes_no(text: str) -> NoReturn:
    raise ValueError(text)


def json_object(text: str) -> dict[str, object]:
    """A JSON object."""
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError(text)
    return found


def listed(text: str) -> list[str]:
    """Comma-separated words."""
    return [part.strip() for part in text.split(",") if part.strip()]


def port(text: str) -> int:
    """A TCP port that one may listen on."""
    number = int(text)
    if not 1 <= number <= 65535:
        raise ValueError(text)
    return number


def origin(text: str) -> str:
    """`http(s)://host[:port]`, without a slash at the end."""
    parts = urlsplit(text.rstrip("/"))
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path or parts.query or parts.fragment:
        raise ValueError(text)
    if parts.port == 0 or parts.username is not None:
        raise ValueError(text)
    return text.rstrip("/")


def broker(text: str) -> str:
    """`redis(s)://[:password@]host[:port][/number]`."""
    parts = urlsplit(text)
    if parts.scheme not in ("redis", "rediss") or not parts.hostname or parts.port == 0:
        raise ValueError(text)
    return text


def level(text: str) -> str:
    """The name of a level of Python's logging."""
    name = text.upper()
    if name not in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
        raise ValueError(text)
    return name


def folder(text: str) -> Path:
    """A path made absolute."""
    return Path(text).expanduser().resolve()
