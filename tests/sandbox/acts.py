"""What an integrator does with a test key, and what workers do then."""

from __future__ import annotations

from accounts.models import CloudAccount
from console.lib.jobs import leases
from console.lib.jobs.kinds import KINDS, work
from providers import mail, simulated
from providers import tasks as provider_tasks
from providers.models import Mail
from tests.provider_api.calls import ADA


def put(api, external_id="c-1", **fields):
    reply = api("PUT", f"customers/{external_id}", ADA | fields)
    assert reply.status_code in (200, 201), reply.content
    return reply.json()


def push(api, cloud="openstack", credentials=None, account="main"):
    named = next(one for one in simulated.CLOUDS if one.slug == cloud)
    body = {"endpoint": cloud, "name": "Main", "version": 1, "credentials": credentials or named.logins[0].credentials}
    reply = api("PUT", f"customers/c-1/accounts/{account}", body)
    assert reply.status_code == 202, reply.content
    return CloudAccount.objects.get(customer__provider__sandbox_of=api.provider, external_id=account)


def deliver_mails():
    """As workers do, each mail once."""
    assert provider_tasks.send.name == mail.TASK
    while claimed := leases.claim(Mail.objects.all(), 60, take_abandoned=True):
        for row, lease in claimed:
            work(KINDS[mail.TASK], lambda row, _: mail.send(row), row, lease)
