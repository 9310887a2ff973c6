"""Accounts at a simulated cloud, for tests of what stands above the drivers."""

from __future__ import annotations

from typing import Any

from accounts.models import CloudAccount
from console.demo.openstack import Site
from providers.models import CloudEndpoint
from tests.factories import AccountFactory, EndpointFactory


def endpoint_at(site: Site, **fields: Any) -> CloudEndpoint:
    """An endpoint that staff registered for the simulated cloud."""
    made: CloudEndpoint = EndpointFactory(url=site.url, networks=["127.0.0.1/32"], **fields)
    return made


def account_at(site: Site, **fields: Any) -> CloudAccount:
    """An account whose credentials have passed already."""
    fields.setdefault("endpoint__url", site.url)
    account: CloudAccount = AccountFactory(**fields)
    account.close_pending(site.cloud.credentials, 1)
    account.promote_pending()
    account.status = CloudAccount.Status.OK
    account.save()
    return account
