"""The customer API as a customer's programs meet it: tokens, scopes, what is theirs, and nothing of anybody else's."""

from __future__ import annotations

import json
from datetime import timedelta
from threading import Event, Thread
from typing import Any

import pytest
import yaml
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.models import CloudAccount
from console.lib import audit, seal
from console.lib.denials import Denied, Wrong
from console.models import AuditEntry
from providers import customers, tokens
from providers.models import ApiToken, Membership
from servers.actions import actions, repeating
from servers.actions.models import Action, ActionBatch
from servers.installs.models import InstallBatch
from tests.acting import served, settle
from tests.conftest import People
from tests.factories import ServerFactory
from tests.pages import text
from tests.provider_api.calls import shaped

V1 = "/api/v1"
ALL = list(tokens.SCOPES)
pytestmark = pytest.mark.django_db


class Api:
    """A customer's program."""

    def __init__(self, customer: Any, person: Any, scopes: Any = ALL) -> None:
        soon = timezone.now() + timedelta(days=1)
        self.token, self.text = tokens.issue(customer, by=person, name="cron", scopes=scopes, expires_at=soon)
        self.client = Client(raise_request_exception=False)

    def __call__(self, method: str, path: str, body: Any = None, text: str | None = None, key: str = "") -> Any:
        headers = {"Authorization": f"Bearer {self.text if text is None else text}"}
        if key:
            headers["Idempotency-Key"] = key
        data = "" if body is None else json.dumps(body)
        address = path if path.startswith("http") else f"{V1}/{path}"
        return self.client.generic(method, address, data, "application/json", headers=headers)


@pytest.fixture
def api(people: People) -> Api:
    CloudAccount.objects.filter(pk=people.account.pk).update(generation="modern", credentials_version=1)
    people.account.refresh_from_db()
    return Api(people.customer, people.alice)


class TestServers:
    def test_they_come_by_name_page_by_page_and_narrowed_by_the_query_language(self, api: Api, people: People) -> None:
        for number in range(5):
            ServerFactory(account=people.account, name=f"web-{number}", state="stopped" if number == 3 else "running")
        ServerFactory(name="foreign")
        first = api("GET", "servers?limit=2").json()
        assert [one["name"] for one in first["results"]] == ["web-0", "web-1"]
        rest = api("GET", first["next"].replace("http://testserver/api/v1/", "")).json()
        assert [one["name"] for one in rest["results"]] == ["web-2", "web-3"]
        assert [one["name"] for one in api("GET", "servers?q=state:stopped").json()["results"]] == ["web-3"]
        wrong = shaped(api("GET", "servers?q=colour:red"), 400, "invalid")
        assert "colour" in wrong["fields"]["q"][0]
        told = first["results"][0]
        assert told["account_id"] == str(people.account.pk)
        assert told["agent_state"] == "missing"

    def test_one_is_read_by_its_id_and_a_foreign_one_is_not_there(self, api: Api, people: People) -> None:
        mine, foreign = ServerFactory(account=people.account), ServerFactory()
        assert api("GET", f"servers/{mine.pk}").json()["name"] == mine.name
        shaped(api("GET", f"servers/{foreign.pk}"), 404, "server_unknown")

    def test_accounts_are_told_without_secrets(self, api: Api, people: People) -> None:
        told = api("GET", "accounts").json()["results"]
        assert [one["id"] for one in told] == [str(people.account.pk)]
        assert (told[0]["platform"], told[0]["status"]) == ("openstack", "pending")
        assert "sealed" not in json.dumps(told)


class TestActions:
    def test_a_server_is_stopped_and_followed(self, people: People) -> None:
        with served(people, 1) as (_, account):
            api, chosen = Api(people.customer, people.bob), account.servers.get()
            answer = api("POST", f"servers/{chosen.pk}/actions", {"kind": "stop"})
            assert answer.status_code == 202
            told = answer.json()
            assert (told["server_id"], told["kind"], told["state"]) == (str(chosen.pk), "stop", "queued")
            settle(Action.objects.all())
            told = api("GET", f"actions/{told['id']}").json()
            assert (told["state"], told["outcome"], told["percent"]) == ("done", "Stopped.", 100)
            assert api("GET", f"servers/{chosen.pk}").json()["state"] == "stopped"
        assert AuditEntry.objects.get(verb="action.started").actor_name == "bob@example.com"

    def test_what_cannot_be_done_is_a_row_that_failed_with_the_reason(self, api: Api, people: People) -> None:
        chosen = ServerFactory(account=people.account, state="stopped")
        answer = api("POST", f"servers/{chosen.pk}/actions", {"kind": "stop"})
        assert (answer.status_code, answer.json()["state"]) == (202, "failed")
        assert answer.json()["outcome"] == "Start it first."
        api("POST", f"servers/{chosen.pk}/actions", {"kind": "start"})
        second = api("POST", f"servers/{chosen.pk}/actions", {"kind": "start"}).json()
        assert second["outcome"].startswith("Another action is under way on this server: start")

    @pytest.mark.parametrize(
        ("body", "field"),
        [({}, "kind"), ({"kind": "fly"}, "kind"), ({"kind": "rename"}, "name"), ({"kind": "resize"}, "size"),
         ({"kind": "stop", "force": True}, "force"), ({"kind": "resize", "cpus": 0}, "cpus")],
    )  # fmt: skip
    def test_a_wrong_body_is_400_by_field(self, api: Api, people: People, body: Any, field: str) -> None:
        chosen = ServerFactory(account=people.account)
        assert field in shaped(api("POST", f"servers/{chosen.pk}/actions", body), 400, "invalid")["fields"]
        assert not Action.objects.exists()

    def test_foreign_ids_are_not_there(self, api: Api, people: People) -> None:
        foreign = ServerFactory()
        shaped(api("POST", f"servers/{foreign.pk}/actions", {"kind": "delete"}), 404, "server_unknown")
        theirs = actions.start([foreign], kind="stop", by=people.charlie, customer=foreign.customer).actions.get()
        shaped(api("GET", f"actions/{theirs.pk}"), 404, "action_unknown")
        assert Action.objects.count() == 1


class TestInstalls:
    def test_one_is_started_and_followed_and_its_secret_is_told_to_nobody(self, api: Api, people: People) -> None:
        address = {"ip": "192.0.2.7", "version": 4, "kind": "fixed", "network": "n", "mac": ""}
        chosen = ServerFactory(account=people.account, addresses=[address])
        answer = api("POST", "installs", {"servers": [str(chosen.pk)], "user": "root", "password": "hunter2"})
        assert answer.status_code == 202
        assert "hunter2" not in answer.content.decode()
        told = api("GET", f"installs/{answer.json()['id']}").json()
        assert [(row["server_id"], row["state"]) for row in told["installs"]] == [(str(chosen.pk), "queued")]
        assert InstallBatch.objects.get().credentials() == {"password": "hunter2"}

    def test_a_foreign_server_makes_it_a_404_and_wrong_fields_a_400(self, api: Api, people: People) -> None:
        mine, foreign = ServerFactory(account=people.account), ServerFactory()
        both = {"servers": [str(mine.pk), str(foreign.pk)], "user": "root", "password": "x"}
        shaped(api("POST", "installs", both), 404, "server_unknown")
        fields = shaped(api("POST", "installs", {"servers": [str(mine.pk)], "user": "root"}), 400, "invalid")["fields"]
        assert fields == {"private_key": ["Give either a private key or a password."]}
        shaped(api("GET", f"installs/{mine.pk}"), 404, "install_unknown")
        assert not InstallBatch.objects.exists()

    def test_a_query_chooses_them_and_a_key_makes_a_repeat_harmless(self, api: Api, people: People) -> None:
        address = {"ip": "192.0.2.7", "version": 4, "kind": "fixed", "network": "n", "mac": ""}
        mine = [ServerFactory(account=people.account, addresses=[address], name=name) for name in ("web-1", "web-2")]
        ServerFactory(account=people.account, addresses=[address], name="db-1")
        ServerFactory(addresses=[address], name="web-3")
        body = {"q": "web", "user": "root", "password": "hunter2", "look_first": True,
                "jump": {"host": "bastion.example.com", "password": "hunter3"}}  # fmt: skip
        first = api("POST", "installs", body, key="order-7")
        told = first.json()
        assert {row["server_id"] for row in told["installs"]} == {str(one.pk) for one in mine}
        assert (told["held"], told["jump_host"]) == (True, "bastion.example.com")
        assert "hunter" not in first.content.decode()
        assert api("POST", "installs", body, key="order-7").json()["id"] == told["id"]
        other = body | {"q": "db"}
        shaped(api("POST", "installs", other, key="order-7"), 409, "idempotency_key_reused")
        shaped(api("POST", "installs", body | {"servers": [str(mine[0].pk)]}), 400, "invalid")
        wrong = shaped(api("POST", "installs", body | {"jump": {"host": "a b"}}), 400, "invalid")
        assert "jump_host" in wrong["fields"]
        went = api("POST", f"installs/{told['id']}/go-on")
        assert (went.status_code, went.json()["held"]) == (202, False)
        shaped(api("POST", f"installs/{told['id']}/go-on"), 409, "nothing_waits")
        assert InstallBatch.objects.count() == 1


class TestRepeats:
    def test_an_action_asked_for_twice_by_one_key_is_one(self, api: Api, people: People) -> None:
        first, second = ServerFactory(account=people.account), ServerFactory(account=people.account)
        address, body = f"servers/{first.pk}/actions", {"kind": "stop"}
        told = api("POST", address, body, key="k-1")
        again = api("POST", address, body, key="k-1")
        assert (told.status_code, again.status_code, again.json()) == (202, 202, told.json())
        assert Action.objects.count() == 1
        assert (
            "new key"
            in shaped(api("POST", address, {"kind": "start"}, key="k-1"), 422, "idempotency_key_reused")["message"]
        )
        shaped(api("POST", f"servers/{second.pk}/actions", body, key="k-1"), 422, "idempotency_key_reused")
        assert "Idempotency-Key" in shaped(api("POST", address, body, key="k" * 256), 400)["fields"]
        assert api("POST", f"servers/{second.pk}/actions", body, key="k-2").status_code == 202
        assert Action.objects.count() == 2

    def test_a_key_is_its_customers_own_and_free_again_when_nothing_began(self, api: Api, people: People) -> None:
        mine, theirs = ServerFactory(account=people.account), ServerFactory(account__customer=people.elsewhere)
        charlie = Api(people.elsewhere, people.charlie)
        wrong = {"kind": "rename"}
        shaped(api("POST", f"servers/{mine.pk}/actions", wrong, key="k-1"), 400)
        assert api("POST", f"servers/{mine.pk}/actions", {"kind": "stop"}, key="k-1").status_code == 202
        assert charlie("POST", f"servers/{theirs.pk}/actions", {"kind": "stop"}, key="k-1").status_code == 202
        assert Action.objects.values("batch__customer").distinct().count() == 2

    @pytest.mark.django_db(transaction=True)
    def test_while_the_first_call_is_under_way_the_second_is_told_to_wait(self, api: Api, people: People) -> None:
        chosen = ServerFactory(account=people.account)
        address, body = f"servers/{chosen.pk}/actions", {"kind": "stop"}
        begun, go_on = Event(), Event()

        def first() -> None:
            def begin() -> ActionBatch:
                begun.set()
                assert go_on.wait(30)
                return actions.start([chosen], kind="stop", by=people.alice, customer=people.customer)

            try:
                repeating.once(people.customer, "k-1", b"the same", begin)
            finally:
                connection.close()

        thread = Thread(target=first)
        thread.start()
        assert begun.wait(30)
        try:
            reply = api("POST", address, body, key="k-1")
        finally:
            go_on.set()
            thread.join(30)
        assert "in a moment" in shaped(reply, 409, "idempotency_key_in_progress")["message"]
        assert Action.objects.count() == 1


CALLS = [("GET", "servers", "servers:read"), ("GET", "servers/{id}", "servers:read"),
         ("POST", "servers/{id}/actions", "actions:write"), ("GET", "actions/{id}", "actions:read"),
         ("GET", "accounts", "accounts:read"), ("POST", "installs", "installs:write"),
         ("GET", "installs/{id}", "installs:read"), ("POST", "installs/{id}/go-on", "installs:write"),
         ("POST", "installs/{id}/cancel", "installs:write"), ("POST", "installs/{id}/retry", "installs:write"),
         ("POST", "installs/{id}/confirm-keys", "installs:write"), ("POST", "servers", "actions:write"),
         ("GET", "servers/{id}/actions", "servers:read"), ("GET", "servers/{id}/snapshots", "servers:read"),
         ("POST", "actions/{id}/password", "actions:write"),
         ("GET", "accounts/{id}/offers", "accounts:read")]  # fmt: skip


class TestTokens:
    @pytest.mark.parametrize(("method", "path", "scope"), CALLS)
    def test_every_call_wants_its_scope_and_a_token(self, people: People, method: str, path: str, scope: str) -> None:
        chosen = ServerFactory(account=people.account)
        address = path.replace("{id}", str(chosen.pk))
        lacking = Api(people.customer, people.alice, [one for one in ALL if one.split(":")[0] != scope.split(":")[0]])
        refused = shaped(lacking(method, address, {}), 403, "scope_missing")
        assert scope in refused["message"]
        if method == "GET":
            assert lacking("HEAD", address).status_code == 403
        plain = Client(raise_request_exception=False).generic(method, f"{V1}/{address}", "{}", "application/json")
        assert shaped(plain, 401, "unauthenticated")
        assert plain["WWW-Authenticate"] == 'Bearer realm="customer"'

    @pytest.mark.parametrize(("method", "path", "scope"), CALLS)
    def test_charlies_token_finds_nothing_of_alices(self, people: People, method: str, path: str, scope: str) -> None:
        chosen = ServerFactory(account=people.account, name="alices")
        batch = actions.start([chosen], kind="stop", by=people.alice, customer=people.customer)
        own = {"actions": batch.actions.get().pk, "accounts": people.account.pk}.get(path.partition("/")[0], chosen.pk)
        body: dict[str, Any] = {"servers": [str(chosen.pk)], "user": "root", "password": "x"}
        if path == "servers":
            body = {"account_id": str(people.account.pk), "name": "x", "image": "1", "size": "2"}
        elif "actions" in path:
            body = {"kind": "stop"}
        answer = Api(people.elsewhere, people.charlie)(method, path.replace("{id}", str(own)), body)
        if "{id}" in path or method == "POST":
            shaped(answer, 404)
        else:
            assert answer.json()["results"] == []

    def test_to_write_is_to_read_what_one_wrote(self, people: People) -> None:
        row = actions.start([ServerFactory(account=people.account)], kind="stop", by=people.alice,
                            customer=people.customer).actions.get()  # fmt: skip
        assert Api(people.customer, people.alice, ["actions:write"])("GET", f"actions/{row.pk}").status_code == 200

    def test_only_its_hash_is_kept_and_no_log_shows_it(self, api: Api) -> None:
        assert api.text not in json.dumps(list(ApiToken.objects.values()), default=str)
        assert api.text not in str(seal.redact(f"token {api.text} came"))

    @pytest.mark.parametrize("spoil", ["mct_x_y", "nonsense", "mst_live_a_b", "\ud800"])
    def test_what_is_no_token_is_401_in_words(self, api: Api, spoil: str) -> None:
        with pytest.raises(tokens.KeyRefused, match="token_unknown|not known"):
            tokens.find(spoil)
        shaped(api("GET", "servers", text=f"{api.text}x"), 401, "token_unknown")

    def test_a_revoked_or_expired_one_says_so(self, api: Api, people: People) -> None:
        ApiToken.objects.update(expires_at=timezone.now() - timedelta(days=1))
        assert "expired on" in shaped(api("GET", "servers"), 401, "token_expired")["message"]
        for _ in range(2):
            tokens.revoke(api.token, audit.Actor.of(people.alice))
        shaped(api("GET", "servers"), 401, "token_revoked")
        assert AuditEntry.objects.filter(verb="token.revoked").count() == 1

    def test_it_ends_with_its_persons_membership_and_with_the_customer(self, api: Api, people: People) -> None:
        bobs = Api(people.customer, people.bob)
        Membership.objects.filter(user=people.bob).delete()
        shaped(bobs("GET", "servers"), 401, "token_unknown")
        assert api("GET", "servers").status_code == 200
        customers.suspend(people.customer, audit.SYSTEM)
        assert api("GET", "servers").status_code == 200  # reading only: what it asks for is refused by row
        customers.close(people.customer, audit.SYSTEM)
        shaped(api("GET", "servers"), 401, "token_unknown")

    def test_what_cannot_be_issued_is_refused_in_words(self, people: People) -> None:
        soon = timezone.now() + timedelta(days=1)
        for fields, name in (({"name": ""}, "name"), ({"scopes": ["root"]}, "scopes"), ({"scopes": []}, "scopes"),
                             ({"expires_at": soon + timedelta(days=400)}, "expires_at")):  # fmt: skip
            with pytest.raises(Wrong) as caught:
                tokens.issue(people.customer, by=people.alice,
                             **{"name": "x", "scopes": ALL, "expires_at": soon} | fields)  # fmt: skip
            assert name in caught.value.fields
        with pytest.raises(Denied, match="belong"):
            tokens.issue(people.customer, by=people.charlie, name="x", scopes=ALL, expires_at=soon)


class TestPage:
    def test_a_person_issues_one_sees_it_once_and_revokes_it(self, people: People) -> None:
        browser = people.browser(people.alice)
        assert 'href="/me/tokens/"' in browser.get("/me/").content.decode()
        answer = browser.post("/me/tokens/", {"name": "Nightly", "workspace": str(people.customer.pk), "days": "30",
                                              "scopes": ["servers:read", "actions:write"]})  # fmt: skip
        token = ApiToken.objects.get()
        shown = next(word for word in text(answer).split() if word.startswith("mct_") and "…" not in word)
        assert tokens.find(shown) == token
        assert token.scopes == ["actions:write", "servers:read"]
        assert shown not in browser.get("/me/tokens/").content.decode()
        assert browser.post(f"/me/tokens/{token.pk}/revoke").status_code == 302
        assert "Revoked" in text(browser.get("/me/tokens/"))

    def test_wrong_fields_and_foreign_workspaces_are_refused(self, people: People) -> None:
        given = {"name": "x", "workspace": str(people.elsewhere.pk), "days": "30", "scopes": ["servers:read"]}
        assert people.browser(people.alice).post("/me/tokens/", given).status_code == 422
        assert not ApiToken.objects.exists()

    def test_a_token_is_its_persons_alone(self, api: Api, people: People) -> None:
        for person in (people.bob, people.charlie):
            browser = people.browser(person)
            assert str(api.token) not in browser.get("/me/tokens/").content.decode()
            assert browser.get(f"/me/tokens/{api.token.pk}/revoke").status_code == 404
            assert browser.post(f"/me/tokens/{api.token.pk}/revoke").status_code == 404
        for address in ("/me/tokens/", f"/me/tokens/{api.token.pk}/revoke"):
            assert Client().get(address).status_code == 302


def test_the_openapi_document_names_every_call_with_an_example(client: Client) -> None:
    schema = yaml.safe_load(client.get("/api/schema/").content)
    for method, path, _ in CALLS:
        known = schema["paths"][f"{V1}/{path}"][method.lower()]
        assert known["security"] == [{"customerToken": []}]
        assert "400" in known["responses"] and "404" in known["responses"]
    said = schema["paths"][f"{V1}/servers/{{id}}/actions"]["post"]["requestBody"]["content"]["application/json"]
    assert "StopIt" in said["examples"]
