"""Whether an account's cloud can be asked for something at all, whichever server it is about. Makes no call."""

from __future__ import annotations

from typing import Final

from accounts import clouds
from accounts.clouds.operations import Capabilities, Operation
from accounts.models import CloudAccount
from providers.models import Customer

SUSPENDED: Final = "This workspace is suspended: nothing can be changed."


def refusal(account: CloudAccount, operation: Operation | None = None, owner: Customer | None = None) -> str:
    """Why the account (with its endpoint) cannot be asked for this, or for anything; "" when it can.

    `owner`: its customer, where that was read already.
    """
    if (owner or account.customer).status != Customer.Status.ACTIVE:
        return SUSPENDED
    if account.removed_at is not None:
        return "Its account was removed."
    if not account.credentials_version:
        return "Its account has no credentials that work. Ask your provider to connect it again."
    if not account.endpoint.enabled:
        return "Its cloud is switched off in this console. Ask your provider."
    able = table(account)
    return able[operation].refusal() if able is not None and operation is not None else ""


def table(account: CloudAccount) -> Capabilities | None:
    """What the account's cloud can do; None while nobody signed in to see which generation it is."""
    return clouds.capabilities(account.endpoint.platform, account.generation)
