"""OpenAPI: every operation says which errors it may answer, in the one shape."""

from __future__ import annotations

from typing import Any

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import Direction
from rest_framework import serializers


class ErrorDetail(serializers.Serializer[Any]):
    code = serializers.CharField(help_text="For programs; stable.")
    message = serializers.CharField(help_text="For people: what happened and what to do.")
    fields = serializers.DictField(  # type: ignore[assignment]  # the promised name of the key
        required=False, help_text="What is wrong about each field of the request."
    )
    request_id = serializers.CharField(help_text="Under which staff find this request in the logs.")


class Error(serializers.Serializer[Any]):
    error = ErrorDetail()


# What an Idempotency-Key adds to the answers of a POST: by whether these are kept.
_KEYED: dict[bool | None, dict[str, str]] = {
    True: {
        "409": "A call with this Idempotency-Key is under way.",
        "422": "The Idempotency-Key came with another call or body.",
    },
    False: {"400": "Or an Idempotency-Key was sent: the answer holds a secret, which is kept nowhere."},
}
USUAL = ("400", "401", "403", "404", "405", "406", "415", "429", "503")


class Schema(AutoSchema):
    """AutoSchema with the errors that any call may answer; a view that names a status itself keeps its own.

    `in_path` of a view has an example of each id in its address, `words_in_path` all that may stand there;
    `keeps_answers` says what its POST makes of an Idempotency-Key: a repeat is told the same, or the header is refused.
    """

    @property
    def _keeps(self) -> bool | None:
        """None: this call knows no such header."""
        keeps: bool | None = getattr(self.view, "keeps_answers", None)
        return keeps if self.method == "POST" else None

    def _get_parameters(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = super()._get_parameters()
        if self._keeps:
            words = "1 to 255 printable characters. The same call within 24 hours gets the same answer."
            found.append(
                {"in": "header", "name": "Idempotency-Key", "schema": {"type": "string"}, "description": words}
            )
        return found

    def _resolve_path_parameters(self, variables: list[str]) -> list[dict[str, Any]]:
        known: dict[str, str] = getattr(self.view, "in_path", {})
        found: list[dict[str, Any]] = super()._resolve_path_parameters(variables)  # type: ignore[no-untyped-call]
        words: dict[str, tuple[str, ...]] = getattr(self.view, "words_in_path", {})
        for one in found:
            if one["name"] in known:
                one["example"] = known[one["name"]]
            if one["name"] in words:
                one["schema"] = {"type": "string", "enum": list(words[one["name"]])}
        return found

    def _get_response_bodies(self, direction: Direction = "response") -> dict[str, Any]:
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        for status in USUAL:
            if status not in bodies:
                bodies[status] = self._get_response_for_code(Error, status)  # type: ignore[no-untyped-call]
        for status, words in _KEYED.get(self._keeps, {}).items():
            if status not in bodies:
                bodies[status] = self._get_response_for_code(Error, status)  # type: ignore[no-untyped-call]
            said = bodies[status]
            said["description"] = f"{said.get('description', '')} {words}".strip()
        return bodies
