"""Pages of long lists, newest first: a cursor in the address, one indexed read each, however deep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from django.http import HttpRequest

SIZE: Final = 50


@dataclass(frozen=True)
class Page:
    """`older` and `newest` are addresses; empty where there is nothing more."""

    rows: list[Any]
    older: str
    newest: str


def page(request: HttpRequest, rows: QuerySet[Any], *fields: str, size: int = SIZE) -> Page:
    """The rows of this request's page by `fields`, which identify a row together, the greatest first.

    `?before=` is from `older`; one that is not ours means the newest page.
    """
    before = _parsed(rows, fields, request.GET.get("before", ""))
    found = rows.order_by(*(f"-{name}" for name in fields))
    if before:
        beyond, equal = Q(), Q()
        for name, value in zip(fields, before, strict=True):
            beyond |= equal & Q(**{f"{name}__lt": value})
            equal &= Q(**{name: value})
        found = found.filter(beyond)
    read = list(found[: size + 1])
    older = ""
    if len(read) > size:
        last = read[size - 1]
        older = _at(request, "~".join(_text(getattr(last, name)) for name in fields))
    return Page(read[:size], older, _at(request, "") if before else "")


def _text(value: Any) -> str:
    return str(value.isoformat() if hasattr(value, "isoformat") else value)


def _parsed(rows: QuerySet[Any], fields: tuple[str, ...], cursor: str) -> list[Any]:
    parts = cursor.split("~")
    if not cursor or len(parts) != len(fields):
        return []
    try:
        values = [rows.model._meta.get_field(name).to_python(part) for name, part in zip(fields, parts, strict=True)]
    except (ValidationError, ValueError, OverflowError):
        return []
    return [] if any(hasattr(value, "tzinfo") and value.tzinfo is None for value in values) else values


def _at(request: HttpRequest, cursor: str) -> str:
    asked = request.GET.copy()
    asked.pop("before", None)
    if cursor:
        asked["before"] = cursor
    return f"{request.path}?{asked.urlencode()}" if asked else request.path
