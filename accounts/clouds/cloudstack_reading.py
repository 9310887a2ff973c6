"""Rows of listVirtualMachines → facts, without decoding those that are known."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec
import orjson
import requests

from accounts.clouds import cloudstack_replies as replies
from accounts.clouds import cloudstack_rows as rows
from accounts.clouds.base import Same, ServerFacts
from accounts.clouds.cloudstack_wire import Row, listed
from accounts.clouds.known import KnownRows, Prints
from console.lib.faults import Unexpected

# Statistics, which old releases send though nobody asks for them: with these no row is twice the same.
_RESTLESS: Final = (b'"cpuused"', b'"networkkbs')


class _Inner(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """What a good page has and nothing else; any other is read with more care."""

    virtualmachine: list[msgspec.Raw] = []
    count: int = 0  # never believed


_PAGE: Final = msgspec.json.Decoder(dict[str, _Inner])


class Fresh(NamedTuple):
    """A row that was decoded, and its fingerprint ("" when it has none)."""

    row: Row
    external_id: str
    fingerprint: str


Told = Fresh | Same


class Reader:
    """One listing. Without `known`, every row is decoded."""

    def __init__(self, known: KnownRows | None = None) -> None:
        self._known = known
        self._prints = Prints(None, rows)

    def page(self, response: requests.Response, secrets: Iterable[str]) -> list[tuple[str, ServerFacts | Same | None]]:
        """The rows of a page by external id; None for a server that is destroyed. Raises the fault that fits."""
        told: Iterable[Told]
        if self._known is None:
            told = map(_fresh, listed(replies.body(response, secrets)))
        else:
            told = map(self._told, _raw(response, secrets))
        return [(one.external_id, self._facts(one)) for one in told]

    def _facts(self, told: Told) -> ServerFacts | Same | None:
        if isinstance(told, Same):
            return told
        facts = rows.facts(told.row)
        if facts is not None and self._known is not None:
            self._known.noted[facts.external_id] = told.fingerprint
        return facts

    def _told(self, raw: msgspec.Raw) -> Told:
        fingerprint = self._prints.of(raw)
        external_id = self._known.had.get(fingerprint) if self._known is not None else None
        if external_id is not None:
            return Same(external_id)
        held = bytes(raw)
        try:
            row = orjson.loads(held)
        except orjson.JSONDecodeError as error:
            raise Unexpected(f"{replies.OF} answered something that is not complete JSON.") from error
        return _fresh(row, "" if any(word in held for word in _RESTLESS) else fingerprint)


def _raw(response: requests.Response, secrets: Iterable[str]) -> list[msgspec.Raw]:
    if response.status_code == 200:
        try:
            found = _PAGE.decode(response.content)
        except (msgspec.DecodeError, UnicodeDecodeError):
            found = {}
        if len(found) == 1:
            return next(iter(found.values())).virtualmachine
    return [msgspec.Raw(orjson.dumps(row)) for row in listed(replies.body(response, secrets))]


def _fresh(row: object, fingerprint: str = "") -> Fresh:
    if not isinstance(row, dict) or row.get("id") in (None, ""):
        raise Unexpected(f"{replies.OF} answered a listing of a shape that its protocol does not have.")
    return Fresh(row, str(row["id"]), fingerprint)
