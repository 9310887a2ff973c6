"""What the OpenAPI document's examples speak of, really there: rows under the examples' own ids, and who may call.

North has the customer `c-1001` and, in its sandbox, one of the same id. alice has a customer of hers at North, on a
simulated cloud that answers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone

from accounts.models import CloudAccount, Import
from console.demo.openstack import Cloud, serve
from console.lib import audit, seal
from providers import keys, sandbox, tokens
from providers.models import Delivery, Event, MailTemplate, Provider, Webhook
from servers import sync
from servers.actions import passwords
from servers.actions.models import Action, ActionBatch
from servers.api.customer.examples import PASSWORD
from servers.installs.models import InstallBatch
from servers.models import Server
from tests.factories import (
    AccountFactory,
    CustomerFactory,
    EndpointFactory,
    MembershipFactory,
    ProviderFactory,
    ServerFactory,
    UserFactory,
)
from tests.farclouds import account_at

PROVIDERS, SANDBOX = "/api/provider/v1/", "/api/provider/v1/sandbox"
ENOUGH = 10_000_000  # calls a minute


@dataclass
class Stage:
    """The secret that opens each part of the API."""

    provider: Provider
    key: str
    test_key: str
    token: str
    cloud: Cloud | None = None  # alice's

    def in_sandbox(self) -> Stage:
        """The same with the test key as the key."""
        return replace(self, key=self.test_key)

    def secret(self, path: str) -> str:
        """Who may call this address."""
        if not path.startswith(PROVIDERS):
            return self.token
        return self.test_key if path.startswith(SANDBOX) else self.key


@contextmanager
def set_up(ids: dict[str, dict[str, str]]) -> Iterator[Stage]:
    """Everything that `ids` name: operationId → the path parameters of its example."""
    cloud = Cloud.sized(0)
    for name in ("web-1", "web-2"):
        cloud.add(name, status="ACTIVE")
    with serve(cloud) as site:
        north = ProviderFactory(slug="north", contact_email="dev@north.example", calls_per_minute=ENOUGH)
        nova = EndpointFactory(provider=north, slug="nova", url=site.url, networks=["127.0.0.1/32"])
        home = sandbox.twin(north)
        Provider.objects.filter(pk=home.pk).update(calls_per_minute=ENOUGH, max_customers=None)
        for owner, endpoint in ((north, nova), (home, EndpointFactory(provider=home, slug="nova"))):
            _customer(owner, endpoint, ids)
        _webhook(north, ids)
        _kept(north, ids)
        token = _alice(site, nova, ids)
        _, key = keys.issue(north, actor=audit.SYSTEM)
        _, test_key = keys.issue(north, actor=audit.SYSTEM, sandbox=True)
        yield Stage(north, key, test_key, token, cloud)


def _customer(owner: Provider, endpoint: Any, ids: dict[str, dict[str, str]]) -> None:
    named = ids["accounts_read"]
    customer = CustomerFactory(provider=owner, external_id=named["external_id"], first_name="Ada", last_name="Byron")
    MembershipFactory(customer=customer, user=UserFactory(email=f"ada@{owner.slug}.example"))
    account = AccountFactory(customer=customer, endpoint=endpoint, external_id=named["account_id"])
    ServerFactory(account=account, name="web-1", external_id=ids["sandbox_manage"]["server_id"])


def _webhook(north: Provider, ids: dict[str, dict[str, str]]) -> None:
    webhook = Webhook(pk=ids["webhooks_read"]["webhook_id"], provider=north, url="https://1.1.1.1/")
    webhook.sealed = seal.close({"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, webhook.place("sealed"))
    webhook.save()
    event = Event.objects.create(provider=north, type="account.verified", data={"external_id": "c-1001"})
    Delivery.objects.create(pk=ids["deliveries_read"]["delivery_id"], webhook=webhook, event=event)


def _kept(north: Provider, ids: dict[str, dict[str, str]]) -> None:
    MailTemplate.objects.create(
        pk=ids["mail_templates_read"]["id"], provider=north, kind="welcome", revision=1, subject="Hi", body="See."
    )
    batch = Import.objects.create(pk=ids["imports_read"]["id"], provider=north, total=1)
    batch.lines.create(number=1, external_id="c-1001", outcome="unchanged")


def _alice(site: Any, nova: Any, ids: dict[str, dict[str, str]]) -> str:
    customer = CustomerFactory(provider=nova.provider, external_id="c-alice")
    alice = UserFactory(email="alice@example.com")
    MembershipFactory(customer=customer, user=alice)
    account = account_at(site, pk=ids["my_offers_read"]["id"], customer=customer, endpoint=nova)
    sync.now(account)
    CloudAccount.objects.filter(pk=account.pk).update(generation="modern")
    server_id = UUID(ids["my_servers_read"]["id"])
    Server.objects.filter(account=account, name="web-1").update(id=server_id)
    batch = ActionBatch.objects.create(customer=customer, by=alice, kind="create")
    made = Action(
        pk=ids["my_actions_read"]["id"], batch=batch, customer=customer, account=account, server_id=server_id,
        name="web-1", kind="create",
    )  # fmt: skip
    for name, value in passwords.sealed(made, PASSWORD.value["password"]).items():
        setattr(made, name, value)
    made.save()
    InstallBatch.objects.create(pk=ids["my_installs_read"]["id"], customer=customer, by=alice, ssh_user="ubuntu")
    soon = timezone.now() + timedelta(days=1)
    return tokens.issue(customer, by=alice, name="cron", scopes=list(tokens.SCOPES), expires_at=soon)[1]
