"""The list's address: search, order, account and page live in it, so that it can be kept, sent and reloaded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import urlencode

from django.http import QueryDict
from django.urls import reverse

from servers.finding import SORTS

DEFAULT = "name"


@dataclass(frozen=True)
class Asked:
    """What the address asks for. `account` is the switcher's choice, an id; wrong values mean the usual ones."""

    q: str = ""
    sort: str = DEFAULT
    account: str = ""
    cursor: str = ""

    @classmethod
    def of(cls, given: QueryDict) -> Asked:
        sort = given.get("sort", DEFAULT)
        return cls(
            q=" ".join(given.get("q", "").split()),
            sort=sort if sort.removeprefix("-") in SORTS else DEFAULT,
            account=given.get("account", ""),
            cursor=given.get("cursor", ""),
        )

    @property
    def href(self) -> str:
        given = {"q": self.q, "account": self.account, "sort": self.sort, "cursor": self.cursor}
        kept = {name: value for name, value in given.items() if value and (name, value) != ("sort", DEFAULT)}
        return reverse("servers:list") + (f"?{urlencode(kept)}" if kept else "")

    def at(self, cursor: str | None) -> str:
        return replace(self, cursor=cursor).href if cursor else ""

    def asking(self, q: str) -> str:
        return replace(self, q=q, cursor="").href

    def without_account(self) -> str:
        return replace(self, account="", cursor="").href

    def sorting(self, column: str) -> str:
        """The address that a click on a column's head leads to: that order, or the other way round."""
        return replace(self, sort=f"-{column}" if self.sort == column else column, cursor="").href

    def order_of(self, column: str) -> str:
        """What `aria-sort` says of a column."""
        if self.sort.removeprefix("-") != column:
            return "none"
        return "descending" if self.sort.startswith("-") else "ascending"
