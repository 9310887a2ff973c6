"""First passwords of new servers: sealed when the cloud tells one, told once, to whoever asked for the server."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import structlog
from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from console.lib import audit, notify, seal
from console.lib.denials import Denied
from console.lib.faults import Unexpected
from console.models import User
from servers.actions.models import Action

log = structlog.get_logger(__name__)

KEPT: Final = timedelta(hours=24)  # unseen
_COLUMN: Final = "password_sealed"
_NONE: Final = "This action has no password to tell: none was asked for, or its cloud gave none."
_TOLD: Final = "This password was told already, and is kept nowhere any more. Set another one on the server."
_LATE: Final = "Nobody asked for this password in time, so it was deleted. Set another one on the server."


def sealed(row: Action, password: str) -> dict[str, Any]:
    """The fields of the row that keep it; none when there is no password."""
    if not password:
        return {}
    kept = seal.close({"password": password}, row.place(_COLUMN))
    return {_COLUMN: kept, "password_until": timezone.now() + KEPT}


def has_one(action: Action) -> bool:
    """Whether there is one that was not told yet."""
    return bool(action.password_sealed) and action.password_until is not None and action.password_until > timezone.now()


def reveal(action: Action, *, by: User) -> str:
    """The password, this once: of all who ask at the same moment one is told, and it is deleted with that.

    Denied, with the codes `password_of_another` (only who asked for the server may see it), `password_none`, and
    `password_gone` (told, or deleted unseen). Unexpected when what was sealed does not open; it stays then.
    """
    with transaction.atomic():
        # The lock makes all others wait here until what they see is that it was told.
        rows = Action.objects.select_for_update(of=("self",), no_key=True).select_related("batch", "server")
        row: Action | None = rows.filter(pk=action.pk).first()
        if row is None or row.password_until is None:
            raise Denied(_NONE, "password_none")
        if row.batch.by_id != by.pk:
            raise Denied("Only who asked for this server is told its password.", "password_of_another")
        if not has_one(row):
            raise Denied(_TOLD if row.password_told_at else _LATE, "password_gone")
        try:
            password = seal.open_(row.password_sealed, row.place(_COLUMN))["password"]
        except seal.SealBroken as broken:
            log.error("a sealed password does not open", action=str(row.pk), reason=str(broken))
            raise Unexpected("The kept password does not open. Staff see why in the log.") from broken
        Action.objects.filter(pk=row.pk).update(password_sealed="", password_told_at=Now())
        audit.note(audit.Actor.of(by), "password.told", target=row.server or row, customer_id=row.customer_id,
                   detail={"kind": row.kind, "batch": str(row.batch_id)})  # fmt: skip
        notify.changed(row.customer_id, f"action-{row.pk}")
    return password


def forget() -> int:
    """Delete those whose time is over; returns how many. Harmless to call at any time."""
    return wipe(Action.objects.filter(password_until__lte=Now()))


def wipe(rows: QuerySet[Any]) -> int:
    """Delete the passwords and the sealed user data of these rows (of Action)."""
    told: int = rows.exclude(password_sealed="", order_sealed="").update(password_sealed="", order_sealed="")
    return told
