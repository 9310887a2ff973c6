"""Which generation of its platform an account's cloud is: the key of the table of what can be asked of it."""

from __future__ import annotations

from accounts import clouds
from accounts.models import CloudAccount


def learn(account: CloudAccount, driver: clouds.Driver) -> None:
    """Keep it, where a verified account has none yet (it was verified before it was kept). Raises the faults of check.

    The pages and the deeds then know without a call what cannot be done.
    """
    if account.generation or not account.sealed:
        return
    account.generation = driver.check().generation[:20]
    CloudAccount.objects.filter(pk=account.pk, generation="").update(generation=account.generation)
