"""The provider API as its callers meet it: promised calls, one error shape, and nothing of anybody else's."""

from __future__ import annotations

import json
import threading

import pytest
from django.db import connection
from django.test import Client
from hypothesis import HealthCheck, given
from hypothesis import settings as pace
from hypothesis import strategies as st

from accounts.models import CloudAccount, CredentialPush
from console.lib import audit
from console.models import AuditEntry
from providers import keys
from providers.models import Customer, Mail, Replay
from servers.agents.models import JoinToken
from tests.factories import AccountFactory, CustomerFactory, EndpointFactory, ProviderFactory, ServerFactory

V1 = "/api/provider/v1"
ADA = {"email": "ada@example.com", "first_name": "Ada", "last_name": "Byron", "organization": "Engines"}
OPENSTACK = {"username": "ada", "password": "correct horse", "project": "engines"}
PUSH = {"endpoint": "nova", "name": "Main", "version": 1, "credentials": OPENSTACK}


class Api:
    """A provider's program."""

    def __init__(self, provider, **options):
        self.provider = provider
        self.key, self.text = keys.issue(provider, actor=audit.SYSTEM, **options)
        self.client = Client(raise_request_exception=False)

    def __call__(self, method, path, body=None, **headers):
        data = body if isinstance(body, str | bytes) else "" if body is None else json.dumps(body)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        headers["Authorization"] = f"Bearer {self.text}"
        kind = headers.pop("Content-Type", "application/json")
        address = path if path.startswith(("/", "http")) else f"{V1}/{path}"
        return self.client.generic(method, address, data, kind, headers=headers)


@pytest.fixture
def api(db):
    provider = ProviderFactory()
    EndpointFactory(provider=provider, slug="nova", name="Nova")
    return Api(provider)


@pytest.fixture
def rival(db):
    """Another provider, with a customer, an account and a server of the same ids."""
    provider = ProviderFactory()
    customer = CustomerFactory(provider=provider, external_id="c-1", organization="Secret Ltd")
    account = AccountFactory(customer=customer, external_id="main")
    ServerFactory(account=account, name="secret-1")
    return Api(provider)


def shaped(reply, status, code=None):
    """The reply's error, when it has the one shape."""
    assert reply.status_code == status, reply.content
    assert reply["Content-Type"].startswith("application/json")
    assert set(reply.json()) == {"error"}
    error = reply.json()["error"]
    assert set(error) - {"fields"} == {"code", "message", "request_id"}
    assert error["request_id"] == reply["X-Request-ID"]
    assert error["message"][0].isupper() and error["message"].endswith((".", "}"))
    if code:
        assert error["code"] == code
    return error


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

    def test_a_refused_call_leaves_the_key_free(self, api):
        shaped(api("POST", "customers", {**self.BODY, "email": "no"}, Idempotency_Key="k1"), 400)
        assert api("POST", "customers", self.BODY, Idempotency_Key="k1").status_code == 201

    @pytest.mark.parametrize("key", ["", "k" * 256])
    def test_a_useless_key_is_refused(self, api, key):
        assert "Idempotency-Key" in shaped(api("POST", "customers", self.BODY, Idempotency_Key=key), 400)["fields"]


@pytest.mark.django_db(transaction=True)
def test_the_same_put_twenty_times_at_once_over_http_makes_one_customer_and_one_mail():
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

    # The last of them is the line in the log of calls.
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


class TestAccounts:
    @pytest.fixture(autouse=True)
    def customer(self, api):
        api("PUT", "customers/c-1", ADA)

    def test_a_push_is_202_and_the_secret_never_comes_back(self, api):
        reply = api("PUT", "customers/c-1/accounts/main", PUSH)
        assert reply.status_code == 202
        told = reply.json()
        assert (told["status"], told["credentials_version"], told["pending_version"]) == ("pending", 0, 1)
        for seen in (reply, api("GET", "customers/c-1/accounts"), api("GET", "customers/c-1/accounts/main")):
            assert b"correct horse" not in seen.content
        assert b"correct horse" not in str(list(CloudAccount.objects.values())).encode()
        assert "correct horse" not in str(list(AuditEntry.objects.values()))

    def test_the_same_push_again_is_202_and_changes_nothing(self, api):
        for _ in range(3):
            assert api("PUT", "customers/c-1/accounts/main", PUSH).status_code == 202
        assert CloudAccount.objects.count() == CredentialPush.objects.count() == 1

    def test_an_older_version_is_409_and_so_is_a_used_one_with_other_credentials(self, api):
        api("PUT", "customers/c-1/accounts/main", {**PUSH, "version": 5})
        other = {**PUSH, "credentials": {**OPENSTACK, "password": "other"}}
        assert "older" in shaped(api("PUT", "customers/c-1/accounts/main", {**other, "version": 4}), 409)["message"]
        shaped(api("PUT", "customers/c-1/accounts/main", {**other, "version": 5}), 409)
        assert api("PUT", "customers/c-1/accounts/main", {**other, "version": 6}).status_code == 202

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"endpoint": "elsewhere"}, "endpoint"),
            ({"version": 0}, "version"),
            ({"version": 2**63}, "version"),
            ({"version": "new"}, "version"),
            ({"credentials": {}}, "credentials"),
            ({"credentials": "secret"}, "credentials"),
            ({"credentials": {"username": "ada"}}, "credentials"),
            ({"credentials": {**OPENSTACK, "api_key": "x"}}, "credentials"),
            ({"credentials": {**OPENSTACK, "password": ["x"]}}, "credentials"),
            ({"name": ""}, "name"),
            ({"nmae": "x"}, "nmae"),
        ],
    )
    def test_a_wrong_push_is_400_and_names_the_field_without_the_secret(self, api, change, field):
        reply = api("PUT", "customers/c-1/accounts/main", {**PUSH, **change})
        assert field in shaped(reply, 400)["fields"]
        assert b"correct horse" not in reply.content
        assert not CloudAccount.objects.exists()

    def test_delete_removes_the_account_and_its_credentials_and_a_push_brings_it_back(self, api):
        api("PUT", "customers/c-1/accounts/main", PUSH)
        assert api("DELETE", "customers/c-1/accounts/main").status_code == 204
        account = CloudAccount.objects.get()
        assert account.removed_at and not account.sealed and not account.pending_sealed
        shaped(api("GET", "customers/c-1/accounts/main"), 404, "account_unknown")
        assert api("PUT", "customers/c-1/accounts/main", {**PUSH, "version": 2}).status_code == 202

    def test_a_push_for_a_closed_customer_is_409(self, api):
        api("DELETE", "customers/c-1")
        shaped(api("PUT", "customers/c-1/accounts/main", PUSH), 409, "customer_closed")

    def test_servers_of_the_customer_are_listed_with_their_agents_state(self, api):
        api("PUT", "customers/c-1/accounts/main", PUSH)
        account = CloudAccount.objects.get()
        ServerFactory(account=account, name="web-1", external_id="srv-1")
        [told] = api("GET", "customers/c-1/servers?account=main").json()["results"]
        assert (told["name"], told["account_id"]) == ("web-1", "main")
        assert (told["agent_state"], told["agent"]) == ("missing", None)
        api("DELETE", "customers/c-1/accounts/main")
        assert api("GET", "customers/c-1/servers").json()["results"] == []

    def test_a_join_token_is_told_once_and_kept_as_a_hash(self, api):
        api("PUT", "customers/c-1/accounts/main", PUSH)
        ServerFactory(account=CloudAccount.objects.get(), external_id="srv-1")
        for body in ({}, {"server_external_id": "srv-1"}):
            reply = api("POST", "customers/c-1/accounts/main/join-tokens", body)
            assert reply.status_code == 201
            assert reply.json()["token"].startswith("mjt_")
            assert reply.json()["token"] not in str(list(JoinToken.objects.values()))
        reply = api("POST", "customers/c-1/accounts/main/join-tokens", {"server_external_id": "srv-2"})
        assert "server_external_id" in shaped(reply, 400)["fields"]


def test_a_head_wants_the_scope_of_the_get_that_it_is(db):
    api = Api(ProviderFactory(), scopes=["accounts:read"])
    CustomerFactory(provider=api.provider, external_id="c-1")
    assert api("HEAD", "customers/c-1").status_code == api("HEAD", "customers/c-2").status_code == 403


class TestNothingOfAnybodyElses:
    CALLS = (
        ("GET", "customers/c-1", None),
        ("DELETE", "customers/c-1", None),
        ("POST", "customers/c-1/suspend", None),
        ("POST", "customers/c-1/resume", None),
        ("POST", "customers/c-1/resend-mail", None),
        ("GET", "customers/c-1/accounts", None),
        ("GET", "customers/c-1/accounts/main", None),
        ("PUT", "customers/c-1/accounts/main", PUSH),
        ("DELETE", "customers/c-1/accounts/main", None),
        ("GET", "customers/c-1/servers", None),
        ("POST", "customers/c-1/accounts/main/join-tokens", {}),
    )

    @pytest.mark.parametrize(("method", "path", "body"), CALLS)
    def test_a_foreign_id_is_404_as_if_it_did_not_exist(self, api, rival, method, path, body):
        foreign = api(method, path, body)
        shaped(foreign, 404)
        unknown = api(method, path.replace("c-1", "c-9"), body).json()["error"]
        assert foreign.json()["error"]["message"] == unknown["message"].replace("c-9", "c-1")
        assert b"Secret" not in foreign.content and b"secret" not in foreign.content
        assert Customer.objects.get().status == "active"

    def test_lists_hold_the_callers_own_rows_only(self, api, rival):
        assert api("GET", "customers").json()["results"] == []
        assert [row["slug"] for row in api("GET", "endpoints").json()["results"]] == ["nova"]
        assert [row["name"] for row in rival("GET", "customers/c-1/servers").json()["results"]] == ["secret-1"]

    def test_an_account_is_found_under_its_own_customer_only(self, rival):
        CustomerFactory(provider=rival.provider, external_id="c-2")
        shaped(rival("GET", "customers/c-2/accounts/main"), 404, "account_unknown")


class TestOneErrorShape:
    @pytest.mark.parametrize("path", ["/api/nothing", f"{V1}/", f"{V1}/customers/", "/agent/nothing"])
    def test_an_address_that_does_not_exist(self, api, path):
        shaped(api("GET", path), 404, "not_found")

    def test_a_method_that_is_not_answered_names_those_that_are(self, api):
        reply = api("PATCH", "customers/c-1", {})
        assert "GET, PUT, DELETE" in shaped(reply, 405, "method_not_allowed")["message"]
        assert "PUT" in reply["Allow"]

    def test_a_reply_format_that_we_do_not_speak(self, api):
        assert "application/json" in shaped(api("GET", "customers", Accept="text/csv"), 406)["message"]

    def test_a_body_format_that_we_do_not_read(self, api):
        reply = api("PUT", "customers/c-1", "email=x", Content_Type="application/x-www-form-urlencoded")
        assert "application/json" in shaped(reply, 415)["message"]

    @pytest.mark.parametrize("body", ["{", '{"email": }', b"\xff\xfe", "NaN", ""])
    def test_a_body_that_is_not_json(self, api, body):
        shaped(api("PUT", "customers/c-1", body), 400)

    @pytest.mark.parametrize("body", [[], "text", 7, None, [ADA]])
    def test_a_body_that_is_not_an_object(self, api, body):
        api("PUT", "customers/c-1", ADA)
        for method, path in (("PUT", "customers/c-1"), ("POST", "customers"), ("PUT", "customers/c-1/accounts/main")):
            shaped(api(method, path, json.dumps(body)), 400)

    def test_a_crash_says_under_which_id_staff_find_it_and_nothing_more(self, api, monkeypatch):
        def broken(*_, **__):
            raise RuntimeError("correct horse")

        monkeypatch.setattr("providers.customers.put", broken)
        reply = api("PUT", "customers/c-1", ADA)
        shaped(reply, 500, "broken")
        assert b"correct horse" not in reply.content

    def test_a_wrong_host_too(self, api):
        shaped(api("GET", "customers", Host="evil.example"), 400)

    @pace(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        body=st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: (
                st.lists(inner)
                | st.dictionaries(
                    st.sampled_from(["email", "first_name", "credentials", "version", "endpoint", "x"]), inner
                )
            ),
            max_leaves=8,
        )
    )
    def test_no_body_whatever_breaks_a_call(self, api, body):
        api("PUT", "customers/c-1", ADA)
        for method, path in (
            ("PUT", "customers/c-1"),
            ("POST", "customers"),
            ("PUT", "customers/c-1/accounts/main"),
            ("POST", "customers/c-1/accounts/main/join-tokens"),
        ):
            reply = api(method, path, body)
            assert reply.status_code < 500, (method, path, body)


class TestTheSchema:
    def test_it_is_valid_and_names_every_call_error_and_the_key(self, client, db):
        import yaml

        schema = yaml.safe_load(client.get("/api/schema/").content)
        calls = {(path, method) for path, known in schema["paths"].items() for method in known if path.startswith(V1)}
        assert (f"{V1}/customers/{{external_id}}", "put") in calls
        assert len([call for call in calls if call[0].startswith(V1)]) >= 15
        for path, method in calls:
            said = schema["paths"][path][method]
            assert {"400", "401", "403", "404"} <= set(said["responses"]), (path, method)
            assert said["security"] == [{"providerKey": []}]
        assert schema["components"]["securitySchemes"]["providerKey"]["scheme"] == "bearer"

    def test_it_can_be_read_in_a_browser(self, client, db):
        page = client.get("/api/docs/")
        assert page.status_code == 200
        assert b"<script>" not in page.content
        assert "script-src 'self';" in page["Content-Security-Policy"] + ";"
