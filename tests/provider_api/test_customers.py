"""Customers, repeats and lists in the provider API, as its callers meet them."""

from __future__ import annotations

import threading

import pytest
from django.db import connection

from accounts.models import CloudAccount
from console.models import AuditEntry
from providers import replays, tasks
from providers.models import Customer, Mail, Replay
from tests.factories import AccountFactory, CustomerFactory, EndpointFactory, ProviderFactory, ServerFactory
from tests.provider_api.calls import ADA, PUSH, Api, shaped


class TestCustomers:
    def test_put_is_201_then_200_and_tells_no_secret(self, api):
        made, same = api("PUT", "customers/c-1", ADA), api("PUT", "customers/c-1", ADA)
        assert (made.status_code, same.status_code) == (201, 200)
        assert made.json() == same.json()
        told = made.json()
        assert (told["external_id"], told["email"], told["status"]) == ("c-1", ADA["email"], "active")
        assert told["mail"]["state"] == "queued"
        assert "password" not in made.content.decode().lower()
        assert "welcome" not in made.content.decode()

    def test_an_e_mail_that_somebody_signs_in_with_changes_nothing_in_the_reply(self, api, people):
        known = api("PUT", "customers/c-1", {**ADA, "email": "alice@example.com"}).json()
        fresh = api("PUT", "customers/c-2", {**ADA, "email": "nobody@example.com"}).json()
        for told in (known, fresh):
            for name in ("external_id", "email", "created_at"):
                told.pop(name)
            told["mail"].pop("queued_at")
        assert known == fresh

    def test_an_update_is_200_and_post_is_the_same_call(self, api):
        api("PUT", "customers/c-1", ADA)
        reply = api("POST", "customers", {**ADA, "external_id": "c-1", "organization": "Difference Engines"})
        assert (reply.status_code, reply.json()["organization"]) == (200, "Difference Engines")
        assert api("GET", "customers/c-1").json()["organization"] == "Difference Engines"

    def test_delete_closes_and_put_reopens_with_a_new_mail(self, api):
        api("PUT", "customers/c-1", ADA)
        api("PUT", "customers/c-1/accounts/main", PUSH)
        assert [api("DELETE", "customers/c-1").status_code for _ in range(2)] == [204, 204]
        told = api("GET", "customers/c-1").json()
        assert told["status"] == "closed" and told["closed_at"]
        account = CloudAccount.objects.get()
        assert (account.sealed, account.pending_sealed) == ("", "")
        reply = api("PUT", "customers/c-1", ADA)
        assert (reply.status_code, reply.json()["status"], reply.json()["mail"]["state"]) == (201, "active", "queued")
        assert Mail.objects.count() == 2

    def test_suspend_resume_and_resend_say_how_it_stands(self, api):
        api("PUT", "customers/c-1", ADA)
        assert api("POST", "customers/c-1/suspend").json()["status"] == "suspended"
        assert api("POST", "customers/c-1/resume").json()["status"] == "active"
        Mail.objects.update(state="failed", outcome="The mail server refused it: 550 No such person")
        assert "550 No such person" in api("GET", "customers/c-1").json()["mail"]["reason"]
        reply = api("POST", "customers/c-1/resend-mail")
        assert (reply.status_code, reply.json()["mail"]["state"]) == (202, "queued")
        api("DELETE", "customers/c-1")
        for deed in ("suspend", "resume", "resend-mail"):
            assert "closed" in shaped(api("POST", f"customers/c-1/{deed}"), 409, "customer_closed")["message"]

    def test_every_change_is_in_the_audit_log_with_key_and_request(self, api):
        reply = api("PUT", "customers/c-1", ADA)
        entry = AuditEntry.objects.get(verb="customer.created")
        assert (entry.actor_kind, entry.actor_id) == ("provider", str(api.key.pk))
        assert entry.request_id == reply["X-Request-ID"]
        assert entry.provider_id == api.provider.pk

    @pytest.mark.parametrize("odd", ["c 1", "ü/".strip("/"), "a@b.example", "1:2", "a" * 120])
    def test_any_usual_id_is_taken(self, api, odd):
        from urllib.parse import quote

        assert api("PUT", f"customers/{quote(odd)}", ADA).status_code == 201
        assert api("GET", f"customers/{quote(odd)}").json()["external_id"] == odd

    @pytest.mark.parametrize("odd", ["a" * 121, "%20c", "c%0A", "%00", "c%7F"])
    def test_an_odd_id_is_refused(self, api, odd):
        reply = api("PUT", f"customers/{odd}", ADA)
        assert reply.status_code in (400, 404)
        shaped(reply, reply.status_code)
        assert not Customer.objects.exists()

    @pytest.mark.parametrize(
        ("change", "field", "words"),
        [
            ({"email": "ada"}, "email", "valid email"),
            ({"email": None}, "email", "null"),
            ({"first_name": ""}, "first_name", "blank"),
            ({"organization": "x" * 201}, "organization", "200"),
            ({"locale": "english please"}, "locale", "language tag"),
            ({"send_mail": "perhaps"}, "send_mail", "boolean"),
            ({"organisation": "Engines"}, "organisation", "Unknown field. Known: "),
            ({"last_name": "\ud800"}, "last_name", "urrogate"),
            ({"external_id": "c-2"}, "external_id", "another id"),
        ],
    )
    def test_a_wrong_field_is_named_with_what_is_wrong(self, api, change, field, words):
        error = shaped(api("PUT", "customers/c-1", {**ADA, **change}), 400, "invalid")
        assert words in " ".join(error["fields"][field])
        assert not Customer.objects.exists()

    def test_missing_fields_are_all_named_at_once(self, api):
        error = shaped(api("PUT", "customers/c-1", {}), 400, "invalid")
        assert set(error["fields"]) == {"email", "first_name", "last_name", "organization"}


class TestIdempotencyKey:
    BODY = ADA | {"external_id": "c-1"}

    def test_the_same_key_and_body_get_the_same_answer(self, api):
        first, again = (api("POST", "customers", self.BODY, Idempotency_Key="k1") for _ in range(2))
        assert (first.status_code, again.status_code) == (201, 201)
        assert first.json() == again.json()
        assert Customer.objects.count() == Mail.objects.count() == 1

    def test_another_body_under_the_same_key_is_422(self, api):
        api("POST", "customers", self.BODY, Idempotency_Key="k1")
        reply = api("POST", "customers", {**self.BODY, "organization": "Other"}, Idempotency_Key="k1")
        assert "new key" in shaped(reply, 422, "idempotency_key_reused")["message"]
        assert Customer.objects.get().organization == "Engines"

    def test_a_key_is_good_for_a_day_and_belongs_to_its_provider(self, api, rival):
        api("POST", "customers", self.BODY, Idempotency_Key="k1")
        other = {**self.BODY, "organization": "Other"}
        assert rival("POST", "customers", other, Idempotency_Key="k1").status_code == 200
        Replay.objects.update(expires_at="2020-01-01T00:00Z")
        assert api("POST", "customers", other, Idempotency_Key="k1").status_code == 200

    def test_an_answer_is_forgotten_after_a_day_though_its_provider_calls_no_more(self, api):
        api("POST", "customers", self.BODY, Idempotency_Key="k1")
        tasks.forget_calls()
        assert self.BODY["email"] in str(list(Replay.objects.values()))
        Replay.objects.update(expires_at="2020-01-01T00:00Z")
        tasks.forget_calls()
        assert not Replay.objects.exists()

    def test_a_refused_call_leaves_the_key_free(self, api):
        shaped(api("POST", "customers", {**self.BODY, "email": "no"}, Idempotency_Key="k1"), 400)
        assert api("POST", "customers", self.BODY, Idempotency_Key="k1").status_code == 201

    @pytest.mark.parametrize("key", ["", "k" * 256])
    def test_a_useless_key_is_refused(self, api, key):
        assert "Idempotency-Key" in shaped(api("POST", "customers", self.BODY, Idempotency_Key=key), 400)["fields"]


@pytest.mark.django_db(transaction=True)
def test_the_same_put_twenty_times_at_once_over_http_makes_one_customer_and_one_mail(monkeypatch):
    monkeypatch.setattr(replays, "PATIENCE", 60)
    api = Api(ProviderFactory())
    barrier, statuses = threading.Barrier(20), []

    def call(number):
        barrier.wait(30)
        extra = {"Idempotency_Key": "k1"} if number % 2 else {}
        statuses.append(api("POST", "customers", {**ADA, "external_id": "c-1"}, **extra).status_code)
        connection.close()

    threads = [threading.Thread(target=call, args=(number,)) for number in range(20)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert set(statuses) <= {200, 201} and len(statuses) == 20
    assert Customer.objects.count() == Mail.objects.count() == 1


class TestLists:
    def test_pages_lead_through_everything_once(self, api):
        for number in range(7):
            CustomerFactory(provider=api.provider, external_id=f"c-{number}")
        seen, path = [], "customers?limit=3"
        while path:
            page = api("GET", path).json()
            assert set(page) == {"results", "next"}
            seen += [row["external_id"] for row in page["results"]]
            path = page["next"] and page["next"].removeprefix("http://testserver")
        assert seen == [f"c-{number}" for number in range(7)]

    def test_customers_can_be_asked_for_by_status(self, api):
        CustomerFactory(provider=api.provider, external_id="open")
        CustomerFactory(provider=api.provider, external_id="shut", status="closed")
        assert [row["external_id"] for row in api("GET", "customers?status=closed").json()["results"]] == ["shut"]
        assert "active" in shaped(api("GET", "customers?status=odd"), 400)["fields"]["status"][0]

    def test_customers_can_be_asked_for_by_contact_address_and_organization(self, api):
        CustomerFactory(provider=api.provider, external_id="one", email="Ada@example.com", organization="Engines Ltd")
        CustomerFactory(provider=api.provider, external_id="two", organization="Orchard")
        CustomerFactory(external_id="another provider's", email="ada@example.com", organization="Engines Ltd")
        for query in ("email=ada@EXAMPLE.com", "organization=engine", "organization=engine&email=ada@example.com"):
            assert [row["external_id"] for row in api("GET", f"customers?{query}").json()["results"]] == ["one"]

    def test_a_filter_that_there_is_not_is_refused_and_the_known_ones_are_named(self, api):
        assert "status" in shaped(api("GET", "customers?state=closed"), 400)["fields"]["state"][0]

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("limit=0", "limit"),
            ("limit=501", "limit"),
            ("limit=many", "limit"),
            ("limit=٣", "limit"),
            ("cursor=x", "cursor"),
            ("cursor=W10", "cursor"),
            ("cursor=WyJcdTAwMDAiXQ", "cursor"),
            ("cursor=WyJcdWQ4MDAiXQ", "cursor"),
            ("cursor=%ff", "cursor"),
        ],
    )
    def test_a_wrong_page_is_refused_in_words(self, api, query, field):
        assert field in shaped(api("GET", f"customers?{query}"), 400)["fields"]

    @pytest.mark.parametrize(
        ("path", "most"),
        [
            ("customers", 4),
            ("endpoints", 3),
            ("customers/c-0/accounts", 5),
            ("customers/c-0/servers", 5),
        ],
    )
    def test_a_list_costs_the_same_few_queries_however_long_it_is(self, api, path, most, django_assert_max_num_queries):
        endpoint = api.provider.endpoints.get()
        for number in range(12):
            customer = CustomerFactory(provider=api.provider, external_id=f"c-{number}")
        customer = Customer.objects.get(provider=api.provider, external_id="c-0")
        for number in range(5):
            EndpointFactory(provider=api.provider, slug=f"e-{number}")
            account = AccountFactory(customer=customer, endpoint=endpoint, external_id=f"a-{number}")
            for _ in range(4):
                ServerFactory(account=account)
        api("GET", path)  # notes the key's use
        with django_assert_max_num_queries(most):
            assert len(api("GET", path).json()["results"]) >= 5
