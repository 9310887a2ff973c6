"""The provider API of 2012, for programs that nobody will ever change again (PROMISES.md)."""

from __future__ import annotations

import re
import threading
from hashlib import md5

import pytest
from django.core import mail as outbox
from django.db import connection
from django.test import Client
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import settings as pace
from hypothesis import strategies as st

from console.lib import audit
from console.models import AuditEntry, User
from providers import customers, erasing, handoff, legacy, mail
from providers.models import ApiCall, Customer, Mail, Membership, Provider
from providers.scope import DOOR
from tests.factories import (
    AccountFactory,
    CustomerFactory,
    MembershipFactory,
    ProviderFactory,
    ServerFactory,
    UserFactory,
)

PASSWORD = "a long enough secret"
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
    assert reply["Location"] == "/auth/login/"  # told to a program: what it sets is asked for again, and nobody is in
    assert "_auth_user_id" not in client.session
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
    assert Mail.objects.get(to="ada@example.com").kind == Mail.Kind.INVITATION

    def seen(data):
        """What a caller finds out by the link: each page, the same but for the address and what is made anew."""
        link, found = data["password"].removeprefix("http://127.0.0.1:8000"), []
        for call in (client.get, client.post, lambda path: client.post(path, {"password": PASSWORD}), client.get):
            reply = call(link)
            page = reply.content.decode().replace(data["user"], "ADDRESS").replace(link, "LINK")
            found.append((reply.status_code, reply.get("Location"), re.sub(r'"[A-Za-z0-9]{64}"', "", page)))
        return [*found, client.get("/auth/login/").status_code]

    assert seen(told["data"]) == seen(fresh["data"])
    known.refresh_from_db()
    assert known.check_password("a secret of her own") and known.has_own_password


def test_a_person_without_a_password_yet_is_not_taken_over_from_another_provider(old, client):
    customers.put(ProviderFactory(), "c-9", {"email": "ada@example.com"}, audit.SYSTEM)
    link = old("createuser", **ADA).json()["data"]["password"].removeprefix("http://127.0.0.1:8000")
    assert client.post(link, {"password": PASSWORD})["Location"] == "/auth/login/"
    assert not User.objects.get(email="ada@example.com").has_usable_password()


class TestASignInThatTheCallerMadeItself:
    """North calls createuser and uses the link itself; South, which knows nothing of it, makes the same person's
    customer. North must see nothing of South's."""

    @pytest.fixture
    def south(self, old):
        link = old("createuser", **ADA).json()["data"]["password"].removeprefix("http://127.0.0.1:8000")
        Client().post(link, {"password": PASSWORD})
        return customers.put(ProviderFactory(name="South"), "s-1", {"email": ADA["email"]}, audit.SYSTEM).customer

    @pytest.fixture
    def north(self, south):
        browser = Client()
        assert browser.post("/auth/login/", {"login": ADA["email"], "password": PASSWORD}).status_code == 302
        assert "_auth_user_id" in browser.session
        return browser

    def test_it_sees_norths_customer_alone(self, old, south, north):
        assert north.get("/servers/").status_code == 200
        assert north.session[DOOR] == str(old.provider.customers.get().pk)
        Membership.objects.update(accepted_at=timezone.now())
        hidden = ServerFactory(account=AccountFactory(customer=south), name="secret-1")
        assert b"secret-1" not in north.get("/servers/").content
        assert north.get(f"/servers/{hidden.pk}/").status_code == 404

    @pytest.mark.parametrize("path", ["/invitations/", "/auth/email/", "/auth/2fa/", "/auth/password/change/",
                                      "/me/", "/me/tokens/", "/provider/"])  # fmt: skip
    def test_it_cannot_leave_a_second_way_in_behind(self, north, path):
        for ask in (north.get, north.post):
            reply = ask(path)
            assert reply.status_code == 403 and b"Forgot your password" in reply.content

    def test_it_accepts_nothing_in_the_persons_place_by_any_way(self, old, south, north):
        invited = Membership.objects.get(customer=south)
        for answer in ("accept", "again", ""):
            assert north.post(f"/invitations/{invited.pk}/", {"answer": answer}).status_code == 403
        url = mail.compose(Mail.objects.get(customer=south)).body
        path = re.search(r"http://127\.0\.0\.1:8000(/invitations/join/\S+)", url).group(1)
        assert north.post(path).status_code == 403  # even with the mail in its hands
        handed = handoff.offer(south, audit.SYSTEM).url.removeprefix("http://127.0.0.1:8000")
        assert north.post(handed)["Location"].endswith("/invitations/")
        again = customers.resend_mail(south, audit.SYSTEM)
        assert again.kind == Mail.Kind.INVITATION
        invited.refresh_from_db()
        assert invited.accepted_at is None

    def test_the_person_makes_it_theirs_by_the_welcome_mail_and_norths_password_is_over(self, old, south, north):
        welcome = mail.compose(Mail.objects.get(kind="welcome")).body
        path = re.search(r"http://127\.0\.0\.1:8000(/welcome/\S+)", welcome).group(1)
        ada = Client()
        assert ada.post(path, {"password": "orchard-42-lane"}).status_code == 302
        assert DOOR not in ada.session and User.objects.get().check_password("orchard-42-lane")
        assert north.get("/servers/").status_code == 302  # signed out
        invitation = mail.compose(Mail.objects.get(customer=south)).body
        link = re.search(r"http://127\.0\.0\.1:8000(/invitations/join/\S+)", invitation).group(1)
        assert ada.post(link)["Location"] == "/servers/"
        assert south in customers.Customer.objects.open_to(User.objects.get())

    def test_or_by_a_password_of_their_own_that_was_mailed(self, south, north, settings):
        settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
        north.post("/auth/logout/")
        ada = Client()
        ada.post("/auth/password/reset/", {"email": ADA["email"]})
        path = re.search(r"http://[^/\s]+(/auth/password/reset/key/\S+)", outbox.outbox[-1].body).group(1)
        form = ada.get(path, follow=True).request["PATH_INFO"]
        ada.post(form, {"password1": "orchard-42-lane", "password2": "orchard-42-lane"})
        assert User.objects.get().has_own_password
        fresh = Client()
        fresh.post("/auth/login/", {"login": ADA["email"], "password": "orchard-42-lane"})
        assert "_auth_user_id" in fresh.session and DOOR not in fresh.session

    def test_it_stays_shut_in_after_norths_customer_was_erased(self, old, south, north):
        mine = old.provider.customers.get()
        customers.close(mine, audit.SYSTEM)
        customers.Customer.objects.filter(pk=mine.pk).update(closed_at="2026-01-01T00:00Z")
        assert erasing.erase(mine.pk)
        browser = Client()
        browser.post("/auth/login/", {"login": ADA["email"], "password": PASSWORD})
        assert browser.session[DOOR] == str(mine.pk)
        assert browser.get("/invitations/").status_code == 403


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
@pace(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
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
