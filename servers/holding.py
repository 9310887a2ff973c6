"""The short transaction in which what a cloud told is written, while the account is locked and still ours to write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

from accounts.models import CloudAccount
from console.lib.jobs.leases import Lease, Lost


@contextmanager
def holding(account: CloudAccount, lease: Lease | None = None) -> Iterator[CloudAccount]:
    """The account, locked. Raises Lost when it is gone, when its credentials were wiped, or when the lease is not ours.

    Without a lease the account must have the same credentials as when it was read: what others told of is another
    account's.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            # Locks go customer, account, run, everywhere: what ends with a server wants this one too.
            cursor.execute("SELECT 1 FROM providers_customer WHERE id = %s FOR KEY SHARE", [account.customer_id])
        held = CloudAccount.objects.select_for_update(no_key=True).filter(pk=account.pk).first()
        if held is None:
            raise Lost(f"account {account.pk} is gone")
        if lease is not None:
            lease.hold()
        elif held.removed_at is not None or held.sealed != account.sealed:
            raise Lost(f"account {account.pk} has other credentials, or was removed")
        yield held
