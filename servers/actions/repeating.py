"""`Idempotency-Key`: a program that heard no answer asks again, and gets the action that its first call began."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

from django.db import connection, transaction

from providers.models import Customer
from servers.actions.models import ActionBatch


class Mismatch(Exception):
    """The key came with another call before."""


class InProgress(Exception):
    """A call with this key is under way still."""


def once(customer: Customer, key: str, call: bytes, begin: Callable[[], ActionBatch]) -> ActionBatch:
    """`begin()`'s batch, or the one that this key began. Raises Mismatch when `call` differs from then, and InProgress.

    Without a key it begins one each time. When `begin` raises, the key is free again.
    """
    if not key:
        return begin()
    digest = sha256(call).hexdigest()
    with transaction.atomic():
        with connection.cursor() as cursor:
            # Held until what is begun here is there for all to see, and by nobody who died.
            cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 1))", [f"{customer.pk} {key}"])
            if not cursor.fetchone()[0]:
                raise InProgress
        before: ActionBatch | None = ActionBatch.objects.filter(customer=customer, request_key=key).first()
        if before is None:
            before = begin()
            before.request_key, before.request_digest = key, digest
            before.save(update_fields=["request_key", "request_digest"])
    if before.request_digest != digest:
        raise Mismatch
    return before
