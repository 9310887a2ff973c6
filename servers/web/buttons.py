"""Buttons for what can be done: all of them always, those that cannot be with their reason."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse

from accounts import ready
from accounts.clouds.operations import Operation
from accounts.models import CloudAccount
from servers.actions import ability
from servers.actions.kinds import KINDS
from servers.models import Server

_POWER = ("start", "stop", "reboot")
_MORE = ("reset", "suspend", "resume", "", "resize", "confirm_resize", "revert_resize", "rename", "", "snapshot")


def in_bulk(kinds: Iterable[str], where: str = "formaction") -> list[dict[str, Any]]:
    """For the bar of a selection: each submits it to the confirm page, which says who cannot. "" is a line.

    `where`: the key of the address, "href" for the bar's buttons and "formaction" for the items of its menu.
    """
    new = reverse("actions:new")
    return [
        {"label": KINDS[name].label, "icon": KINDS[name].icon, where: new, "name": "kind", "value": name}
        if name else {"line": True}
        for name in kinds
    ]  # fmt: skip


def create(accounts: Iterable[CloudAccount], chosen: CloudAccount | None = None) -> dict[str, str] | None:
    """ "New server" of the list: its address, or the reason where no account can; None where there is no account."""
    listed = [chosen] if chosen else list(accounts)
    if not listed:
        return None
    reason = ""
    for account in listed:
        words = ready.refusal(account, Operation.CREATE)
        if not words:
            reason = ""
            break
        reason = reason or words
    return {"href": reverse("actions:create") + (f"?account={chosen.pk}" if chosen else ""), "reason": reason}


def of_server(server: Server, *others: dict[str, Any]) -> dict[str, Any]:
    """`power_buttons` and `more_buttons` (with `others` among them) of a server's page, and the action under way."""
    acting = ability.under_way([server]).get(server.pk)
    new = reverse("actions:new")

    def made(name: str) -> dict[str, Any]:
        if not name:
            return {"line": True}
        kind = KINDS[name]
        href = f"{new}?{urlencode({'kind': name, 'ids': server.pk})}"
        reason = ability.refusal(server, kind, acting)
        return {"label": kind.label, "icon": kind.icon, "href": href, "reason": reason}

    snapshots = {
        "label": "Snapshots", "icon": "history", "href": reverse("actions:snapshots", args=[server.pk]),
        "reason": ability.GONE if server.gone_at else "",
    }  # fmt: skip
    another = {
        "label": "New server like this", "icon": "plus", "href": f"{reverse('actions:create')}?like={server.pk}",
        "reason": ready.refusal(server.account, Operation.CREATE, server.customer),
    }  # fmt: skip
    return {
        "power_buttons": [made(name) for name in _POWER],
        "more_buttons": [*map(made, _MORE), snapshots, another, {"line": True}, *others, made("delete")],
        "acting": acting,
        "acting_title": f"{acting.does.doing} {server.name}" if acting else "",
    }
