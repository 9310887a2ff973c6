"""The provider API's counters, its log, and what rotates: what a developer leans on when something goes wrong."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from console.lib import audit
from console.lib.denials import Denied, Wrong
from console.lib.valkey import client as valkey
from providers import calls, keys, limits, replays, sandbox
from providers.models import ApiCall, ProviderKey
from tests.factories import ProviderFactory, UserFactory
from tests.provider_api.calls import ADA, Api, shaped


@pytest.fixture
def api(db):
    return Api(ProviderFactory(calls_per_minute=3))


class TestRateLimits:
    def test_each_reply_says_what_is_left_and_the_call_too_many_is_429(self, api):
        left = [api("GET", "customers")["RateLimit"].split(";")[1] for _ in range(3)]
        assert left == ["r=2", "r=1", "r=0"]
        reply = api("GET", "customers")
        assert "More than 3 calls" in shaped(reply, 429)["message"]
        assert 1 <= int(reply["Retry-After"]) <= 60
        assert reply["RateLimit-Policy"] == '"calls";q=3;w=60'

    def test_all_keys_of_a_provider_share_one_counter_and_others_have_their_own(self, api):
        second, other = Api(api.provider), Api(ProviderFactory(calls_per_minute=3))
        for caller in (api, second, api):
            assert caller("GET", "customers").status_code == 200
        assert second("GET", "customers").status_code == 429
        assert other("GET", "customers").status_code == 200

    def test_the_next_window_starts_afresh(self, api):
        for _ in range(4):
            api("GET", "customers")
        valkey().delete(f"limits:calls:{api.provider.pk}")
        assert api("GET", "customers").status_code == 200

    def test_of_fifty_calls_at_once_exactly_the_allowed_ones_pass(self, api):
        barrier, told = threading.Barrier(50), []

        def call():
            barrier.wait(30)
            told.append(limits.take(api.provider).exceeded)

        threads = [threading.Thread(target=call) for _ in range(50)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert told.count(False) == 3

    def test_without_valkey_nobody_is_counted_and_everybody_served(self, api, monkeypatch):
        from console.lib.valkey import dialled

        monkeypatch.setattr(limits, "client", lambda: dialled("redis://127.0.0.1:1/0"))
        reply = api("GET", "customers")
        assert reply.status_code == 200 and "RateLimit" not in reply


class TestLog:
    def test_a_call_is_found_by_its_request_id_with_its_error(self, api):
        reply = api("PUT", "customers/c-1", {**ADA, "email": "no"})
        found = ApiCall.objects.get(request_id=reply["X-Request-ID"])
        assert (found.provider, found.key, found.method, found.status) == (api.provider, api.key, "PUT", 400)
        assert (found.code, found.path) == ("invalid", "/api/provider/v1/customers/c-1")
        assert found.address == "127.0.0.1" and str(api.key) == found.key_name

    def test_neither_query_nor_key_nor_body_is_kept(self, api):
        api("PUT", "customers/c-1?secret=tell", ADA)
        kept = str(ApiCall.objects.values().get())
        assert "tell" not in kept and api.text not in kept and ADA["email"] not in kept

    def test_a_crash_is_in_the_log_too(self, api, monkeypatch):
        monkeypatch.setattr("providers.customers.put", lambda *_: 1 / 0)
        reply = api("PUT", "customers/c-1", ADA)
        assert ApiCall.objects.get(request_id=shaped(reply, 500)["request_id"]).code == "broken"

    def test_a_strangers_call_is_in_nobodys_log(self, db, client):
        client.get("/api/provider/v1/customers", headers={"Authorization": "Bearer mst_live_x_y"})
        assert not ApiCall.objects.exists()

    @pytest.mark.parametrize("code", ["key_revoked", "key_expired", "address_not_allowed"])
    def test_a_key_that_is_refused_is_found_by_the_request_id_in_its_reply(self, api, people, code):
        if code == "key_revoked":
            keys.revoke(api.key, audit.SYSTEM)
        rows = ProviderKey.objects.filter(pk=api.key.pk)
        if code == "key_expired":
            rows.update(expires_at=timezone.now() - timedelta(days=1))
        if code == "address_not_allowed":
            rows.update(allowed_networks=["192.0.2.0/24"])
        reply = api("GET", "customers")
        found = ApiCall.objects.get(request_id=shaped(reply, 403 if "address" in code else 401, code)["request_id"])
        assert (found.provider, found.key, found.code, found.status) == (api.provider, api.key, code, reply.status_code)
        staff = people.browser(UserFactory(email="boss@example.com", is_staff=True, is_superuser=True))
        listed = staff.get("/admin/providers/apicall/", {"q": reply["X-Request-ID"]}).content.decode()
        assert code in listed and reply["X-Request-ID"] in listed

    def test_a_known_keys_name_with_a_wrong_secret_is_in_nobodys_log(self, api, client):
        guess = api.text[:-1] + ("a" if api.text[-1] != "a" else "b")
        client.get("/api/provider/v1/customers", headers={"Authorization": f"Bearer {guess}"})
        assert not ApiCall.objects.exists()

    def test_a_refused_test_key_is_in_the_sandboxs_log(self, db):
        api = Api(ProviderFactory(), sandbox=True)
        keys.revoke(api.key, audit.SYSTEM)
        shaped(api("GET", "customers"), 401, "key_revoked")
        assert ApiCall.objects.get().provider == sandbox.twin(api.provider)

    def test_forgetting_goes_on_until_nothing_old_is_left_or_its_time_is_over(self, api, monkeypatch):
        monkeypatch.setattr(calls, "SLICE", 2)
        for _ in range(5):
            api("GET", "customers")
        ApiCall.objects.update(at=timezone.now() - timedelta(days=31))
        assert calls.forget(seconds=0) == 2
        assert calls.forget() == 3 and not ApiCall.objects.exists()

    def test_it_is_forgotten_after_thirty_days(self, api):
        api("GET", "customers"), api("GET", "customers")
        ApiCall.objects.filter(pk=ApiCall.objects.first().pk).update(at=timezone.now() - timedelta(days=31))
        assert calls.forget() == 1
        assert ApiCall.objects.count() == 1


class TestRotation:
    def test_both_keys_work_until_the_overlap_is_over(self, api):
        successor, text = keys.rotate(api.key, audit.SYSTEM, timedelta(hours=1))
        assert successor.scopes == api.key.scopes and keys.find(text) == successor
        assert keys.find(api.text) == api.key
        ProviderKey.objects.filter(pk=api.key.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
        with pytest.raises(keys.KeyRefused):
            keys.find(api.text)
        assert keys.find(text)

    def test_two_are_live_never_three(self, api):
        successor, _ = keys.rotate(api.key, audit.SYSTEM)
        with pytest.raises(Denied, match="rotated already"):
            keys.rotate(api.key, audit.SYSTEM)
        with pytest.raises(Denied, match="Two keys"):
            keys.rotate(successor, audit.SYSTEM)
        keys.revoke(api.key, audit.SYSTEM)
        assert keys.rotate(successor, audit.SYSTEM)

    def test_a_successor_that_was_revoked_leaves_room_for_another(self, api):
        lost, text = keys.rotate(api.key, audit.SYSTEM)
        keys.revoke(lost, audit.SYSTEM)
        second, other = keys.rotate(api.key, audit.SYSTEM)
        assert second.expires_at is None  # and not the end of the older key's overlap
        assert second.replaces_id == api.key.pk and keys.find(other) == second and keys.find(api.text) == api.key
        with pytest.raises(keys.KeyRefused, match="revoked"):
            keys.find(text)
        with pytest.raises(Denied, match="rotated already"):
            keys.rotate(api.key, audit.SYSTEM)

    def test_a_key_that_expires_sooner_is_not_kept_alive_by_it(self, api):
        soon = timezone.now() + timedelta(minutes=5)
        ProviderKey.objects.filter(pk=api.key.pk).update(expires_at=soon)
        keys.rotate(api.key, audit.SYSTEM)
        api.key.refresh_from_db()
        assert api.key.expires_at == soon

    def test_a_revoked_key_has_no_successor(self, api):
        keys.revoke(api.key, audit.SYSTEM)
        with pytest.raises(Denied, match="not live"):
            keys.rotate(api.key, audit.SYSTEM)


class TestNetworks:
    def test_a_key_bound_to_networks_opens_nothing_from_elsewhere(self, db):
        api = Api(ProviderFactory(), allowed_networks=["192.0.2.0/24"])
        assert "127.0.0.1" in shaped(api("GET", "customers"), 403, "address_not_allowed")["message"]
        assert keys.find(api.text, "192.0.2.9")
        assert keys.find(api.text, "::ffff:192.0.2.9")
        for stranger in ("198.51.100.1", "2001:db8::1", "", "nonsense"):
            with pytest.raises(keys.KeyRefused):
                keys.find(api.text, stranger)

    def test_what_is_no_network_is_refused_in_words(self, db):
        with pytest.raises(Wrong) as refused:
            keys.issue(ProviderFactory(), actor=audit.SYSTEM, allowed_networks=["192.0.2.0/33"])
        assert "192.0.2.0/24" in refused.value.fields["allowed_networks"][0]


@pytest.mark.django_db(transaction=True)
def test_a_repeat_while_the_first_call_is_under_way_is_409_and_nothing_is_done_twice(monkeypatch):
    monkeypatch.setattr(replays, "PATIENCE", 0.1)
    api, inside, told, done = Api(ProviderFactory()), threading.Event(), threading.Event(), []
    real = replays.once

    def slow(provider, key, call, act):
        def acts():
            inside.set()
            assert told.wait(30)
            done.append(1)
            return act()

        return real(provider, key, call, acts if not inside.is_set() else act)

    monkeypatch.setattr("providers.replays.once", slow)
    body = {**ADA, "external_id": "c-1"}
    replies = []

    def first():
        replies.append(api("POST", "customers", body, Idempotency_Key="k1"))
        connection.close()

    thread = threading.Thread(target=first)
    thread.start()
    assert inside.wait(30)
    second = api("POST", "customers", body, Idempotency_Key="k1")
    told.set()
    thread.join()
    assert "in a moment" in shaped(second, 409, "idempotency_key_in_progress")["message"]
    assert second["Retry-After"] == "1"
    assert replies[0].status_code == 201 and done == [1]
    assert api("POST", "customers", body, Idempotency_Key="k1").json() == replies[0].json()
