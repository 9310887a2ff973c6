"""Who can be installed on, of those who are meant: shown, and frozen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.http import QueryDict

from accounts.visit import Visit
from servers.installs import install
from servers.models import Server
from servers.web import picking

REFUSED = "This workspace is suspended: nothing can be installed."


@dataclass(frozen=True)
class Chosen:
    """`able` can be tried; `unable` cannot, each with its reason. `gone` were ticked, and are no longer there."""

    able: Sequence[Server]
    unable: Sequence[tuple[Server, str]]
    gone: int = 0

    @property
    def frozen(self) -> str:
        """The ids of the able ones, as the form carries them."""
        return ",".join(str(server.pk) for server in self.able)


def asked_for(given: QueryDict, seen: Visit) -> Chosen:
    """By `ids`, or by `q` (with `account`) when `all_matching=1` or no ids are given. Raises QueryError."""
    return _sorted_out(*picking.picked(given, seen, install.MOST))


def by_ids(text: str, seen: Visit) -> Chosen:
    """Servers of a list of ids. None within reach is a 404, as if they did not exist."""
    return _sorted_out(*picking.by_ids(text, seen, install.MOST))


def _sorted_out(servers: list[Server], gone: int = 0) -> Chosen:
    said = {pk: f"{cause} {fix}".strip() for pk, (cause, fix) in install.refusals(servers).items()}
    said |= {server.pk: REFUSED for server in servers if server.customer.status != "active"}
    return Chosen(
        [server for server in servers if server.pk not in said],
        [(server, said[server.pk]) for server in servers if server.pk in said],
        gone,
    )
