"""What happens, told to the provider's webhooks: one event, and a delivery for each webhook that listens.

`fire` belongs into the transaction of the deed: what is rolled back was never told. When nobody listens, it costs one
indexed look and writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import orjson
import structlog
from django.db import connection, transaction
from redis.exceptions import RedisError

from console.lib.jobs.bell import ring_now
from console.lib.valkey import client
from providers.models import Customer, Provider

log = structlog.get_logger(__name__)

TASK: Final = "webhooks.deliver"
LIVES: Final = timedelta(hours=24)  # in which a delivery is tried
PING: Final = "ping"
TYPES: Final[dict[str, str]] = {
    "customer.created": "A customer was made.",
    "customer.reopened": "A closed customer was made again.",
    "customer.updated": "The contact data of a customer changed; `fields` names what.",
    "customer.suspended": "A customer was suspended: its people can look, and nothing works.",
    "customer.resumed": "A suspended customer is active again.",
    "customer.closed": "A customer was closed, and its cloud credentials are wiped.",
    "account.verified": "The cloud took the credentials of an account: `version` is in use.",
    "account.failed": "The credentials of an account did not pass, or pass no more: see `status` and `reason`.",
    "account.removed": "An account was removed, and its credentials are wiped.",
    "server.discovered": "A server appeared in an account.",
    "server.lost": "A server is gone: two listings lacked it, and the cloud says that it does not exist.",
    "server.managed": "The agent on a server reported for the first time.",
    "agent.offline": "The agent on a running server went silent.",
    "agent.online": "An agent that was silent reports again.",
    "agent.conflict": "Another machine claims to be a server that has an agent, or two claim to be one: see `reason`.",
    "agent.cloned": "Two machines use the identity of one agent, so that both have to prove who they are again.",
    "import.ended": "A bulk import ended, with how many lines did what.",
    "mail.failed": "A mail to a customer could not be delivered; `reason` says why.",
    PING: "A test that you asked for.",
}

# "Key share" holds the webhook until the deed commits: one that is removed meanwhile would break the deed's commit.
_LISTENING: Final = (
    "SELECT id FROM providers_webhook WHERE provider_id = %s AND enabled"
    " AND (events = '{}' OR %s = ANY(events)) FOR KEY SHARE"
)
# In one statement, since it is most of what a deed pays for being told: the look and both rows.
_WRITE: Final = """
WITH listening AS MATERIALIZED ({listening}), made AS (
    INSERT INTO providers_event (id, provider_id, type, data, at)
    SELECT gen_random_uuid(), %s, %s, told::jsonb, coalesce(%s, clock_timestamp()) FROM unnest(%s::text[]) AS told
    WHERE EXISTS (SELECT FROM listening)
    RETURNING id)
INSERT INTO providers_delivery (
    id, state, fence, worker, attempts, queued_at, due_at, expires_at, outcome, tries, webhook_id, event_id)
SELECT gen_random_uuid(), 'queued', 0, '', 0, clock_timestamp(), clock_timestamp(),
       clock_timestamp() + make_interval(secs => %s), '', '[]', listening.id, made.id
FROM made CROSS JOIN listening
"""
_TO_WHO_LISTENS: Final = _WRITE.format(listening=_LISTENING) + "RETURNING webhook_id"
_TO_THESE: Final = _WRITE.format(listening="SELECT unnest(%s::uuid[]) AS id")


def fire(provider: Provider | UUID | None, type: str, data: Mapping[str, Any], *, at: datetime | None = None) -> int:
    """Tell the provider's webhooks that this happened, now or `at`; how many listen. Call it inside a transaction.

    `data` is JSON: the provider's own ids, never a secret.
    """
    if provider is None:
        return 0
    provider_id = _id(provider)
    with connection.cursor() as cursor:
        cursor.execute(_TO_WHO_LISTENS, [provider_id, type, *_values(provider_id, type, _told(type, [data]), at)])
        webhooks = [pk for (pk,) in cursor.fetchall()]
    if webhooks:
        transaction.on_commit(lambda: knock(webhooks))
    return len(webhooks)


def fire_many(
    provider: Provider | UUID | None, type: str, data: Iterable[Mapping[str, Any]], *, at: datetime | None = None
) -> int:
    """One event of that type for each of `data`, written at once. How many webhooks listen; `data` is not read when
    none does."""
    if provider is None:
        return 0
    provider_id = _id(provider)
    if webhooks := _listening(provider_id, type):
        write(provider_id, type, data, webhooks, at=at)
    return len(webhooks)


def fire_for(customer: Customer, type: str, **data: Any) -> int:
    """Fire something about this customer, named by the provider's id of it. One that the provider cannot name (it has
    no such id) is not told of."""
    if not customer.external_id:
        return 0
    return fire(customer.provider_id, type, {"external_id": customer.external_id, **data})


def write(
    provider_id: UUID, type: str, data: Iterable[Mapping[str, Any]], webhooks: list[UUID], *, at: datetime | None = None
) -> None:
    """The events and their deliveries to these webhooks, rung once this transaction commits."""
    told = _told(type, data)
    if not told:
        return
    with connection.cursor() as cursor:
        cursor.execute(_TO_THESE, [webhooks, *_values(provider_id, type, told, at)])
    transaction.on_commit(lambda: knock(webhooks))


def knock(webhooks: Iterable[UUID]) -> None:
    """Ask a worker to look at these webhooks. One that was asked for a moment ago and not looked at yet is not asked
    for again; should that bell be lost, `delivering.due` rings."""
    for pk in webhooks:
        try:
            first = client().set(_rung(pk), 1, nx=True, px=2000)
        except RedisError as fault:
            log.warning("webhook not rung", webhook=str(pk), reason=str(fault))
            return
        if first:
            ring_now(TASK, pk)


def heard(webhook: Any) -> None:
    """A worker looks at this webhook now: whoever fires from here on rings again."""
    try:
        client().delete(_rung(webhook))
    except RedisError as fault:
        log.warning("ring not taken back", webhook=str(webhook), reason=str(fault))


def _listening(provider_id: UUID, type: str) -> list[UUID]:
    with connection.cursor() as cursor:
        cursor.execute(_LISTENING, [provider_id, type])
        return [pk for (pk,) in cursor.fetchall()]


def _told(type: str, data: Iterable[Mapping[str, Any]]) -> list[str]:
    if type not in TYPES:
        raise ValueError(f"{type} is no event type")
    return [orjson.dumps(one).decode() for one in data]


def _values(provider_id: UUID, type: str, told: list[str], at: datetime | None) -> list[Any]:
    """What `_WRITE` wants after whom it is for."""
    return [provider_id, type, at, told, LIVES.total_seconds()]


def _id(provider: Provider | UUID) -> UUID:
    return provider.pk if isinstance(provider, Provider) else provider


def _rung(webhook: Any) -> str:
    return f"webhooks:rung:{webhook}"
