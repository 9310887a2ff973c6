"""A row of the kinds that staff look at and that no deed of the tests makes by the way."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from accounts.models import Import, ImportLine
from console.lib import seal
from console.models import User
from providers.models import ActingFor, ApiCall, Brand, Customer, IdentityServer, MailTemplate, ProviderMember
from servers.agents.models import Agent, Challenge, Claim, Release, Work
from tests.factories import AccountFactory, ServerFactory

SECRET = "hunter-of-identity-servers"


def make(customer: Customer, staff: User) -> list[str]:
    """Returns the secrets among them, which no page may show."""
    provider = customer.provider
    assert provider is not None
    ActingFor.objects.create(
        customer=customer, staff=staff, reason="Ticket 4711", ends_at=timezone.now() + timedelta(minutes=5)
    )
    ApiCall.objects.create(
        provider=provider, request_id="req-4711", key_name="mst_live_abc_…", method="GET",
        path="/api/provider/v1/customers", status=404, code="not_found", milliseconds=3,
    )  # fmt: skip
    server = IdentityServer(provider=provider, issuer="https://login.example.com", client_id="muster")
    server.sealed = seal.close({"secret": SECRET}, server.place())
    server.save()
    Brand.objects.create(provider=provider, revision=1, name="North", logo=b"PNG-pixels")
    MailTemplate.objects.create(provider=provider, kind="welcome", revision=1, subject="Hello", body="There")
    ProviderMember.objects.create(provider=provider, user=staff, role="admin")
    batch = Import.objects.create(provider=provider, form="json", actor_kind="provider", actor_id="1", actor_name="k")
    ImportLine.objects.create(batch=batch, number=1, external_id="c-1", sealed="v1:sealed-import-line")
    host = ServerFactory(account=AccountFactory(customer=customer, external_id="agents", endpoint__slug="agents-lab"))
    agent = Agent.objects.create(server=host, public_key="k" * 43, version="0.2.0")
    Release.objects.create(version="0.2.0", sha256="c" * 64, program=b"x", manifest="{}", signature="s", key_id="k1")
    Work.objects.create(
        agent=agent, server=host, customer=customer, sequence=1, script="echo the-script", envelope="the-envelope",
        signature="s", key_id="k1", expires_at=timezone.now(),
    )  # fmt: skip
    Claim.objects.create(
        provider=provider, public_key="c" * 43, code="ABCD-2345", version="0.2.0", address="192.0.2.9",
        hostname="claimant", server=host, expires_at=timezone.now(),
    )  # fmt: skip
    challenge = Challenge(server=host)
    challenge.sealed = seal.close({"nonce": SECRET}, challenge.place())
    challenge.save()
    return [
        challenge.sealed,
        "the-script",
        "the-envelope",
        SECRET,
        server.sealed,
        "PNG-pixels",
        "v1:sealed-import-line",
    ]
