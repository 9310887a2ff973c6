"""Cursor pages `{results, next}`: each page is one indexed read, however deep; rows that come or go shift nothing."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any, ClassVar

from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet
from rest_framework import exceptions
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import APIView


class Pages(BasePagination):
    """Pages by the values of `fields`, which must identify a row and be indexed in that order; `-id`: newest first,
    and then every field is.

    `?limit=` 1 to 500, 100 when left out; `?cursor=` is opaque to callers: they follow `next` until it is null.
    """

    fields: ClassVar[tuple[str, ...]] = ("id",)
    usual, most = 100, 500

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> list[Any]:
        self.request = request
        limit = self._limit(request)
        rows = queryset.order_by(*self.fields)
        if cursor := request.query_params.get("cursor"):
            rows = self._after(rows, cursor)
        found = list(rows[: limit + 1])
        self.more = len(found) > limit
        self.page = found[:limit]
        return self.page

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"results": data, "next": self._next()})

    def _limit(self, request: Request) -> int:
        text = request.query_params.get("limit", str(self.usual))
        if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= self.most):
            raise exceptions.ValidationError({"limit": [f"Write a number from 1 to {self.most}."]})
        return int(text)

    def _names(self) -> list[str]:
        return [name.removeprefix("-") for name in self.fields]

    def _after(self, rows: QuerySet[Any], cursor: str) -> QuerySet[Any]:
        wrong = exceptions.ValidationError({"cursor": ["This cursor is not ours. Follow `next` as it was given."]})
        try:
            values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        except (ValueError, binascii.Error) as fault:
            raise wrong from fault
        if not isinstance(values, list) or len(values) != len(self.fields):
            raise wrong
        if not all(isinstance(value, str) and _storable(value) for value in values):
            raise wrong
        names, after = self._names(), "lt" if self.fields[0].startswith("-") else "gt"
        beyond, equal = Q(), Q()
        for name, value in zip(names, values, strict=True):
            beyond |= equal & Q(**{f"{name}__{after}": value})
            equal &= Q(**{name: value})
        try:  # the first bound again, alone: it lets the index start there
            return rows.filter(Q(**{f"{names[0]}__{after}e": values[0]}) & beyond)
        except (ValidationError, ValueError, TypeError) as fault:
            raise wrong from fault

    def _next(self) -> str | None:
        if not self.more:
            return None
        values = [str(getattr(self.page[-1], name)) for name in self._names()]
        cursor = base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")
        return str(replace_query_param(self.request.build_absolute_uri(), "cursor", cursor))

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": "object",
            "required": ["results", "next"],
            "properties": {
                "results": schema,
                "next": {
                    "type": "string",
                    "format": "uri",
                    "nullable": True,
                    "description": "null on the last page",
                    "example": None,  # the examples of lists take it
                },
            },
        }

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        return [
            {
                "name": "limit",
                "in": "query",
                "required": False,
                "description": "Rows in a page.",
                "schema": {"type": "integer", "minimum": 1, "maximum": self.most, "default": self.usual},
            },
            {
                "name": "cursor",
                "in": "query",
                "required": False,
                "schema": {"type": "string"},
                "description": "Where the page starts: from `next` of the page before.",
            },
        ]


def _storable(text: str) -> bool:
    """PostgreSQL takes neither NUL nor a lone surrogate."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)
