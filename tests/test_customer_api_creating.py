"""The customer API where it makes servers: orders, what can be ordered, what can be done, and a password told once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from accounts import pacing
from accounts.models import CloudAccount
from console.demo.openstack import Site
from console.lib import audit
from providers import customers
from servers.actions.models import Action
from servers.models import Server
from tests.acting import served, settle
from tests.conftest import People
from tests.factories import AccountFactory, ServerFactory
from tests.provider_api.calls import shaped
from tests.test_customer_api import Api

pytestmark = pytest.mark.django_db


@pytest.fixture
def far(people: People) -> Iterator[tuple[Site, CloudAccount]]:
    with served(people, 1) as made:
        yield made


@pytest.fixture
def api(people: People) -> Api:
    return Api(people.customer, people.alice)


def order(far: Any, **fields: Any) -> dict[str, Any]:
    site, account = far
    ids = {
        "account_id": str(account.pk),
        "image": next(iter(site.cloud.images)),
        "size": next(iter(site.cloud.flavors)),
    }
    return {"name": "shop", **ids, **fields}


class TestCreate:
    def test_an_order_sent_twice_with_one_key_makes_one_server(self, api: Api, far: Any) -> None:
        first, again = (api("POST", "servers", order(far), key="order-7").json() for _ in range(2))
        assert first["id"] == again["id"]
        settle(Action.objects.all())
        assert api("POST", "servers", order(far), key="order-7").json()["state"] == "done"
        assert [one.name for one in far[0].cloud.instances.values()].count("shop") == 1
        shaped(api("POST", "servers", order(far, name="other"), key="order-7"), 422, "idempotency_key_reused")

    def test_a_server_is_ordered_followed_and_its_password_is_told_once(
        self, api: Api, people: People, far: Any
    ) -> None:
        answer = api("POST", "servers", order(far, user_data="#!/bin/sh\necho hunter2\n"))
        assert answer.status_code == 202
        told = answer.json()
        assert (told["kind"], told["state"], told["server_id"], told["has_password"]) == (
            "create",
            "queued",
            None,
            False,
        )
        assert told["params"]["user_data"] == "23 bytes"
        assert "hunter2" not in answer.content.decode()
        shaped(api("POST", f"actions/{told['id']}/password"), 404, "password_none")
        settle(Action.objects.all())
        told = api("GET", f"actions/{told['id']}").json()
        assert (told["state"], told["has_password"]) == ("done", True)
        assert api("GET", f"servers/{told['server_id']}").json()["name"] == "shop"
        bob = Api(people.customer, people.bob)
        shaped(bob("POST", f"actions/{told['id']}/password"), 403, "password_of_another")
        answer = api("POST", f"actions/{told['id']}/password")
        assert (answer.status_code, answer["Cache-Control"]) == (200, "no-store")
        assert len(answer.json()["password"]) >= 8
        assert "deleted" not in shaped(api("POST", f"actions/{told['id']}/password"), 410, "password_gone")["message"]
        assert api("GET", f"actions/{told['id']}").json()["has_password"] is False

    @pytest.mark.parametrize(
        ("fields", "field"),
        [({"name": ""}, "name"), ({"image": ""}, "image"), ({"size": None}, "size"), ({"cpus": 0}, "cpus"),
         ({"networks": "n"}, "networks"), ({"user_data": "x" * 16385}, "user_data"), ({"count": 2}, "count"),
         ({"account_id": "7"}, "account_id")],
    )  # fmt: skip
    def test_a_wrong_order_is_400_by_field(self, api: Api, far: Any, fields: Any, field: str) -> None:
        assert field in shaped(api("POST", "servers", order(far, **fields)), 400, "invalid")["fields"]
        assert not Action.objects.exists()

    def test_foreign_accounts_are_not_there_and_what_cannot_be_asked_is_409(
        self, api: Api, people: People, far: Any
    ) -> None:
        foreign = AccountFactory(customer=people.elsewhere)
        shaped(api("POST", "servers", order(far, account_id=str(foreign.pk))), 404, "account_unknown")
        customers.suspend(people.customer, audit.SYSTEM)
        assert "suspended" in shaped(api("POST", "servers", order(far)), 409, "account_not_ready")["message"]
        assert not Action.objects.exists()


class TestOffers:
    def test_an_account_tells_what_can_be_ordered(self, api: Api, far: Any) -> None:
        site, account = far
        told = api("GET", f"accounts/{account.pk}/offers").json()
        assert {one["id"] for one in told["sizes"]} == set(site.cloud.flavors)
        assert {one["id"] for one in told["images"]} == set(site.cloud.images)
        assert {one["id"] for one in told["networks"]} == set(site.cloud.networks)
        assert {one["name"] for one in told["key_pairs"]} == set(site.cloud.keypairs)
        assert told["missing"] == {}

    def test_a_list_that_the_platform_does_not_have_is_empty_with_its_reason(self, api: Api, far: Any) -> None:
        _, account = far
        CloudAccount.objects.filter(pk=account.pk).update(generation="essex")
        told = api("GET", f"accounts/{account.pk}/offers").json()
        assert told["networks"] == []
        assert told["missing"]["networks"].startswith("OpenStack Essex shows its networks to administrators only.")

    @pytest.mark.parametrize(
        ("kind", "status", "code"),
        [("broken", 502, "unexpected"), ("hang_up", 503, "unreachable"), ("unavailable", 503, "slow_down")],
    )
    def test_a_cloud_that_does_not_answer_is_told_in_its_words(
        self, api: Api, far: Any, kind: str, status: int, code: str
    ) -> None:
        site, account = far
        site.faults.inject(kind, path="/", times=None)
        said = shaped(api("GET", f"accounts/{account.pk}/offers"), status, code)
        assert said["message"].endswith(".")
        pacing.forget(account.pk)

    def test_of_an_account_without_credentials_it_is_409(self, api: Api, people: People) -> None:
        shaped(api("GET", f"accounts/{people.account.pk}/offers"), 409, "account_not_ready")


def test_the_snapshots_of_a_server_come_newest_first(api: Api, far: Any) -> None:
    site, _ = far
    chosen = Server.objects.get()
    assert api("GET", f"servers/{chosen.pk}/snapshots").json() == []
    for name in ("first", "second"):
        assert api("POST", f"servers/{chosen.pk}/actions", {"kind": "snapshot", "name": name}).status_code == 202
        settle(Action.objects.all())
    assert {one["name"] for one in api("GET", f"servers/{chosen.pk}/snapshots").json()} == {"first", "second"}
    CloudAccount.objects.update(generation="diablo-1.0")
    site.faults.inject("broken", path="/", times=None)
    assert api("GET", f"servers/{chosen.pk}/snapshots").status_code == 502


def test_what_can_be_done_to_a_server_is_told_with_the_reason_why_not(api: Api, far: Any) -> None:
    site, _ = far
    chosen = Server.objects.get()
    site.requests.clear()
    told = {one["kind"]: one for one in api("GET", f"servers/{chosen.pk}/actions").json()}
    assert told["stop"] == {
        "kind": "stop",
        "label": "Stop",
        "possible": True,
        "reason": "",
        "needs": [],
        "danger": False,
    }
    assert (told["start"]["possible"], told["start"]["reason"]) == (False, "It must be stopped to be started.")
    assert (told["rename"]["needs"], told["delete"]["danger"]) == (["name"], True)
    assert "create" not in told
    assert not site.requests


def test_create_is_no_action_on_a_server_that_is_there(api: Api, people: People) -> None:
    chosen = ServerFactory(account=people.account)
    answer = api("POST", f"servers/{chosen.pk}/actions", {"kind": "create", "name": "x"})
    assert "kind" in shaped(answer, 400, "invalid")["fields"]
