"""Dataclasses of a simulated cloud as JSON and back, by their annotations: what its state on disk is made of."""

from __future__ import annotations

import typing
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from functools import cache
from types import UnionType
from typing import Any, TypeVar

T = TypeVar("T")


def pack(value: Any, leave: frozenset[str] = frozenset()) -> Any:
    """`value` as JSON knows it; the fields named in `leave` stay out, at the top and inside."""
    if is_dataclass(value):
        return {one.name: pack(getattr(value, one.name), leave) for one in fields(value) if one.name not in leave}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {key: pack(one, leave) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [pack(one, leave) for one in value]
    return value


def unpack(kind: type[T], kept: Mapping[str, Any], **more: Any) -> T:
    """The dataclass that `pack` wrote; fields that were left out are their defaults, or in `more`.

    Raises TypeError, KeyError or ValueError for what is no such thing.
    """
    named: Any = kind
    hints = _hints(named)
    return kind(**{name: _typed(hints[name], one) for name, one in kept.items()}, **more)


def unpack_all(kind: type[T], kept: Iterable[Mapping[str, Any]]) -> dict[str, T]:
    """All of them, by their id."""
    return {str(one["id"]): unpack(kind, one) for one in kept}


@cache
def _hints(kind: type[Any]) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _typed(hint: Any, value: Any) -> Any:
    if value is None:
        return None
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin in (UnionType, typing.Union):
        return _typed(next(one for one in inside if one is not type(None)), value)
    if origin is tuple and inside[-1] is ...:
        return tuple(_typed(inside[0], one) for one in value)
    if origin is tuple:
        return tuple(_typed(one, held) for one, held in zip(inside, value, strict=True))
    if origin is list:
        return [_typed(inside[0], one) for one in value]
    if hint is datetime:
        return datetime.fromisoformat(value)
    return unpack(hint, value) if is_dataclass(hint) and isinstance(hint, type) else value
