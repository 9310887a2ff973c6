"""The provider API of 2012, for programs that nobody will ever change again (PROMISES.md)."""

from __future__ import annotations

import threading
from hashlib import md5

import pytest
from django.db import connection
from django.test import Client
from hypothesis import HealthCheck, given
from hypothesis import settings as pace
from hypothesis import strategies as st

from console.lib import audit
from console.models import AuditEntry, User
from providers import customers, legacy
from providers.models import ApiCall, Customer, Mail, Provider
from tests.factories import CustomerFactory, MembershipFactory, ProviderFactory, UserFactory

ADA = {"email": "ada@example.com", "firstname": "Ada", "lastname": "Byron", "orgname": "Engines"}
REFUSED = {"result": "FAILURE", "data": {"err": "login failed, invalid api key or secret key"}}


class Old:
    """A program of 2012."""

    def __init__(self, provider):
        self.provider = provider
        self.key, secret = legacy.turn_on(provider, audit.SYSTEM)
        self.hashed = md5(secret.encode()).hexdigest()  # noqa: S324  # as in 2012
        self.client = Client()

    def __call__(self, call, **fields):
        given = {"sxapikey": self.key, "sxsecretkey": self.hashed, **fields}
        return self.client.post(f"/scalex/acl/{call}", given)


@pytest.fixture
def old(db):
    return Old(ProviderFactory())


def test_createuser_makes_a_customer_and_gives_a_link_in_place_of_a_password(old, client):
    data = old("createuser", **ADA).json()["data"]
    assert set(data) == {"user", "organization", "password", "user_id", "organization_id"}
    assert all(isinstance(value, str) for value in data.values())
    assert (data["user"], data["organization"]) == ("ada@example.com", "Engines")
    link = data["password"].removeprefix("http://127.0.0.1:8000")
    reply = client.post(link, {"password": "a long enough secret"})
    assert reply.status_code == 302
    assert User.objects.get(email="ada@example.com").has_usable_password()
    assert client.get(link).status_code == 410  # once
    assert Mail.objects.count() == 1
    assert AuditEntry.objects.filter(verb="customer.created", actor_name__contains="2012").exists()


def test_the_same_again_is_already_registered(old):
    old("createuser", **ADA)
    for email in ("ada@example.com", "ADA@example.com"):
        told = old("createuser", **{**ADA, "email": email}).json()
        assert told == {"result": "FAILURE", "data": {"err": "already registered"}}
    assert Customer.objects.count() == Mail.objects.count() == 1


def test_a_customer_that_came_by_the_new_api_is_registered_too(old):
    CustomerFactory(provider=old.provider, external_id="c-1", email="ada@example.com")
    assert old("createuser", **ADA).json()["data"] == {"err": "already registered"}


def test_who_is_known_elsewhere_is_invited_and_the_caller_cannot_tell(old, client):
    known = UserFactory(email="ada@example.com")
    known.set_password("a secret of her own")
    known.save()
    MembershipFactory(customer=CustomerFactory(), user=known)
    fresh = old("createuser", **{**ADA, "email": "new@example.com"}).json()
    told = old("createuser", **ADA).json()
    assert told["result"] == "SUCCESS" and set(told["data"]) == set(fresh["data"])
    assert len(told["data"]["password"]) == len(fresh["data"]["password"])
    assert str(known.pk) not in str(told)
    assert client.get(told["data"]["password"].removeprefix("http://127.0.0.1:8000")).status_code == 410
    assert Mail.objects.get(to="ada@example.com").kind == Mail.Kind.INVITATION


def test_a_person_without_a_password_yet_is_not_taken_over_from_another_provider(old, client):
    customers.put(ProviderFactory(), "c-9", {"email": "ada@example.com"}, audit.SYSTEM)
    link = old("createuser", **ADA).json()["data"]["password"].removeprefix("http://127.0.0.1:8000")
    assert client.get(link).status_code == 410


def test_what_is_missing_is_listed_as_ever(old):
    assert old("createuser").json() == {
        "result": "FAILURE",
        "data": {
            "err": "There are input errors",
            "errors": [
                "email is missing",
                "first name is missing",
                "last name is missing",
                "organization name is missing",
            ],
        },
    }
    assert old("createuser", **{**ADA, "email": "no"}).json()["data"]["errors"] == ["email is invalid"]
    assert old("createuser", **{**ADA, "firstname": "x" * 151}).json()["data"]["errors"] == ["first name is too long"]


def test_customer_info_knows_only_the_callers_own(old):
    old("createuser", **ADA)
    CustomerFactory(email="eve@example.com")
    assert old("customerInfo", email="ada@example.com").json() == {
        "result": "SUCCESS",
        "data": {"firstname": "Ada", "lastname": "Byron", "email": "ada@example.com", "organization": "Engines"},
    }
    for email in ("eve@example.com", "nobody@example.com"):
        assert old("customerInfo", email=email).json()["data"] == {"err": "not registered"}


def test_customer_list_is_sorted_and_paged(old):
    for letter, name in zip("cab", ("Zed", "Yan", "Xia"), strict=True):
        CustomerFactory(provider=old.provider, email=f"{letter}@example.com", first_name=name)
    CustomerFactory(email="other@example.com")

    def emails(**fields):
        return [row["email"][0] for row in old("customerList", **fields).json()["data"]]

    assert emails() == ["a", "b", "c"]
    assert emails(sortdirection="desc") == ["c", "b", "a"]
    assert emails(sortedby="firstname") == ["b", "a", "c"]
    assert emails(rowsperpage="2", currentpage="2") == ["c"]
    assert "sortedby" in old("customerList", sortedby="password").json()["data"]["err"]
    assert "rowsperpage" in old("customerList", rowsperpage="-1").json()["data"]["err"]


def test_a_get_says_what_it_always_said(old):
    reply = old.client.get("/scalex/acl/createuser")
    assert reply.json() == {"result": "FAILURE", "data": {"err": "Request is not a post... cannot proceed"}}


def test_it_is_off_until_staff_turn_it_on_and_after_they_turn_it_off(old):
    legacy.turn_off(old.provider, audit.SYSTEM)
    assert old("customerList").json() == REFUSED
    assert Old(ProviderFactory())("customerList", sxapikey="").json() == REFUSED


@pytest.mark.parametrize("status", [Provider.Status.PENDING, Provider.Status.SUSPENDED])
def test_a_provider_that_is_not_enabled_is_refused(old, status):
    Provider.objects.filter(pk=old.provider.pk).update(status=status)
    assert old("customerList").json() == REFUSED


@pytest.mark.parametrize("spoilt", [{"sxapikey": "x"}, {"sxsecretkey": "x"}, {"sxsecretkey": ""}])
def test_a_wrong_key_or_secret_is_refused(old, spoilt):
    assert old("customerList", **spoilt).json() == REFUSED


def test_new_secrets_end_the_old_ones_and_neither_is_kept(old):
    key, secret = legacy.turn_on(old.provider, audit.SYSTEM)
    assert old("customerList").json() == REFUSED
    kept = str(Provider.objects.values().get(pk=old.provider.pk)) + str(list(AuditEntry.objects.values()))
    assert secret not in kept and legacy.hashed(secret) not in kept


def test_calls_are_in_the_log_and_counted(old):
    Provider.objects.filter(pk=old.provider.pk).update(calls_per_minute=1)
    old("customerList")
    reply = old("customerList")
    assert reply.status_code == 429 and "too many calls" in reply.json()["data"]["err"]
    assert list(ApiCall.objects.values_list("path", "status")) == [
        ("/scalex/acl/customerList", 429),
        ("/scalex/acl/customerList", 200),
    ]


@given(st.dictionaries(st.sampled_from([*ADA, "rowsperpage", "currentpage", "sortedby"]), st.text(max_size=300)))
@pace(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
def test_nothing_that_is_sent_breaks_it(old, fields):
    Provider.objects.filter(pk=old.provider.pk).update(calls_per_minute=10**6)
    clean = {name: value.encode(errors="ignore").decode() for name, value in fields.items()}
    for call in ("createuser", "customerInfo", "customerList"):
        assert old(call, **clean).json()["result"] in ("SUCCESS", "FAILURE")


@pytest.mark.django_db(transaction=True)
def test_twenty_at_once_make_one_customer_and_one_mail():
    old, barrier, told = Old(ProviderFactory()), threading.Barrier(20), []

    def call():
        barrier.wait(30)
        told.append(Old.__call__(old, "createuser", **ADA).json()["result"])
        connection.close()

    threads = [threading.Thread(target=call) for _ in range(20)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert sorted(told) == ["FAILURE"] * 19 + ["SUCCESS"]
    assert Customer.objects.count() == Mail.objects.count() == 1
