"""Filters of lists, by django-filter: a value that cannot be is refused in words, and an unknown name is too."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import ChoiceFilter, FilterSet
from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request


def choice(choices: list[tuple[str, str]], **more: Any) -> ChoiceFilter:
    """A filter that takes one of `choices` and says which there are."""
    words = f"Write one of {', '.join(value for value, _ in choices)}."
    return ChoiceFilter(choices=choices, error_messages={"invalid_choice": words}, **more)


def narrowed(request: Request, rows: QuerySet[Any], filters: type[FilterSet]) -> QuerySet[Any]:
    """The rows that the query's filters leave. ValidationError with the reason by field."""
    known = {*filters.base_filters, "limit", "cursor"}
    if strangers := sorted(set(request.query_params) - known):
        raise ValidationError({name: [f"There is no such filter. There are: {', '.join(sorted(known))}."]
                               for name in strangers})  # fmt: skip
    for name, one in filters.base_filters.items():  # django-filter takes an empty choice for none at all
        if isinstance(one, ChoiceFilter) and request.query_params.get(name) == "":
            raise ValidationError({name: [one.extra["error_messages"]["invalid_choice"]]})
    asked = filters(request.query_params, queryset=rows)
    if not asked.is_valid():
        raise ValidationError(dict(asked.errors))
    found: QuerySet[Any] = asked.qs
    return found


def parameters(filters: type[FilterSet]) -> list[OpenApiParameter]:
    """What the OpenAPI document says of these filters."""
    return [
        OpenApiParameter(
            name,
            str,
            description=str(one.extra.get("help_text", "")),
            enum=[value for value, _ in one.extra["choices"]] if "choices" in one.extra else None,
        )  # fmt: skip
        for name, one in filters.base_filters.items()
    ]
