"""Claims of one provider are matched with the servers of its own endpoints, and what follows from it is begun.

Run as often as claims come or servers are read, at most once a second for a provider. All of it may be done twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import Count, F, Max, Q, Window
from django.db.models.functions import RowNumber
from django.utils import timezone
from redis.exceptions import RedisError

from accounts.models import CloudAccount
from console.lib.valkey import client
from servers import refreshing, turns
from servers.agents import admitting, challenging, channels, claiming, matching
from servers.agents.admitting import OPEN
from servers.agents.matching import Candidate, Found, Told
from servers.agents.models import Agent, Claim
from servers.models import Server

log = structlog.get_logger(__name__)

WAITING: Final = Claim.State.WAITING
BATCH: Final = 500
MOST: Final = 20_000  # claims of a provider that fit nothing; older ones are shed, and come again with their next call
OF_ONE: Final = 1000  # of one server
AFRESH: Final = timedelta(seconds=10)  # after which a reading of an account is worth another look
NEW: Final = timedelta(minutes=30)  # for which a machine that nobody knows lets accounts be read
GRACE: Final = timedelta(minutes=3)  # in which a new server may still appear, before a person is asked whose it is
EACH: Final = 60  # seconds between two readings of an account for the sake of claims
READINGS: Final = 10  # a minute for a provider


def look(provider_id: UUID) -> int:
    """Match what is to be matched; how many claims were looked at."""
    now = timezone.now()
    _shed(provider_id)
    due = list(_due(provider_id, now).values_list("pk", flat=True))
    for start in range(0, len(due), BATCH):
        _match(provider_id, list(Claim.objects.filter(pk__in=due[start : start + BATCH], state__in=OPEN)), now)
    if due:
        _read_accounts(provider_id, now)
    return len(due)


def _due(provider_id: UUID, now: datetime) -> Any:
    """Never matched, or their accounts were read since, or a moment ago that needs another look (proofs on hold)."""
    read = CloudAccount.objects.present().filter(endpoint__provider=provider_id)
    last = read.aggregate(last=Max("last_sync_at"))["last"]
    stale = Q(looked_at__isnull=True)
    if last is not None:
        stale |= Q(looked_at__lt=min(last, now - AFRESH))
    stale |= Q(level__gt=0, looked_at__lt=now - AFRESH)
    return Claim.objects.filter(stale, provider=provider_id, state__in=OPEN).order_by("-last_at", "pk")


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
    if agent is not None and admitting.reports(agent):
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
    """Too many claims: those that fit nothing go first, and of those that want one server the older ones."""
    mine = Claim.objects.filter(provider=provider_id, state=Claim.State.WAITING, proven_at__isnull=True)
    unmatched = mine.filter(server__isnull=True)
    last = list(unmatched.order_by("-last_at", "pk").values_list("last_at", flat=True)[MOST : MOST + 1])
    if last:
        unmatched.filter(last_at__lte=last[0]).delete()
    crowded = mine.filter(server__isnull=False).order_by().values("server").annotate(claims=Count("pk"))
    for row in crowded.filter(claims__gt=OF_ONE):
        placed = mine.filter(server=row["server"]).annotate(
            place=Window(RowNumber(), order_by=[F("last_at").desc(), F("pk")])
        )
        mine.filter(pk__in=[one.pk for one in placed.filter(place__gt=OF_ONE)]).delete()
