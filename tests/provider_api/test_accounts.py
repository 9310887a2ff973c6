"""Pushed accounts in the provider API, and nothing of anybody else's."""

from __future__ import annotations

import pytest

from accounts.models import CloudAccount, CredentialPush
from console.models import AuditEntry
from providers.models import Customer
from servers.agents.models import JoinToken
from tests.factories import CustomerFactory, ProviderFactory, ServerFactory
from tests.provider_api.calls import ADA, OPENSTACK, PUSH, Api, shaped


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

    def test_every_push_is_in_the_history_with_who_and_what_became_of_it_and_never_the_secret(self, api, rival):
        api("PUT", "customers/c-1/accounts/main", PUSH)
        api("PUT", "customers/c-1/accounts/main", {**PUSH, "version": 2})
        path = "customers/c-1/accounts/main/pushes"
        told = api("GET", path)
        newest, first = told.json()["results"]
        assert (newest["version"], newest["outcome"], first["outcome"]) == (2, "pending", "replaced")
        assert str(api.key) in first["pushed_by"] and first["pushed_at"]
        assert b"correct horse" not in told.content
        assert rival("GET", path).json()["results"] == []
        assert api("GET", "customers/c-1/accounts/other/pushes").status_code == 404
        assert len(api("GET", f"{path}?limit=1").json()["results"]) == 1

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
