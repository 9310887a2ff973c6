"""How much a provider may have, and what becomes of customers that are closed for good."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from accounts import imports, linking, tasks
from accounts.models import CloudAccount, Import, ImportLine
from console.lib import audit
from console.lib.denials import Denied
from console.lib.jobs import leases
from console.lib.jobs.kinds import KINDS, work
from console.models import AuditEntry, User
from providers import customers, erasing
from providers.models import Customer, Event, Mail, Provider, Replay
from servers.agents import enrol
from servers.agents.models import Agent
from servers.models import Server
from tests.factories import (
    AccountFactory,
    CustomerFactory,
    EndpointFactory,
    MembershipFactory,
    ProviderFactory,
    ServerFactory,
)
from tests.provider_api.calls import ADA, OPENSTACK, PUSH, Api, shaped


class TestQuotas:
    def test_a_customer_too_many_is_409_and_leaves_nothing(self, db):
        api = Api(ProviderFactory(max_customers=1))
        assert api("PUT", "customers/c-1", ADA).status_code == 201
        reply = api("PUT", "customers/c-2", ADA)
        assert "may have 1 customers" in shaped(reply, 409, "quota_used_up")["message"]
        assert Customer.objects.count() == 1
        assert api("PUT", "customers/c-1", ADA | {"organization": "New"}).status_code == 200

    def test_a_closed_customer_makes_room_and_reopening_takes_it(self, db):
        api = Api(ProviderFactory(max_customers=1))
        api("PUT", "customers/c-1", ADA), api("DELETE", "customers/c-1")
        assert api("PUT", "customers/c-2", ADA).status_code == 201
        shaped(api("PUT", "customers/c-1", ADA), 409, "quota_used_up")

    @pytest.mark.django_db(transaction=True)
    def test_of_ten_at_once_as_many_are_made_as_there_is_room(self):
        provider, barrier, told = ProviderFactory(max_customers=3), threading.Barrier(10), []

        def make(number):
            barrier.wait(30)
            try:
                customers.put(provider, f"c-{number}", ADA, audit.SYSTEM)
                told.append("made")
            except Denied:
                told.append("denied")
            connection.close()

        threads = [threading.Thread(target=make, args=(number,)) for number in range(10)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert sorted(told) == ["denied"] * 7 + ["made"] * 3 and Customer.objects.count() == 3

    def test_no_new_account_when_the_servers_are_used_up_while_known_ones_go_on(self, db):
        provider = ProviderFactory(max_servers=5)
        api, endpoint = Api(provider), EndpointFactory(provider=provider, slug="nova")
        api("PUT", "customers/c-1", ADA)
        assert api("PUT", "customers/c-1/accounts/main", PUSH).status_code == 202
        CloudAccount.objects.update(server_count=5)
        shaped(api("PUT", "customers/c-1/accounts/other", PUSH), 409, "quota_used_up")
        again = linking.push(Customer.objects.get(), "main", endpoint=endpoint, name="Main", version=2,
                             credentials=OPENSTACK, actor=audit.SYSTEM)  # fmt: skip
        assert again.changed

    def test_an_account_that_was_not_read_yet_counts_as_a_server(self, db):
        provider = ProviderFactory(max_servers=1)
        EndpointFactory(provider=provider, slug="nova")
        api = Api(provider)
        api("PUT", "customers/c-1", ADA)
        assert api("PUT", "customers/c-1/accounts/one", PUSH).status_code == 202
        assert api("PUT", "customers/c-1/accounts/one", PUSH).status_code in (200, 202)
        for name in ("two", "three"):
            told = shaped(api("PUT", f"customers/c-1/accounts/{name}", PUSH), 409, "quota_used_up")["message"]
            assert "may have 1 servers" in told
        CloudAccount.objects.update(swept_at=timezone.now())  # it was read, and is empty
        assert api("PUT", "customers/c-1/accounts/two", PUSH).status_code == 202

    def test_no_agent_more_than_there_may_be(self, db):
        provider = ProviderFactory(max_agents=1)
        account = AccountFactory(customer=CustomerFactory(provider=provider))
        first, second = ServerFactory(account=account), ServerFactory(account=account)
        token = enrol.issue(first, None)
        enrol.enrol(token, "a" * 32, "1.0", {})
        with pytest.raises(Denied, match="may have 1 agents"):
            enrol.issue(second, None)


class TestErasing:
    @pytest.fixture
    def closed(self, db):
        customer = CustomerFactory(provider=ProviderFactory())
        MembershipFactory(customer=customer)
        server = ServerFactory(account=AccountFactory(customer=customer))
        enrol.enrol(enrol.issue(server, None), "a" * 32, "1.0", {})
        customers.close(customer, audit.SYSTEM)
        return customer

    def aged(self, days):
        Customer.objects.update(closed_at=timezone.now() - timedelta(days=days))

    def test_within_the_grace_period_all_is_kept_but_credentials(self, closed):
        self.aged(29)
        assert erasing.due() == 0
        assert Server.objects.count() == 1 and CloudAccount.objects.get().sealed == ""

    def test_one_that_came_by_an_import_is_gone_from_there_too(self, db):
        provider = ProviderFactory()
        EndpointFactory(provider=provider, slug="nova")
        account = {"account_id": "main", "endpoint": "nova", "name": "Main", "version": 1, "credentials": OPENSTACK}
        line = {"external_id": "c-9", **ADA, "accounts": [account]}
        assert Api(provider)("POST", "imports", {"customers": [line]}).status_code == 202
        for row, lease in leases.claim(Import.objects.all(), 60):
            work(KINDS[tasks.run.name], imports.perform, row, lease)
        customers.close(Customer.objects.get(), audit.SYSTEM)
        self.aged(31)
        assert erasing.due() == 1
        kept = [list(one.objects.values()) for one in (Customer, User, Mail, Import, ImportLine, Replay, Event)]
        for trace in (ADA["email"], ADA["organization"], OPENSTACK["password"]):
            assert trace not in str(kept)

    def test_afterwards_all_is_gone_and_the_log_remembers(self, closed):
        self.aged(31)
        assert erasing.due() == 1
        for model in (Customer, CloudAccount, Server, User):
            assert not model.objects.exists(), model
        assert AuditEntry.objects.filter(verb="customer.erased", target_id=str(closed.pk)).count() == 1

    def test_an_agent_that_returns_years_later_is_still_told_to_leave(self, closed):
        self.aged(31)
        erasing.due()
        assert Agent.objects.get().state == Agent.State.LEAVING

    def test_a_person_who_belongs_elsewhere_too_stays(self, closed):
        MembershipFactory(user=User.objects.get())
        Customer.objects.filter(pk=closed.pk).update(closed_at=timezone.now() - timedelta(days=31))
        erasing.due()
        assert User.objects.count() == 1 and Customer.objects.count() == 1

    def test_one_that_was_reopened_stays(self, closed):
        customers.put(closed.provider, closed.external_id, ADA, audit.SYSTEM)
        assert erasing.due() == 0
        assert Provider.objects.get().customers.get().status == "active"
