"""Calls to one vCloud cell: signed in, signed in again once when the session ran out, several at a time where many
pages have no list of their own (vCloud 1.0).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import orjson
import requests

from accounts.clouds import vcloud_replies as replies
from accounts.clouds import vcloud_signin as signin
from accounts.clouds import vcloud_xml as xml
from console.lib.faults import BadCredentials, Fault, Unexpected
from console.lib.outbound import Session, Transport, origin

CONNECTIONS: Final = 8  # at once to one cell
WORTH: Final = 3  # calls that a connection is opened for: to open it takes as long as one or two
PER_PAGE: Final = 128
CLOSING: Final = 3.0  # seconds for a sign-out
MOST_PAGES: Final = 100  # of a list below /cloudapi
QUICK: Final = 0.003  # seconds: a cell that answers within them keeps one thread busy, and more would be in its way
T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Content:
    """The body of a request and its media type, without prefix and +xml."""

    kind: str
    body: str | bytes


class Wire:
    """One account at one cell. Only `gather` uses threads, and each of those has a connection of its own."""

    def __init__(self, url: str, credentials: Mapping[str, str], version: str | None, transport: Transport) -> None:
        needed = ("api_token", "org") if "api_token" in credentials else ("username", "org", "password")
        if lacking := [key for key in needed if not credentials.get(key)]:
            raise BadCredentials(f"The vCloud credentials lack {' and '.join(lacking)}.")
        self._url = url
        self._credentials = dict(credentials)
        self._secrets = tuple(value for key, value in credentials.items() if key in ("password", "api_token"))
        self._wanted = version
        self._transport = transport
        self._http = transport.session(url)
        self._spare: list[Session] = []
        self._sessions = [self._http]
        self._signing = threading.Lock()
        self._signed: signin.Signed | None = None
        self._spoken: signin.Spoken | None = None
        self._waited = QUICK  # seconds, for the last reply

    @property
    def calls(self) -> int:
        return sum(session.calls for session in self._sessions)

    @property
    def spoken(self) -> signin.Spoken:
        """The version that was agreed on; asks the cell when that is not known yet."""
        if self._spoken is None:
            self._spoken = signin.negotiate(self._http, self._url, self._wanted)
        return self._spoken

    @property
    def start(self) -> xml.Element:
        """The document that a session starts at."""
        return self._session().start

    def _session(self, stale: signin.Signed | None = None) -> signin.Signed:
        """The session; a new one when there is none, or when `stale` is what we have."""
        with self._signing:
            if self._signed is None or self._signed is stale:
                self._signed = signin.sign_in(self._http, self._url, self.spoken, self._credentials)
            return self._signed

    def close(self) -> None:
        """End the session: a cell keeps it for half an hour else, and allows each user so many."""
        signed, self._signed = self._signed, None
        if signed is None:
            return
        self._transport.deadline, self._transport.before_call = CLOSING, None
        headers = {"Accept": self.spoken.accept, **signed.headers}
        method, address = signin.way_out(self.spoken, signed)
        try:
            self.guard(address)
            reply = self._http.request(method, address, headers=headers)
            if not reply.ok and reply.status_code not in (401, 403):  # it ran out before
                raise self.fault(reply)
        except Fault as fault:
            log.info("a vCloud session stays open until its time-out: %s", fault.words)
        finally:
            self._transport.hang_up()

    # --- calls

    def get(self, address: str) -> xml.Element:
        return self.read(self.request("GET", address))

    def content(self, address: str) -> bytes:
        """A good reply as it came."""
        response = self.request("GET", address)
        if not response.ok:
            raise self.fault(response)
        return response.content

    def documents(self, path: str) -> Iterator[dict[str, Any]]:
        """Every entry of a list below /cloudapi, which speaks JSON: [SRC] go-vcloud-director's OpenApiGetAllItems."""
        accept = f"application/json;version={self.spoken.number}"
        for number in range(1, MOST_PAGES + 1):
            address = f"{self.spoken.root.removesuffix('/api')}/cloudapi/{path}?page={number}&pageSize={PER_PAGE}"
            response = self.request("GET", address, accept=accept)
            if not response.ok:
                raise self.fault(response)
            try:
                found = orjson.loads(response.content)
                values, pages = found["values"], int(found["pageCount"])
                yield from (dict(value) for value in values)
            except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
                raise Unexpected(f"{replies.CELL} answered a list with something that is none.") from error
            if number >= pages:
                return
        raise Unexpected(f"{replies.CELL} has a list that does not end.")

    def find(self, address: str) -> xml.Element | None:
        """As get; None when the cell says that there is no such thing."""
        response = self.request("GET", address)
        return None if replies.missing(response) else self.read(response)

    def read(self, response: requests.Response) -> xml.Element:
        return replies.body(response, self._secrets)

    def fault(self, response: requests.Response) -> Exception:
        return replies.fault(response, self._secrets)

    def request(
        self,
        method: str,
        address: str,
        content: Content | None = None,
        http: Session | None = None,
        accept: str = "",
    ) -> requests.Response:
        """One call; repeated once with a new session when this one ran out (30 minutes idle: 401, or 403 on some)."""
        self.guard(address)
        http = http or self._http
        session = self._session()
        response = self._once(method, address, content, http, session, accept)
        if response.status_code == 401 or (response.status_code == 403 and not self._alive(http, session)):
            response = self._once(method, address, content, http, self._session(stale=session), accept)
        return response

    def guard(self, address: str) -> None:
        """Refused unless this session may talk to where `address` points; Unexpected when it is no address."""
        self._http.check(*origin(address))

    def _once(
        self,
        method: str,
        address: str,
        content: Content | None,
        http: Session,
        session: signin.Signed,
        accept: str = "",
    ) -> requests.Response:
        headers, body = {"Accept": accept or self.spoken.accept, **session.headers}, None
        if content is not None:
            headers["Content-Type"] = f"{xml.VCLOUD}{content.kind}+xml"
            body = content.body.encode() if isinstance(content.body, str) else content.body
        response = http.request(method, address, headers=headers, data=body)
        self._waited = response.elapsed.total_seconds()
        return response

    def _alive(self, http: Session, session: signin.Signed) -> bool:
        # A 403 is also what a cell says of things that do not exist. The organisation, or the session itself, tells
        # the two apart without a new sign-in for each.
        org = xml.child(session.start, "Org")
        probe = org.get("href", "") if org is not None else session.start.get("href", "")
        if not probe:
            return False
        self.guard(probe)
        return self._once("GET", probe, None, http, session).ok

    # --- many at once

    def gather(self, addresses: Iterable[str], reading: Callable[[xml.Element], T]) -> list[T | None]:
        """All of `stream` at once."""
        return list(self.stream(addresses, reading))

    def stream(self, addresses: Iterable[str], reading: Callable[[xml.Element], T]) -> Iterator[T | None]:
        """`reading` of each page, in order, over up to CONNECTIONS at a time; None for a page that is gone. One after
        the other for as long as the cell is quick.

        The first fault is raised, after the calls that are under way have ended; none is begun after it. `reading` runs
        in threads and must make no call.
        """
        wanted = list(addresses)
        self._session()  # signed in once, before there are threads
        place = 0
        while place < len(wanted) and (self._waited < QUICK or len(wanted) - place < 2):
            page = self.find(wanted[place])
            place += 1
            yield None if page is None else reading(page)
        if not (wanted := wanted[place:]):
            return
        workers = min(CONNECTIONS, -(-len(wanted) // WORTH))
        while len(self._spare) < workers:
            self._spare.append(self._transport.session(self._url))
            self._sessions.append(self._spare[-1])
        idle = self._spare[:workers]  # a requests session is not for two threads
        over = threading.Event()

        def one(address: str) -> T | None:
            if over.is_set():
                return None  # read by nobody: what ended it stands before this one
            http = idle.pop()  # lists are safe to pop and append from threads
            try:
                response = self.request("GET", address, http=http)
                return None if replies.missing(response) else reading(self.read(response))
            except BaseException:
                over.set()
                raise
            finally:
                idle.append(http)

        pool = ThreadPoolExecutor(workers, thread_name_prefix="vcloud")
        try:
            yield from pool.map(one, wanted)
        finally:
            over.set()
            pool.shutdown(cancel_futures=True)

    # --- ways through the links

    def orgs(self) -> list[xml.Element]:
        """The organisations that the user may see: one for a tenant."""
        start = self.start
        if not list(xml.children(start, "Org")):
            address = xml.link(start, "down", "orgList")
            if not address:
                raise Unexpected(f"{replies.CELL} started a session without a list of organisations.")
            start = self.get(address)
        return [xml.named(self.get(org.get("href", "")), "Org", "AdminOrg") for org in xml.children(start, "Org")]

    def vdcs(self) -> dict[str, str]:
        """Name by address of every virtual data centre."""
        return {
            address: name or xml.tail(address) for org in self.orgs() for name, address in xml.links(org, "down", "vdc")
        }

    def query(self, kind: str, *filters: str) -> str:
        """The address of the first page of the query service's records of a kind, since 1.5.

        In the cell's own order, which is by database id: a name may stand twice, and equals come in any order.
        [DOC] 1.5 table 9-3: pages of at most 128, and an administrator may have cut that further.
        """
        base = xml.link(self.start, "down", "query.queryList") or f"{self.spoken.root}/query"
        narrowed = f"&filter={';'.join(filters)}" if filters else ""
        return f"{base}?type={kind}&format=records&page=1&pageSize=128{narrowed}"
