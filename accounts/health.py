"""How an account is, in words: what happened, how old what we show is, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from accounts.models import CloudAccount
from accounts.pacing import EVERY

STALE_AFTER = 2 * timedelta(seconds=EVERY)  # a reading that was due did not come
Status = CloudAccount.Status


@dataclass(frozen=True)
class Health:
    """`tone` and `label` for the status component, `words` a sentence, `fix` what to do (or empty). `unread`: so many
    servers could not be read, while the account's others are up to date."""

    tone: str
    label: str
    words: str
    fix: str = ""
    stale: bool = False
    unread: int = 0

    @property
    def good(self) -> bool:
        return self.tone in ("running", "changing")


def health(account: CloudAccount, now: datetime | None = None) -> Health:
    """The health of an account (with its endpoint and customer)."""
    now, status = now or timezone.now(), Status(account.status)
    stale = account.last_sync_at is not None and now - account.last_sync_at > STALE_AFTER
    if account.customer.status == "suspended":
        return Health("attention", "Suspended", "This workspace is suspended: accounts are not read.",
                      "Ask your provider.", stale)  # fmt: skip
    if status == Status.OK:
        if account.last_sync_at is None:
            return Health("changing", "Reading", "The first reading is under way.")
        if stale:
            return Health("attention", "Stale", "It answered last time, but has not been read for a while.", "", True)
        if account.unread_count:
            return _partial(account.unread_count)
        return Health("running", "OK", account.status_reason or "Every server was read.")
    reason = account.status_reason or _plain(status, account)
    return Health(status.tone, status.label, reason, _fix(status, account), stale)


def trouble(accounts: Iterable[CloudAccount]) -> list[tuple[CloudAccount, Health]]:
    """The accounts that a person should know about."""
    now = timezone.now()
    told = [(account, health(account, now)) for account in accounts]
    return [(account, how) for account, how in told if not how.good]


def _partial(unread: int) -> Health:
    which, them, they = (f"{unread:,} servers", "them", "They stand as they were")
    if unread == 1:
        which, them, they = "1 server", "it", "It stands as it was"
    words = f"{which} could not be read: the cloud left {them} out of its listing, and did not tell of {them} by id."
    return Health("attention", "Partly read", f"{words} {they}.", "Muster tries again by itself.", unread=unread)


def _plain(status: CloudAccount.Status, account: CloudAccount) -> str:
    return {
        Status.PENDING: "The credentials are being verified.",
        Status.BAD_CREDENTIALS: f"{account.endpoint} does not accept the credentials.",
        Status.UNREACHABLE: f"{account.endpoint} does not answer.",
        Status.REFUSED: f"{account.endpoint} refused to list the servers.",
    }.get(status, f"{account.endpoint} answered something that could not be read.")


def _fix(status: CloudAccount.Status, account: CloudAccount) -> str:
    who = account.endpoint.provider
    return {
        Status.PENDING: "",
        Status.BAD_CREDENTIALS: f"Ask {who} to send new credentials.",
        Status.UNREACHABLE: "Muster tries again by itself.",
        Status.REFUSED: f"Ask {who} whether this account may list its servers.",
    }.get(status, f"Muster tries again by itself. If it stays so, tell {who}.")
