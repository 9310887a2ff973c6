"""Keys of the provider API: shown once, hashed, scoped, and refused in words that say what to do."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from console.lib import audit, seal
from console.lib.denials import Wrong
from console.models import AuditEntry
from providers import keys
from providers.models import Provider, ProviderKey
from tests.factories import ProviderFactory

CUSTOMERS = "/api/provider/v1/customers"


@pytest.fixture
def provider(db):
    return ProviderFactory()


@pytest.fixture
def issued(provider):
    return keys.issue(provider, actor=audit.SYSTEM, name="billing")


def call(client, text, path=CUSTOMERS):
    return client.get(path, headers={"Authorization": f"Bearer {text}"})


def test_a_key_opens_the_api_and_only_its_hash_is_kept(issued, client):
    key, text = issued
    assert text.startswith(f"mst_live_{key.prefix}_")
    assert call(client, text).status_code == 200
    assert text not in str(ProviderKey.objects.values().get())
    assert text not in str(list(AuditEntry.objects.values()))


def test_a_sandbox_key_says_so(provider):
    assert keys.issue(provider, actor=audit.SYSTEM, sandbox=True)[1].startswith("mst_test_")


@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        (lambda text: text[:-1] + ("A" if text[-1] != "A" else "B"), "key_unknown", "copied whole"),
        (lambda text: text.replace("live", "test"), "key_unknown", "copied whole"),
        (lambda text: "nonsense", "key_unknown", "copied whole"),
        (lambda text: "mst_live__", "key_unknown", "copied whole"),
    ],
)
def test_what_is_not_a_key_gets_401_in_words(issued, client, spoil, code, words):
    reply = call(client, spoil(issued[1]))
    assert reply.status_code == 401
    assert reply["WWW-Authenticate"].startswith("Bearer")
    assert reply.json()["error"]["code"] == code
    assert words in reply.json()["error"]["message"]


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "unauthenticated"),
        ("Basic abc", "authorization_malformed"),
        ("Bearer", "authorization_malformed"),
    ],
)
def test_a_missing_or_malformed_header_gets_401_in_words(db, client, header, code):
    reply = client.get(CUSTOMERS, headers={"Authorization": header} if header else {})
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, code)
    assert "Authorization: Bearer KEY" in reply.json()["error"]["message"]


def test_an_expired_key_says_since_when(provider, client):
    _, text = keys.issue(provider, actor=audit.SYSTEM, expires_at=timezone.now() - timedelta(days=1))
    reply = call(client, text)
    assert (reply.status_code, reply.json()["error"]["code"]) == (401, "key_expired")
    assert f"{timezone.now() - timedelta(days=1):%Y-%m-%d}" in reply.json()["error"]["message"]


def test_a_revoked_key_opens_nothing_from_the_next_call_on(issued, client):
    key, text = issued
    for _ in range(2):
        keys.revoke(key, audit.SYSTEM)
    assert call(client, text).json()["error"]["code"] == "key_revoked"
    assert AuditEntry.objects.filter(verb="provider_key.revoked").count() == 1


@pytest.mark.parametrize("status", [Provider.Status.PENDING, Provider.Status.SUSPENDED])
def test_a_provider_that_is_not_enabled_gets_403(issued, client, status):
    Provider.objects.update(status=status)
    reply = call(client, issued[1])
    assert (reply.status_code, reply.json()["error"]["code"]) == (403, "provider_not_enabled")
    assert status.label.lower() in reply.json()["error"]["message"]


def test_a_call_beyond_the_keys_scopes_names_the_scope_that_is_missing(provider, client):
    _, text = keys.issue(provider, actor=audit.SYSTEM, scopes=["customers:read"])
    assert call(client, text).status_code == 200
    for path, scope in ((f"{CUSTOMERS}/c-1/servers", "servers:read"), ("/api/provider/v1/endpoints", "accounts:read")):
        reply = call(client, text, path)
        assert (reply.status_code, reply.json()["error"]["code"]) == (403, "scope_missing")
        assert scope in reply.json()["error"]["message"]
    reply = client.put(f"{CUSTOMERS}/c-1", {}, "application/json", headers={"Authorization": f"Bearer {text}"})
    assert "customers:write" in reply.json()["error"]["message"]


def test_an_unknown_scope_is_refused_with_the_known_ones(provider):
    with pytest.raises(Wrong) as refused:
        keys.issue(provider, actor=audit.SYSTEM, scopes=["everything"])
    assert "customers:read" in refused.value.fields["scopes"][0]


def test_the_last_use_is_noted_once_a_minute(issued, client, django_assert_num_queries):
    key, text = issued
    call(client, text)
    key.refresh_from_db()
    first = key.last_used_at
    assert first
    call(client, text)
    key.refresh_from_db()
    assert key.last_used_at == first
    ProviderKey.objects.update(last_used_at=first - timedelta(minutes=2))
    keys.find(text)
    key.refresh_from_db()
    assert key.last_used_at >= first
    with django_assert_num_queries(1):
        keys.find(text)


def test_a_key_is_never_shown_by_a_log_line(issued):
    assert issued[1] not in seal.redact(f"bad header: Bearer {issued[1]}; again {issued[1]}.")


@pytest.mark.django_db
@given(st.text(max_size=200) | st.text(max_size=80).map("mst_live_{}_x".format))
def test_no_text_whatever_breaks_the_lookup(text):
    with pytest.raises(keys.KeyRefused):
        keys.find(text)
