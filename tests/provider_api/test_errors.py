"""One error shape in the provider API, and a schema that says what it does."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as pace
from hypothesis import strategies as st

from accounts.models import CloudAccount, Import
from providers.models import Customer
from tests.provider_api.calls import ADA, PUSH, V1, shaped


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

    @pace(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
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


def test_an_empty_choice_is_refused_and_not_taken_for_none(api):
    words = shaped(api("GET", "customers?status="), 400)["fields"]["status"]
    assert words == ["Write one of active, suspended, closed."]


@pytest.mark.parametrize("path", ["customers/c-1/servers?account=%00", "customers?email=%00", "webhooks?cursor=%00"])
def test_a_null_character_in_a_query_is_refused(api, path):
    api("PUT", "customers/c-1", ADA)
    shaped(api("GET", path), 400, "invalid")


def test_a_null_character_anywhere_in_a_line_of_an_import_refuses_that_line(api):
    lines = [
        {"\0": 1, "external_id": "a\0b"},
        {"external_id": "c-2", "accounts": [{"\0": "\0"}]},
        ADA | {"locale": "\0"},
    ]
    told = api("POST", "imports", {"customers": lines})
    assert (told.status_code, told.json()["counts"]["refused"]) == (202, 3)


def test_whether_an_import_sends_mail_may_stand_in_its_address(api):
    lines = [ADA | {"external_id": "c-1"}]
    assert "send_mail" in shaped(api("POST", "imports?send_mail=7", {"customers": lines}), 400)["fields"]
    assert api("POST", "imports?send_mail=false", {"customers": lines}).status_code == 202
    assert Import.objects.get().send_mail is False


ENDLESS = "x" * 10_000


@pytest.mark.parametrize("name", ["customers/{}", "customers/c-1/accounts/{}"])
def test_an_endless_id_in_an_address_is_refused_in_a_few_words(api, name):
    api("PUT", "customers/c-1", ADA)
    body = PUSH if "accounts" in name else ADA
    refused = shaped(api("PUT", name.format(ENDLESS), body), 400, "invalid")
    assert "120 characters at most" in str(refused["fields"])
    unknown = api("GET", name.format(ENDLESS))
    assert f"{'x' * 60}…" in shaped(unknown, 404)["message"] and len(unknown.content) < 500
    assert Customer.objects.count() == 1 and not CloudAccount.objects.exists()


def test_an_endless_id_in_a_body_is_refused(api):
    refused = shaped(api("POST", "customers", {**ADA, "external_id": ENDLESS}), 400, "invalid")
    assert "120 characters at most" in str(refused["fields"]["external_id"]) and "xxx" not in str(refused)
    assert not Customer.objects.exists()


@pytest.mark.parametrize("deed", ["suspend", "resume", "resend-mail"])
def test_an_endless_id_is_no_customer_to_act_on(api, deed):
    assert len(shaped(api("POST", f"customers/{ENDLESS}/{deed}"), 404, "customer_unknown")["message"]) < 200
