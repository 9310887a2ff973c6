"""What callers send: a field that we do not know is an error, not silence (it is mostly a spelling mistake)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request


class In(serializers.Serializer[Any]):
    """A request body. Subclasses say the fields; anything else is refused in words."""

    default_error_messages = {"invalid": "Send a JSON object."}

    def to_internal_value(self, data: Any) -> Any:
        value = super().to_internal_value(data)
        unknown = [_said(name) for name in data if name not in self.fields] if isinstance(data, Mapping) else []
        if unknown:
            words = f"Unknown field. Known: {', '.join(self.fields)}."
            raise serializers.ValidationError({name: [words] for name in unknown})
        return value


def _said(name: object) -> str:
    """A name that we do not know, for an answer and for a row that keeps it: PostgreSQL takes neither NUL nor a lone
    surrogate, and nobody reads more of it."""
    return str(name)[:100].encode(errors="replace").decode().replace("\0", "?")


def without_nul(request: Request) -> None:
    """ValidationError for a query that has a null character: no row has one, and PostgreSQL refuses to compare it."""
    if wrong := {name: ["Null characters are not allowed."] for name, text in request.query_params.items()
                 if "\0" in text}:  # fmt: skip
        raise serializers.ValidationError(wrong)


class ExternalId(serializers.RegexField):
    """The caller's own id of something: 1 to 120 characters, no slash, no control characters, no space at its ends."""

    default_error_messages = {
        "invalid": "Use 1 to 120 characters without a slash, control characters, or spaces at the ends.",
        "max_length": "Use 120 characters at most.",
    }

    def __init__(self, **options: Any) -> None:
        super().__init__(
            r"^(?!\.{1,2}$)(?!\s)[^/\x00-\x1f\x7f-\x9f\u2028\u2029]+(?<!\s)$(?!\n)",
            max_length=120,
            trim_whitespace=False,
            **options,
        )


class ExternalIdInPath:
    """The same id as a part of an address."""

    regex = "[^/]+"

    def to_python(self, text: str) -> str:
        if "\0" in text:
            raise ValueError(text)
        return text

    def to_url(self, value: str) -> str:
        return value
