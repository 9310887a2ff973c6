"""Webhooks as a provider's developer meets them: North's calls, and South who learns nothing of them."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest
from django.test import Client

from console.models import AuditEntry
from providers import delivering, events
from providers.models import Delivery, Webhook
from tests.factories import ProviderFactory
from tests.provider_api.calls import ADA, Api
from tests.receiver import receiving

pytestmark = pytest.mark.django_db(transaction=True)
NOBODY = str(uuid4())


@pytest.fixture
def north(db):
    return Api(ProviderFactory())


@pytest.fixture
def south(db):
    return Api(ProviderFactory())


@pytest.fixture
def site():
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def hook(north, site):
    reply = north("POST", "webhooks", {"url": site.url})
    assert reply.status_code == 201
    return reply.json()


def test_a_delivery_tells_the_address_that_was_tried_though_the_webhook_has_moved_since(north, hook, site):
    north("PUT", "customers/c-1", ADA)
    [waits] = north("GET", f"webhooks/{hook['id']}/deliveries").json()["results"]
    assert north("GET", f"deliveries/{waits['id']}").json()["request"]["url"] == site.url  # where it will go
    delivering.drain(hook["id"])
    moved = f"{site.url}/elsewhere"
    assert north("PATCH", f"webhooks/{hook['id']}", {"url": moved}).status_code == 200
    assert north("GET", f"deliveries/{waits['id']}").json()["request"]["url"] == site.url


def test_from_a_webhook_to_a_verified_delivery(north, hook, site):
    north("PUT", "customers/c-1", ADA)
    delivering.drain(hook["id"])
    assert site.calls[0].verified(hook["secret"])["data"] == {"external_id": "c-1"}
    [row] = north("GET", f"webhooks/{hook['id']}/deliveries").json()["results"]
    assert (row["type"], row["state"], row["attempts"], row["next_try_at"]) == (
        "customer.created",
        "delivered",
        1,
        None,
    )
    one = north("GET", f"deliveries/{row['id']}").json()
    assert one["request"]["url"] == site.url
    assert one["request"]["body"].encode() == site.calls[0].body
    assert one["request"]["headers"].items() <= site.calls[0].headers.items()
    assert [(told["status"], told["words"]) for told in one["tries"]] == [(204, one["reason"])]
    [event] = north("GET", "events").json()["results"]
    assert (event["id"], event["type"]) == (site.calls[0].id, "customer.created")


def test_the_secret_is_in_the_first_reply_and_in_no_later_one(north, hook, site):
    path = f"webhooks/{hook['id']}"
    assert hook["secret"].startswith("whsec_")
    webhook = Webhook.objects.get()
    north("POST", f"{path}/test")
    delivering.drain(hook["id"])
    delivery = Delivery.objects.get()
    again = north("POST", "webhooks", {"url": site.url})
    assert (again.status_code, again.json()["secret"], again["Cache-Control"]) == (200, None, "no-store")
    replies = [
        again, north("GET", path), north("GET", "webhooks"), north("PATCH", path, {"enabled": True}),
        north("GET", f"{path}/deliveries"), north("GET", f"deliveries/{delivery.pk}"), north("GET", "events"),
    ]  # fmt: skip
    rotated = north("POST", f"{path}/rotate", {}).json()["secret"]
    replies.append(north("GET", path))
    for secret in (hook["secret"], rotated, webhook.sealed):
        assert not any(secret in reply.content.decode() for reply in replies)
        assert not any(secret in str(entry.detail) for entry in AuditEntry.objects.all())


def test_a_webhook_is_changed_turned_off_rotated_and_removed(north, hook, site):
    path = f"webhooks/{hook['id']}"
    changed = north("PATCH", path, {"events": ["server.lost"], "enabled": False}).json()
    assert (changed["events"], changed["enabled"], changed["url"]) == (["server.lost"], False, site.url)
    off = north("POST", f"{path}/test")
    assert (off.status_code, off.json()["error"]["code"]) == (409, "webhook_off")
    assert north("PATCH", path, {"enabled": True}).json()["enabled"] is True
    first = north("POST", f"{path}/rotate", {"overlap_hours": 2})
    assert first.status_code == 200 and first.json()["previous_until"]
    assert north("POST", f"{path}/rotate", {}).json()["error"]["code"] == "secret_rotating"
    assert north("POST", f"{path}/rotate", {"overlap_hours": 0}).json()["previous_until"] is None
    assert north("DELETE", path).status_code == 204
    assert north("GET", path).status_code == 404
    verbs = list(AuditEntry.objects.filter(verb__startswith="webhook.").values_list("verb", flat=True))
    assert {"webhook.added", "webhook.changed", "webhook.secret_rotated", "webhook.removed"} == set(verbs)


def test_a_failed_delivery_can_be_found_and_sent_again(north, hook, site):
    site.says(500)
    north("PUT", "customers/c-1", ADA)
    delivering.drain(hook["id"])
    listed = f"webhooks/{hook['id']}/deliveries"
    [row] = north("GET", f"{listed}?state=pending").json()["results"]
    assert row["reason"] == "The endpoint answered 500 Internal Server Error." and row["next_try_at"]
    assert north("GET", f"{listed}?state=failed").json()["results"] == []
    site.says(200)
    told = north("POST", f"deliveries/{row['id']}/redeliver")
    assert (told.status_code, told.json()["id"]) == (202, row["id"])
    delivering.drain(hook["id"])
    assert len(north("GET", f"{listed}?state=delivered&type=customer.created").json()["results"]) == 1


def test_lists_come_in_pages_newest_first(north, hook, site):
    for number in range(5):
        north("PUT", f"customers/c-{number}", ADA | {"email": f"a{number}@example.com"})
    for path in ("events", f"webhooks/{hook['id']}/deliveries"):
        page, seen = north("GET", f"{path}?limit=2").json(), []
        while True:
            seen += page["results"]
            if page["next"] is None:
                break
            page = north("GET", page["next"]).json()
        assert len({row["id"] for row in seen}) == 5
        moments = [row.get("at") or row["queued_at"] for row in seen]
        assert moments == sorted(moments, reverse=True)


def test_event_types_come_with_a_sentence(north):
    told = north("GET", "event-types").json()["results"]
    assert {one["type"] for one in told} == set(events.TYPES)
    assert all(one["description"].endswith(".") for one in told)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "url"),
        ({"url": "https://169.254.169.254/"}, "url"),
        ({"url": "https://10.0.0.1/"}, "url"),
        ({"url": "https://hooks.example/" + "x" * 10_000}, "url"),
        ({"url": "https://hooks.example/\u0000"}, "url"),
        ({"url": ["https://hooks.example/"]}, "url"),
        ({"url": "https://hooks.example/", "events": ["everything"]}, "events"),
        ({"url": "https://hooks.example/", "events": "customer.created"}, "events"),
        ({"url": "https://hooks.example/", "secret": "mine"}, "secret"),
    ],
)
def test_what_cannot_be_is_refused_in_words(north, settings, body, field):
    settings.DEMO_NETWORKS = []
    reply = north("POST", "webhooks", body)
    assert reply.status_code == 400
    assert reply.json()["error"]["fields"][field]
    assert not Webhook.objects.exists()


def test_south_learns_of_nothing_of_norths(north, south, hook, site):
    north("PUT", "customers/c-1", ADA)
    delivery = Delivery.objects.get().pk
    before = list(Webhook.objects.values())
    for theirs, nobodys in (
        (hook["id"], NOBODY), (f"{hook['id']}/deliveries", f"{NOBODY}/deliveries"), (f"{hook['id']}/rotate", None),
        (f"{hook['id']}/test", None),
    ):  # fmt: skip
        for method in ("GET", "POST", "PATCH", "DELETE"):
            reply = south(method, f"webhooks/{theirs}", {} if method != "GET" else None)
            assert reply.status_code in (404, 405)
            if nobodys and reply.status_code == 404:
                stranger = south(method, f"webhooks/{nobodys}", {} if method != "GET" else None)
                errors = [json.loads(one.content)["error"] for one in (reply, stranger)]
                assert errors[0]["code"] == errors[1]["code"] and errors[0]["message"] == errors[1]["message"]
    assert south("GET", f"deliveries/{delivery}").status_code == 404
    assert south("POST", f"deliveries/{delivery}/redeliver").status_code == 404
    assert south("GET", "webhooks").json()["results"] == south("GET", "events").json()["results"] == []
    assert list(Webhook.objects.values()) == before and Delivery.objects.count() == 1


def test_a_key_needs_the_scopes_of_webhooks(hook):
    provider = Webhook.objects.get().provider
    reader, writer = Api(provider, scopes=["webhooks:read"]), Api(provider, scopes=["webhooks:write"])
    assert reader("GET", "webhooks").status_code == 200 and writer("GET", "webhooks").status_code == 403
    refused = reader("DELETE", f"webhooks/{hook['id']}")
    assert refused.json()["error"]["code"] == "scope_missing"
    assert writer("DELETE", f"webhooks/{hook['id']}").status_code == 204
    assert Client().get("/api/provider/v1/webhooks").status_code == 401


def test_a_page_of_deliveries_costs_a_bounded_number_of_queries(north, hook, site, django_assert_max_num_queries):
    for number in range(10):
        north("PUT", f"customers/c-{number}", ADA | {"email": f"a{number}@example.com"})
    with django_assert_max_num_queries(8):
        assert len(north("GET", f"webhooks/{hook['id']}/deliveries").json()["results"]) == 10
