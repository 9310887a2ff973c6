"""Moments of a time line: what happened, in words, from audit entries, installs, syncs and servers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.urls import reverse

from accounts.models import SyncRun
from console.models import AuditEntry
from servers.actions.kinds import EVERY, Kind
from servers.installs.models import Install

# verb → tone of the mark, what was done. The name of the target follows; a verb that is not here is shown as it is.
VERBS: dict[str, tuple[str, str]] = {
    "account.credentials_pushed": ("changing", "New credentials for"),
    "account.credentials_verified": ("running", "Credentials verified for"),
    "account.linked": ("running", "Connected"),
    "account.removed": ("stopped", "Removed the account"),
    "account.sync_asked": ("stopped", "Asked to read"),
    "agent.enrolled": ("running", "Agent enrolled on"),
    "agent.removed": ("stopped", "Removed the agent from"),
    "agent.token_issued": ("stopped", "Made a join token for"),
    "customer.acting_begun": ("attention", "Staff began to act for"),
    "customer.acting_ended": ("stopped", "Staff stopped acting for"),
    "customer.closed": ("stopped", "Closed the workspace"),
    "customer.created": ("running", "Made the workspace"),
    "customer.mail_resent": ("stopped", "Sent the invitation again to"),
    "customer.reopened": ("running", "Reopened the workspace"),
    "customer.resumed": ("running", "Resumed the workspace"),
    "customer.suspended": ("attention", "Suspended the workspace"),
    "customer.updated": ("stopped", "Changed the details of"),
    "identity.bound": ("stopped", "Met a new sign-in of the provider's for"),
    "install.canceled": ("stopped", "Canceled an install"),
    "install.done": ("running", "Agent installed on"),
    "install.expired": ("attention", "Install expired on"),
    "install.failed": ("failed", "Install failed on"),
    "install.host_keys_confirmed": ("running", "Confirmed host keys for an install"),
    "install.host_keys_forgotten": ("stopped", "Forgot the host keys of"),
    "install.interrupted": ("failed", "Install interrupted on"),
    "install.started": ("changing", "Started an install"),
    "invitation.accepted": ("running", "Accepted an invitation:"),
    "invitation.declined": ("stopped", "Declined an invitation:"),
    "password.told": ("stopped", "Was told the first password of"),
    "person.password_set": ("stopped", "Set a password:"),
    "person.signed_in": ("stopped", "Signed in:"),
    "token.issued": ("stopped", "Issued an API token:"),
    "token.revoked": ("stopped", "Revoked an API token:"),
}
NAMELESS = ("install.started", "install.canceled", "install.host_keys_confirmed")


@dataclass(frozen=True)
class Moment:
    """`what` and `name` make the sentence; `words` say more; `by` who did it; `times` how often in a row."""

    at: datetime
    tone: str
    what: str
    name: str = ""
    href: str = ""
    words: str = ""
    by: str = ""
    times: int = 1


def of_audit(entry: AuditEntry) -> Moment:
    if entry.verb.startswith("action.") and entry.detail.get("kind") in EVERY:
        return _of_action(entry, EVERY[entry.detail["kind"]])
    tone, what = VERBS.get(entry.verb, ("stopped", entry.verb.replace("_", " ").replace(".", ": ").capitalize()))
    by = _by(entry)
    name = "" if entry.verb in NAMELESS else entry.target_name
    return Moment(entry.at, tone, what, name, _place(entry), _detail(entry.detail), by)


def _of_action(entry: AuditEntry, kind: Kind) -> Moment:
    """An action that was asked for, or how it ended on one server."""
    by = str(entry.detail.get("by") or _by(entry))
    if entry.verb == "action.started":
        return Moment(entry.at, "changing", f"Asked for: {kind.label.lower()}", "", _place(entry),
                      _detail(entry.detail), by)  # fmt: skip
    done = entry.verb == "action.done"
    what = kind.past if done else f"{kind.label} did not go through on"
    batch = str(entry.detail.get("batch", ""))
    href = reverse("actions:batch", args=[batch]) if batch else ""
    words = str(entry.detail.get("outcome", ""))
    words = "" if words == kind.outcome else words
    if snapshot := str(entry.detail.get("snapshot", "")):
        words = f"{snapshot}. {words}".strip()
    return Moment(entry.at, "running" if done else "failed", what, entry.target_name, href, words, by)


def _by(entry: AuditEntry) -> str:
    """Who did it; both names where staff did it for somebody."""
    by = entry.actor_name or entry.get_actor_kind_display()
    return f"{by} for {entry.on_behalf_of}" if entry.on_behalf_of else by


def _place(entry: AuditEntry) -> str:
    """The page of what an entry names; a page that is gone answers 404, as for anybody else."""
    pages = {
        "server": "servers:server",
        "cloudaccount": "accounts:account",
        "installbatch": "installs:batch",
        "actionbatch": "actions:batch",
    }
    if entry.target_kind not in pages or entry.verb == "account.removed":
        return ""
    return reverse(pages[entry.target_kind], args=[entry.target_id])


def _detail(detail: dict[str, Any]) -> str:
    """What is worth saying of an entry's detail."""
    said = []
    if isinstance(servers := detail.get("servers"), int):
        said.append(f"on {servers} server{'' if servers == 1 else 's'}")
    for key in ("done", "failed", "refused"):
        if isinstance(number := detail.get(key), int) and number:
            said.append(f"{number} {key}")
    if isinstance(params := detail.get("params"), dict) and params.get("snapshot_name"):
        said.append(f"{params['snapshot_name']}")
    if detail.get("user"):
        said.append(f"as {detail['user']}")
    if isinstance(outcome := detail.get("outcome"), str):
        said.append(outcome)
    if isinstance(reason := detail.get("reason"), str):
        said.append(f"reason: {reason}")
    if detail.get("version"):
        said.append(f"version {detail['version']}")
    return ", ".join(said)


def of_sync(run: SyncRun) -> Moment:
    """A reading of an account (with its account)."""
    ended = run.ended_at or run.started_at or run.queued_at
    what = (
        "Could not read"
        if run.state == "failed"
        else "Read"
        if run.state == "done"
        else f"Sync {run.status.label.lower()}:"
    )
    why = {"person": " Asked for.", "push": " After new credentials.", "command": " By command."}.get(run.trigger, "")
    href = reverse("accounts:account", args=[run.account_id])
    return Moment(ended, run.status.tone, what, str(run.account), href, run.outcome + why)


def of_install(row: Install) -> Moment:
    """An install on one server (with its batch and who asked for it)."""
    what = {"done": "Agent installed", "failed": "Install failed"}.get(row.state, f"Install {row.status.label.lower()}")
    words = f"{row.cause} {row.fix}".strip() or row.outcome
    by = str(row.batch.by or "")
    return Moment(
        row.ended_at or row.queued_at,
        row.status.tone,
        what,
        "",
        reverse("installs:batch", args=[row.batch_id]),
        words,
        by,
    )


def in_order(moments: Iterable[Moment]) -> list[Moment]:
    """Newest first; the same thing again and again becomes one line with a count."""
    told: list[Moment] = []
    for moment in sorted(moments, key=lambda one: one.at, reverse=True):
        last = told[-1] if told else None
        if last and replace(moment, at=last.at, times=last.times) == last:
            told[-1] = replace(last, times=last.times + 1)
        else:
            told.append(moment)
    return told
