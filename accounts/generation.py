"""Which generation of its platform an account's cloud is: the key of the table of what can be asked of it."""

from __future__ import annotations

from accounts import clouds, ready
from accounts.models import CloudAccount


def learn(account: CloudAccount, driver: clouds.Driver) -> None:
    """Keep it where it is not known yet, and where it is another one by now: clouds are upgraded.

    The pages and the deeds then know without a call what cannot be done. A driver that has negotiated is not called
    for it, unless it differs. Raises the faults of `check`.
    """
    able = getattr(driver, "capabilities", None)
    if able is None or not account.sealed or able() == ready.table(account):
        return
    checked = driver.check()
    known = {"generation": checked.generation[:20], "version_found": checked.version[:60]}
    changed = CloudAccount.objects.filter(pk=account.pk, sealed=account.sealed).update(**known)
    if changed:
        account.generation, account.version_found = known["generation"], known["version_found"]
