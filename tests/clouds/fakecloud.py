"""A platform that Muster does not know: one driver file, for the test that registers it. Its cloud speaks one reply."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from accounts.clouds.base import Checked, Page, ServerFacts, State
from accounts.clouds.known import KnownRows
from accounts.clouds.operations import YES, Capabilities, Operation, no
from console.lib.faults import BadCredentials, Refused
from console.lib.outbound import Transport

NO_MORE: Final = no("A fake cloud shows its servers, and that is all.")
CAPABILITIES: Final[Mapping[str, Capabilities]] = {
    "first": {operation: YES if operation == Operation.LIST else NO_MORE for operation in Operation}
}


class Fake:
    """Reads `{"servers": [{"id", "name"}]}` from its address with a badge as its token."""

    def __init__(self, *, url: str, credentials: Mapping[str, str], transport: Transport, **_: Any) -> None:
        self._url, self._badge, self._http = url, credentials["badge"], transport.session(url)

    @property
    def calls(self) -> int:
        return self._http.calls

    def _rows(self) -> tuple[ServerFacts, ...]:
        reply = self._http.get(self._url, headers={"Authorization": f"Badge {self._badge}"})
        if reply.status_code == 401:
            raise BadCredentials("The fake cloud does not know this badge.")
        return tuple(ServerFacts(row["id"], row["name"], State.RUNNING, "up") for row in reply.json()["servers"])

    def close(self) -> None:
        """It signs nobody in."""

    def check(self) -> Checked:
        self._rows()
        return Checked("Fake 1", "first")

    def servers(self, known: KnownRows | None = None) -> Iterator[Page]:
        yield self._rows()

    def server(self, external_id: str) -> ServerFacts | None:
        return next((row for row in self._rows() if row.external_id == external_id), None)

    def console_text(self, external_id: str, lines: int = 200) -> str:
        raise Refused(NO_MORE.reason)
