"""Calls to CloudStack: signed as its server checks them, over the guarded session, and lists read to their end.

`cs` is subclassed where ../shared/CLOUDS.md §1 shows it wrong: it leaves `~` as it is (the server says 401), stops at
a `count` that lies, repeats nothing on 429, and sends every command by GET.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlsplit, urlunsplit

import cs
import requests
from cs.client import transform

from accounts.clouds import cloudstack_replies as replies
from accounts.clouds.cloudstack_replies import Declined
from console.lib.faults import Unexpected
from console.lib.outbound import Session

Row = dict[str, Any]
T = TypeVar("T")
Reading = Callable[[requests.Response, Iterable[str]], list[tuple[str, T]]]
"""What names each row of a reply, and what is made of it. Given the secrets, which no fault may tell."""

PAGE: Final = 500  # CloudStack's own default for the largest page
SMALLER: Final = 100
MOST_PAGES: Final = 500
RESTARTS: Final = 2
_COUNT: Final = re.compile(rb'"count"\s*:\s*(\d{1,9})')
_TOO_LARGE: Final = re.compile(r"page\s?size\b.*\bexceed", re.IGNORECASE | re.DOTALL)
_FORM: Final = "application/x-www-form-urlencoded; charset=UTF-8"  # the server guesses the body's charset otherwise
_DENIED: Final = re.compile(r"access denied", re.IGNORECASE)
_URL_SAFE: Final = str.maketrans("+/", "-_")
_READS: Final = ("list", "query", "get")


def encoded(value: str) -> str:
    """As java.net.URLEncoder encodes it, with %20 for a space: of ASCII only letters, digits and .-_* stay."""
    return quote(value, safe="*").replace("~", "%7E")


def address(url: str) -> str:
    """The API's address: staff may register the cloud's root or its web page too."""
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    path = {"": "/client/api", "/client": "/client/api"}.get(path, path)
    return urlunsplit((parts.scheme, parts.netloc, path, "", ""))


class Wire(cs.CloudStack):
    """One account's signed calls. `session` is the guarded one; none other is ever made."""

    def __init__(self, url: str, api_key: str, secret_key: str, session: Session) -> None:
        super().__init__(endpoint=address(url), key=api_key, secret=secret_key, session=session)
        self._secrets = (secret_key, api_key)
        self._largest = PAGE

    def ask(self, command: str, **params: Any) -> Row:
        """The object inside the reply of one call. Raises the fault that fits; Declined has the cloud's code.

        What changes something goes by POST: releases since 2025 can demand it, and user data may be long.
        """
        return replies.body(self._asked(command, params), self._secrets)

    def _asked(self, command: str, params: Row) -> requests.Response:
        reading = command.startswith(_READS)
        self.method = "get" if reading else "post"
        kind, given = self._prepare_request(command, **params)  # type: ignore[no-untyped-call]
        headers = {} if reading else {"Content-Type": _FORM}
        return self._send(kind, given, headers, self.timeout)

    def console(self, machine: str) -> str:
        """The page with a server's console, as releases before 4.18 serve it beside their API; "" when there is none.

        Signed like a call. Its signature never runs out, since that servlet looks at no `expires` ([SRC]
        ConsoleProxyServlet.verifyRequest): so the page is read here, and its address is shown to nobody.
        """
        where = urlsplit(self.endpoint)
        address = urlunsplit(where._replace(path=where.path.rpartition("/")[0] + "/console"))
        text = ""
        for url_safe in (False, True):  # sources of 3.x compare with a signature in base64 for URLs, unpadded
            params = {"cmd": "access", "vm": machine, "apikey": str(self.key)}
            self._sign(params)
            if url_safe:
                params["signature"] = params["signature"].translate(_URL_SAFE).rstrip("=")
            response: requests.Response = self.session.get(address, params=params)
            if not response.ok:
                raise replies.not_json(response)
            text = response.text
            if not _DENIED.search(text):
                break
        return text

    def pages(self, command: str, **params: Any) -> Iterator[list[Row]]:
        """Rows of a list command page by page, each id once, until the cloud answers an empty page (twice, when the
        page before was full).

        `count` never ends it: it is the page's length in old releases and in some lists of new ones
        (apache/cloudstack #3890, #4191, #5231, #7974). A page that is short is not the end either.
        """
        return (list(page.values()) for page in self._walk(command, params, _identified, ignores_pages=False))

    def read(self, command: str, reading: Reading[T], **params: Any) -> Iterator[list[T]]:
        """As pages, of what `reading` makes of each reply; nothing is told before all was read.

        What is deleted meanwhile moves a later row onto a page that was read already. Where `count` counts all, it
        falls then, and there is another pass, which alone says what there is; where it does not, nothing tells, and
        whoever misses a row has to ask for it by its id. A cloud that never stands still shows all that any pass saw.
        """
        earlier: dict[str, T] = {}
        for _ in range(RESTARTS + 1):
            counts: list[tuple[int, int]] = []
            pages = list(self._walk(command, params, reading, ignores_pages=False, counts=counts))
            if len({count for count, _ in counts}) < 2 or all(count == rows for count, rows in counts):
                break
            earlier |= {key: row for page in pages for key, row in page.items()}
        else:
            pages = [earlier]
        return (list(page.values()) for page in pages)

    def all(self, command: str, **params: Any) -> list[Row]:
        """Every row of a short list. Some of these ignore `page` and answer all of it each time: that is the end."""
        pages = self._walk(command, params, _identified, ignores_pages=True)
        return [row for page in pages for row in page.values()]

    def _walk(
        self,
        command: str,
        params: Row,
        reading: Reading[T],
        *,
        ignores_pages: bool,
        counts: list[tuple[int, int]] | None = None,
    ) -> Iterator[dict[str, T]]:
        """Pages of what is new, by what names it. `counts` gets the cloud's count and the number of rows of each."""
        seen: set[str] = set()
        last: list[str] = []
        page = 1
        doubtful = False
        while page <= MOST_PAGES:
            try:
                response = self._asked(command, {"page": page, "pagesize": self._largest, **params})
                rows = reading(response, self._secrets)
            except Declined as error:
                if page != 1 or not self._smaller(error):
                    raise
                continue
            if not rows and doubtful:
                doubtful = False  # after a full page the end is asked for twice: one empty page may be a slip
                continue
            doubtful = len(rows) == self._largest and not ignores_pages
            ids = [key for key, _ in rows]
            if not rows or (ignores_pages and seen.issuperset(ids)):
                return
            if ids == last:
                raise Unexpected(f"{replies.OF} repeats the same page, so its listing cannot be read to the end.")
            if counts is not None and (counted := _COUNT.search(response.content, 0, 500)):
                counts.append((int(counted.group(1)), len(rows)))
            fresh = {key: row for key, row in rows if key not in seen}
            seen.update(fresh)
            if fresh:
                yield fresh
            last = ids
            page += 1
        raise Unexpected(f"{replies.OF} has more than {MOST_PAGES} pages of this listing.")

    def _smaller(self, error: Declined) -> bool:
        # "Page size can not exceed max allowed page size value: 100", code 4350; staff of the cloud set it.
        if not _TOO_LARGE.search(error.words):
            return False
        numbers = [int(found) for found in re.findall(r"\d{1,6}", error.words.partition("exceed")[2])]
        allowed = numbers[-1] if numbers and numbers[-1] > 0 else SMALLER
        if allowed >= self._largest:
            return False
        self._largest = allowed
        return True

    # --- where cs is wrong

    def _sign(self, data: dict[str, str]) -> None:
        # Sorted by the raw names, as the server sorts them; the whole in lower case.
        text = "&".join(f"{key}={encoded(value)}" for key, value in sorted(data.items())).lower()
        digest = hmac.new(str(self.secret).encode(), text.encode(), hashlib.sha1).digest()
        data["signature"] = base64.b64encode(digest).decode()

    def _send(
        self, kind: str, params: dict[str, Any], headers: Mapping[str, str] | None, timeout: object
    ) -> requests.Response:
        transform(params)
        params.pop("signature", None)
        self._sign(params)
        request = requests.Request(self.method.upper(), self.endpoint, headers=dict(headers or {}), **{kind: params})
        # Prepared by the session, not by itself as in cs: so it carries the guard's headers and words its faults.
        response: requests.Response = self.session.send(self.session.prepare_request(request))
        return response


def _identified(response: requests.Response, secrets: Iterable[str]) -> list[tuple[str, Row]]:
    return [(identity(row), row) for row in listed(replies.body(response, secrets))]


def identity(row: Row) -> str:
    """What names a row: its id; a key pair has only a name. Templates have a row for each zone under one id."""
    key = row.get("id", row.get("name"))
    return f"{key}\n{row.get('zoneid', '')}"


def listed(inner: Row) -> list[Row]:
    """The rows of a list reply, whatever their name ("virtualmachine", "vmSnapshot"); an empty page is {}."""
    lists = [value for key, value in inner.items() if key != "count"]
    if not lists:
        return []
    rows = next((value for value in lists if isinstance(value, list)), None)
    if rows is None or not all(isinstance(row, dict) and ("id" in row or "name" in row) for row in rows):
        raise Unexpected(f"{replies.OF} answered a listing of a shape that its protocol does not have.")
    return rows
