"""Claims of one provider are matched with the servers of its own endpoints, and what follows from it is begun.

Run as often as claims come or servers are read, one look of a provider at a time, and each at AT_ONCE claims at most:
a flood at one provider keeps no worker from the others. All of it may be done twice.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from django.db import connection, transaction
from django.db.models import Count, F, Max, Q, Window
from django.db.models.functions import RowNumber
from django.utils import timezone
from redis.exceptions import RedisError

from accounts.models import CloudAccount
from console.lib.valkey import client
from servers import refreshing, turns
from servers.agents import admitting, challenging, channels, claiming, enrol, matching
from servers.agents.admitting import OPEN
from servers.agents.matching import Candidate, Found, Told
from servers.agents.models import Agent, Claim
from servers.models import Server

log = structlog.get_logger(__name__)

WAITING: Final = Claim.State.WAITING
BATCH: Final = 500
MOST: Final = 20_000  # claims of a provider that fit nothing; older ones are shed, and come again with their next call
OF_ONE: Final = 1000  # of one server
ASKED: Final = 500  # that wait for one customer's people without a proof,
ASKED_OF_ONE: Final = 50  # and of one server
AT_ONCE: Final = 2000  # claims in one look
LEASE: Final = 15  # seconds that one look holds its provider, unless it goes on
AFRESH: Final = timedelta(seconds=10)  # after which a reading of an account is worth another look
# By the age of a claim, until it is matched again: who waits for long waits for a person, or for nothing.
PACES: Final = (
    (timedelta(minutes=5), AFRESH), (timedelta(minutes=30), timedelta(seconds=30)),
    (claiming.LIVES * 2, timedelta(minutes=2)),
)  # fmt: skip
NEW: Final = timedelta(minutes=30)  # for which a machine that nobody knows lets accounts be read
GRACE: Final = timedelta(minutes=3)  # in which a new server may still appear, before a person is asked whose it is
EACH: Final = 60  # seconds between two readings of an account for the sake of claims
READINGS: Final = 10  # a minute for a provider


def look(provider_id: UUID) -> int:
    """Match what is to be matched; how many claims were looked at. 0 while another look is under way, which then
    asks for one more."""
    with _alone(provider_id) as hold:
        return _look(provider_id, hold) if hold else 0


def _look(provider_id: UUID, hold: Callable[[], None]) -> int:
    now = timezone.now()
    _shed(provider_id)
    found = list(_due(provider_id, now).values_list("pk", flat=True)[: AT_ONCE + 1])
    due = found[:AT_ONCE]
    for start in range(0, len(due), BATCH):
        hold()
        _match(provider_id, list(Claim.objects.filter(pk__in=due[start : start + BATCH], state__in=OPEN)), now)
    _ask_refused(provider_id, now)
    if due:
        _read_accounts(provider_id, now)
    if len(found) > AT_ONCE:
        claiming.look_soon(provider_id)
    return len(due)


@contextmanager
def _alone(provider_id: UUID) -> Iterator[Callable[[], None] | None]:
    """What keeps the lease when it is called; None while another look has it. Without Valkey nobody is kept from it."""
    lease, again = f"agents:claims:looking:{provider_id}", f"agents:claims:again:{provider_id}"
    mine = secrets.token_hex(8)

    def told(*command: Any) -> Any:
        try:
            return client().execute_command(*command)
        except RedisError as fault:
            log.warning("look not held", provider=str(provider_id), reason=str(fault))
            return None if command[0] == "GET" else True

    if not told("SET", lease, mine, "NX", "EX", LEASE):
        told("SET", again, 1, "EX", 4 * LEASE)
        yield None
        return
    try:
        yield lambda: told("SET", lease, mine, "EX", LEASE)
    finally:
        told("EVAL", _LET_GO, 1, lease, mine)
        if told("GET", again):
            told("DEL", again)
            claiming.look_soon(provider_id)


_LET_GO: Final = "return redis.call('GET', KEYS[1]) == ARGV[1] and redis.call('DEL', KEYS[1])"


def _due(provider_id: UUID, now: datetime) -> Any:
    """Never matched, or not since their accounts were read, or a moment ago that needs another look (proofs on hold).
    Those that wait longest first."""
    read = CloudAccount.objects.present().filter(endpoint__provider=provider_id)
    last = read.aggregate(last=Max("last_sync_at"))["last"]
    stale = Q(looked_at__isnull=True) | Q(proven_at__isnull=False, level__gt=0, looked_at__lt=now - AFRESH)
    for age, pace in PACES:
        of_age = Q(first_at__gt=now - age, looked_at__lt=now - pace)
        stale |= of_age & (Q(level__gt=0) | Q(looked_at__lt=last)) if last is not None else of_age & Q(level__gt=0)
    return Claim.objects.filter(stale, provider=provider_id, state__in=OPEN).order_by(
        F("looked_at").asc(nulls_first=True), "-last_at", "pk"
    )


def _match(provider_id: UUID, claims: Sequence[Claim], now: datetime) -> None:
    on_hold = [one for one in claims if one.proven_at is not None]
    told = {one.pk: _told(one) for one in claims if one.proven_at is None}
    known = _candidates(provider_id, told.values())
    near = _near(provider_id, {one.address for one in told.values()})
    sole = _sole(provider_id, {one.address for one in told.values()})
    nothing: list[UUID] = []
    wanted: dict[UUID, list[Claim]] = {}
    Claim.objects.filter(pk__in=[one.pk for one in claims]).update(looked_at=now)
    for claim in claims:
        if claim.pk not in told:
            continue
        found = matching.match(
            told[claim.pk],
            known,
            now=now,
            tried=_tried(claim, now),
            sole=claim.address in sole,
            near=near.get(claim.address, ()),
        )
        # A new server is not listed yet: before a person is asked, it gets time to appear.
        early = found.words == matching.ELSEWHERE and claim.first_at > now - GRACE
        if early or found.level == matching.NONE:
            nothing.append(claim.pk)
        elif found.level == matching.PROOF and found.server is not None:
            wanted.setdefault(found.server, []).append(claim)
        else:
            _follow(claim, found)
    for server, claims_of_it in wanted.items():
        _challenge(server, claims_of_it)
    Claim.objects.filter(pk__in=nothing).exclude(state=Claim.State.WAITING, level=0, server=None).update(
        state=Claim.State.WAITING, level=0, server=None, trouble="", customers=[]
    )
    for claim in on_hold:
        _retry(claim)


def _ask_refused(provider_id: UUID, now: datetime) -> None:
    """Machines that somebody refused whose servers they are not: a nonce lets them prove themselves, once an hour."""
    seen = Q(looked_at__isnull=True) | Q(looked_at__lt=now - PACES[-1][1])
    tried = Q(challenged_at__isnull=True) | Q(challenged_at__lt=now - challenging.AGAIN)
    refused = Claim.objects.filter(seen, tried, provider=provider_id, state=Claim.State.REFUSED)
    claims = list(refused.order_by(F("looked_at").asc(nulls_first=True))[:BATCH])
    if not claims:
        return
    known = _candidates(provider_id, [_told(one) for one in claims])
    Claim.objects.filter(pk__in=[one.pk for one in claims]).update(looked_at=now)
    for claim in claims:
        found = matching.match(_told(claim), known, now=now)
        if found.level == matching.PROOF and found.server and not claiming.is_refused(claim, found.customers[0]):
            Claim.objects.filter(pk=claim.pk).update(challenged_at=now)
            with transaction.atomic():
                challenging.pose(found.server)


def _challenge(server: UUID, claims: Sequence[Claim]) -> None:
    """One nonce for all of these: a crowd costs one look at the challenges, and a write for who is new in it."""
    new = [one.pk for one in claims if (one.state, one.server_id, one.level) != (WAITING, server, matching.PROOF)]
    with transaction.atomic():
        if new:
            Claim.objects.filter(pk__in=new, state__in=OPEN, proven_at__isnull=True).update(
                state=WAITING, server=server, level=matching.PROOF, trouble="", customers=[],
                expires_at=F("first_at") + claiming.LIVES,
            )  # fmt: skip
        challenging.pose(server)


def _follow(claim: Claim, found: Found) -> None:
    """What a match leads to, where no proof can be had."""
    if found.level == matching.PERSON or found.server is None:
        admitting.pend(claim, found.customers, found.server, found.level, found.words)
        return
    if found.level == matching.NETWORK and Agent.objects.filter(server=found.server).exists():
        admitting.pend(claim, found.customers, found.server, found.level, admitting.MANNED)
        return
    here = Claim.objects.filter(pk=claim.pk, state__in=OPEN, proven_at__isnull=True)
    if here.update(
        state=WAITING, server=found.server, level=found.level, trouble="", customers=[],
        expires_at=F("first_at") + claiming.LIVES,
    ):  # fmt: skip
        server = Server.objects.select_related("account__endpoint", "account__customer", "customer__provider")
        admitting.by_network(claim, server.get(pk=found.server))


def _retry(claim: Claim) -> None:
    """One that proved itself and waits because another agent reports: challenged anew once that one is silent."""
    if claim.state != Claim.State.PENDING or claim.server_id is None or claim.trouble != admitting.BUSY:
        return
    agent = Agent.objects.live().filter(server=claim.server_id).first()
    if agent is not None and enrol.reports(agent):
        return
    with transaction.atomic():
        Claim.objects.filter(pk=claim.pk, state=Claim.State.PENDING).update(
            state=Claim.State.WAITING, proven_at=None, trouble="", customers=[]
        )
        challenging.pose(claim.server_id)


def _tried(claim: Claim, now: datetime) -> bool:
    return claim.challenged_at is not None and claim.challenged_at > now - challenging.AGAIN


def _told(claim: Claim) -> Told:
    macs = frozenset(mac for one in claim.macs if (mac := matching.card(one)))
    return Told(claim.instance_id, claim.dmi_uuid, macs, frozenset(claim.ips), claim.address, claim.first_at)


def _candidates(provider_id: UUID, told: Iterable[Told]) -> list[Candidate]:
    """Servers that any of these could be: by id, or by an address of theirs. Only of this provider's own endpoints."""
    ids: set[str] = set()
    ips: set[str] = set()
    for one in told:
        for forms in matching.forms(one.instance_id, one.dmi_uuid).values():
            ids |= forms
        ips |= {one.address, *one.ips}
    rows = (
        Server.objects.listed()
        .filter(
            Q(external_id__in=ids | {one.upper() for one in ids}) | Q(ips__overlap=sorted(ips)),
            account__in=CloudAccount.objects.readable().filter(endpoint__provider=provider_id),
            missing_since__isnull=True,
        )
        .select_related("account__endpoint", "account__customer")
    )
    refused = {}
    found = []
    for row in rows:
        if row.account_id not in refused:
            refused[row.account_id] = channels.refusal(row.account)
        found.append(Candidate(
            row.pk, row.customer_id, row.account_id, row.account.endpoint_id, row.account.endpoint.platform,
            row.external_id, frozenset(row.ips),
            frozenset(mac for one in row.addresses if (mac := matching.card(one.get("mac") or ""))),
            row.cloud_created_at or row.first_seen_at, not refused[row.account_id],
            row.account.customer.admit_by_network,
        ))  # fmt: skip
    return found


def _near(provider_id: UUID, addresses: set[str]) -> dict[str, set[UUID]]:
    """Address → customers of this provider whose servers use it: they have it, or an agent came from it."""
    outer = sorted(one for one in addresses if matching.outer(one))
    near: dict[str, set[UUID]] = {}
    if not outer:
        return near
    owned = Server.objects.listed().filter(
        ips__overlap=outer, account__in=CloudAccount.objects.readable().filter(endpoint__provider=provider_id)
    )
    for customer, ips in owned.values_list("customer_id", "ips"):
        for ip in ips:
            near.setdefault(ip, set()).add(customer)
    came = Claim.objects.filter(
        provider=provider_id, state=Claim.State.ADMITTED, address__in=outer, agent__server__isnull=False
    )
    for customer, ip in came.values_list("agent__server__customer_id", "address"):
        near.setdefault(ip, set()).add(customer)
    return near


def _sole(provider_id: UUID, addresses: set[str]) -> set[str]:
    """Those of the addresses that one claim alone came from."""
    open_ones = Claim.objects.filter(provider=provider_id, state__in=OPEN, address__in=addresses)
    counted = open_ones.order_by().values("address").annotate(claims=Count("pk"))
    return {row["address"] for row in counted if row["claims"] == 1}


def _read_accounts(provider_id: UUID, now: datetime) -> None:
    """Machines that nobody knows may be of an account that was not read since they came: let some be read."""
    new = Claim.objects.filter(
        provider=provider_id, state=Claim.State.WAITING, server__isnull=True, first_at__gt=now - NEW
    )
    addresses = sorted(set(new.order_by("-last_at").values_list("address", flat=True)[:BATCH]))
    if not addresses:
        return
    near = {customer for found in _near(provider_id, set(addresses)).values() for customer in found}
    oldest = new.order_by("first_at").values_list("first_at", flat=True)[0]
    accounts = CloudAccount.objects.readable().filter(endpoint__provider=provider_id)
    waiting = accounts.filter(Q(last_sync_at__isnull=True) | Q(last_sync_at__lt=now), failures=0)
    asked = 0
    ranked = sorted(
        waiting.order_by(F("last_sync_at").asc(nulls_first=True)).values_list("pk", "customer_id")[:BATCH],
        key=lambda row: row[1] not in near,
    )
    for account, _ in ranked:
        if not _may_read(provider_id, account):
            continue
        asked += refreshing.hurry(account, now)
    if asked:
        log.info("accounts read for claims", provider=str(provider_id), accounts=asked, since=oldest.isoformat())
        turns.due(timezone.now())


def _may_read(provider_id: UUID, account: UUID) -> bool:
    """Whether this account was not read for a claim within EACH seconds, nor READINGS of its provider in a minute."""
    try:
        valkey = client()
        count = f"agents:claims:readings:{provider_id}"
        if int(valkey.get(count) or 0) >= READINGS:
            return False
        if not valkey.set(f"agents:claims:read:{account}", 1, nx=True, ex=EACH):
            return False
        if valkey.incr(count) == 1:
            valkey.expire(count, 60)
        return True
    except RedisError as fault:
        log.warning("reading not counted", account=str(account), reason=str(fault))
        return False


def _shed(provider_id: UUID) -> None:
    """Too many claims: those that fit nothing go first, and of those that want one server the older ones. What waits
    for people is shed as well, the longest unheard first; a machine that is there comes again with its next call, and
    what proved itself is never shed."""
    mine = Claim.objects.filter(provider=provider_id, state=Claim.State.WAITING, proven_at__isnull=True)
    unmatched = mine.filter(server__isnull=True)
    last = list(unmatched.order_by("-last_at", "pk").values_list("last_at", flat=True)[MOST : MOST + 1])
    if last:
        unmatched.filter(last_at__lte=last[0]).delete()
    asked = Claim.objects.filter(provider=provider_id, state=Claim.State.PENDING, proven_at__isnull=True)
    if asked.count() > ASKED_OF_ONE:
        with connection.cursor() as cursor:
            cursor.execute(_CROWD, {"provider": provider_id, "of_customer": ASKED, "of_server": ASKED_OF_ONE})
    crowded = mine.filter(server__isnull=False).order_by().values("server").annotate(claims=Count("pk"))
    for row in crowded.filter(claims__gt=OF_ONE):
        placed = mine.filter(server=row["server"]).annotate(
            place=Window(RowNumber(), order_by=[F("last_at").desc(), F("pk")])
        )
        mine.filter(pk__in=[one.pk for one in placed.filter(place__gt=OF_ONE)]).delete()


# One that several customers see goes when it is too much for each of them.
_CROWD: Final = """
DELETE FROM agents_claim WHERE state = 'pending' AND proven_at IS NULL AND id IN (
    SELECT id FROM (
        SELECT id, of_server,
            row_number() OVER (
                PARTITION BY customer ORDER BY of_server > %(of_server)s, last_at DESC, id
            ) AS of_customer
        FROM (
            SELECT id, last_at, customers,
                CASE WHEN server_id IS NULL THEN 0
                    ELSE row_number() OVER (PARTITION BY server_id ORDER BY last_at DESC, id) END AS of_server
            FROM agents_claim WHERE provider_id = %(provider)s AND state = 'pending' AND proven_at IS NULL
        ) AS placed CROSS JOIN LATERAL unnest(customers) AS seen (customer)
    ) AS counted
    GROUP BY id HAVING bool_and(of_server > %(of_server)s OR of_customer > %(of_customer)s)
)
"""
