"""The audit log: one call for each deed, in the deed's own transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog

from console.lib import copying
from console.models import AuditEntry, User


@dataclass(frozen=True)
class Actor:
    """Who acts. `Actor.of(user)` for a person; a provider's key and Muster itself have their own."""

    kind: str
    id: str = ""
    name: str = ""
    on_behalf_of: str = ""
    reason: str = ""  # why staff act for somebody; goes into the entry's detail

    @classmethod
    def of(cls, user: User) -> Actor:
        """The person; when it is staff acting for a customer just now, both (providers/acting.py)."""
        if user.acts_for is not None:
            return cls(AuditEntry.Actor.STAFF, str(user.pk), user.email, *user.acts_for)
        return cls(AuditEntry.Actor.PERSON, str(user.pk), user.email)

    @classmethod
    def staff(cls, user: User) -> Actor:
        return cls(AuditEntry.Actor.STAFF, str(user.pk), user.email)


SYSTEM = Actor(AuditEntry.Actor.SYSTEM, name="Muster")


def note(
    actor: Actor,
    verb: str,
    *,
    target: Any = None,
    customer_id: UUID | None = None,
    provider_id: UUID | None = None,
    detail: dict[str, Any] | None = None,
) -> None:
    """Append an entry. `target` is a model instance; `detail` is JSON, without secrets."""
    _entry(actor, verb, target, customer_id, provider_id, detail).save(force_insert=True)


def note_many(
    actor: Actor, verb: str, targets: Sequence[Any], *, provider_id: UUID | None, detail: dict[str, Any] | None = None
) -> None:
    """Append an entry for each of `targets`: customers, or rows that have one."""
    copying.insert(
        _entry(actor, verb, target, getattr(target, "customer_id", target.pk), provider_id, detail)
        for target in targets
    )


def _entry(
    actor: Actor,
    verb: str,
    target: Any,
    customer_id: UUID | None,
    provider_id: UUID | None,
    detail: dict[str, Any] | None,
) -> AuditEntry:
    return AuditEntry(
        actor_kind=actor.kind,
        actor_id=actor.id,
        actor_name=actor.name[:254],
        on_behalf_of=actor.on_behalf_of,
        provider_id=provider_id,
        customer_id=customer_id,
        verb=verb,
        target_kind=target._meta.model_name if target is not None else "",
        target_id=str(target.pk) if target is not None else "",
        target_name=str(target)[:255] if target is not None else "",
        detail={**(detail or {}), **({"reason": actor.reason} if actor.reason else {})},
        request_id=request_id(),
    )


def request_id() -> str:
    """The id of the request (or task) that is being served; empty outside one."""
    bound = structlog.contextvars.get_contextvars()
    return str(bound.get("request_id") or bound.get("task_id") or "")
