"""The provider's portal signs its customer on: once, within a minute, and no further than its own customer."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from allauth.mfa.totp.internal.auth import TOTP
from django.db import connection
from django.test import Client
from django.utils import timezone
from hypothesis import given
from hypothesis import settings as pace
from hypothesis import strategies as st

from console.lib import audit
from console.lib.denials import Wrong
from console.models import AuditEntry, User
from providers import customers, handoff
from providers.models import Customer, Membership, SignInLink
from providers.scope import DOOR
from tests.factories import (
    AccountFactory,
    CustomerFactory,
    MembershipFactory,
    ProviderFactory,
    ServerFactory,
    UserFactory,
)
from tests.provider_api.calls import ADA, Api, shaped


@pytest.fixture
def api(db):
    made = Api(ProviderFactory())
    made("PUT", "customers/c-1", ADA)
    return made


def link(api, path="customers/c-1/handoff", **body):
    reply = api("POST", path, body)
    assert reply.status_code == 201, reply.content
    assert reply["Cache-Control"] == "no-store"
    return reply.json()["url"].removeprefix("http://127.0.0.1:8000")


def test_a_customer_who_never_had_a_password_comes_in_and_sees_its_servers(api):
    customer = Customer.objects.get()
    ServerFactory(account=AccountFactory(customer=customer), name="web-1")
    browser, address = Client(), link(api)
    assert b"Sign in" in browser.get(address).content
    reply = browser.post(address)
    assert (reply.status_code, reply["Location"]) == (302, "/servers/")
    assert b"web-1" in browser.get("/servers/").content
    assert browser.session[DOOR] == str(customer.pk)
    assert Membership.objects.get().accepted_at
    assert AuditEntry.objects.filter(verb="customer.handed_off", actor_kind="provider").count() == 1


def test_it_works_once(api):
    address = link(api)
    assert Client().post(address).status_code == 302
    assert Client().post(address).status_code == 410


def test_it_is_over_after_a_minute(api):
    address = link(api)
    assert SignInLink.objects.get(purpose="handoff").expires_at <= timezone.now() + timedelta(seconds=60)
    SignInLink.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert Client().get(address).status_code == 410
    assert Client().post(address).status_code == 410


@pytest.mark.django_db(transaction=True)
def test_of_twenty_browsers_at_once_one_gets_in():
    api = Api(ProviderFactory())
    api("PUT", "customers/c-1", ADA)
    address, barrier, told = link(api), threading.Barrier(20), []

    def press():
        barrier.wait(30)
        told.append(Client().post(address).status_code)
        connection.close()

    threads = [threading.Thread(target=press) for _ in range(20)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert sorted(told) == [302] + [410] * 19


def test_it_leads_where_the_portal_wanted(api):
    server = ServerFactory(account=AccountFactory(customer=Customer.objects.get()))
    for wanted in ("/servers/?q=state:running", f"/servers/{server.pk}/", "/accounts/", "/activity/"):
        assert Client().post(link(api, return_to=wanted))["Location"] == wanted


@pytest.mark.parametrize("wanted", [
    "https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)", "/admin/", "/me/",
    "/auth/logout/", "/nowhere/", "servers/", "/servers/\r\nSet-Cookie: a=b", "/" + "a" * 600, "/_mail/",
    "http:///servers/", "/servers/../admin/",
])  # fmt: skip
def test_it_leads_nowhere_else(api, wanted):
    reply = api("POST", "customers/c-1/handoff", {"return_to": wanted})
    assert "return_to" in shaped(reply, 400)["fields"]


@given(st.text(max_size=80))
@pace(deadline=None)
def test_whatever_is_asked_for_a_link_leads_to_one_of_our_own_pages(text):
    try:
        page = handoff._page(text)
    except Wrong:
        return
    assert page == "" or (page[0] == "/" and page[1:2] not in ("/", "\\"))


def test_who_comes_in_by_it_sees_that_customer_only_and_cannot_change_their_sign_in(api):
    person = User.objects.get()
    other = MembershipFactory(customer=CustomerFactory(organization="Secret Ltd"), user=person).customer
    hidden = ServerFactory(account=AccountFactory(customer=other), name="secret-1")
    browser = Client()
    browser.post(link(api))
    assert b"secret-1" not in browser.get("/servers/").content
    assert browser.get(f"/servers/{hidden.pk}/").status_code == 404
    for page in ("/me/", "/auth/password/change/", "/auth/2fa/", "/admin/"):
        assert browser.get(page).status_code == 403


def test_a_second_factor_is_asked_for(api):
    TOTP.activate(User.objects.get(), "JBSWY3DPEHPK3PXP")
    browser = Client()
    reply = browser.post(link(api))
    assert reply["Location"].startswith("/auth/2fa/authenticate/")
    assert "_auth_user_id" not in browser.session


def test_who_was_known_before_must_accept_by_a_sign_in_of_their_own(db):
    UserFactory(email=ADA["email"])
    api = Api(ProviderFactory())
    api("PUT", "customers/c-1", ADA)
    browser = Client()
    assert browser.post(link(api))["Location"].endswith("/invitations/")
    assert "_auth_user_id" not in browser.session
    assert Membership.objects.get().accepted_at is None


def test_another_providers_customer_is_a_404(api):
    rival = Api(ProviderFactory())
    assert rival("POST", "customers/c-1/handoff", {}).status_code == 404


def test_a_closed_customer_is_409_and_its_open_links_are_over(api):
    address = link(api)
    customers.close(Customer.objects.get(), audit.SYSTEM)
    assert Client().post(address).status_code == 410
    shaped(api("POST", "customers/c-1/handoff", {}), 409, "customer_closed")


def test_it_wants_its_own_scope(db):
    api = Api(ProviderFactory(), scopes=["customers:write"])
    api("PUT", "customers/c-1", ADA)
    assert "handoff:write" in shaped(api("POST", "customers/c-1/handoff", {}), 403)["message"]
