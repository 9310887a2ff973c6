"""People and mail of a sandbox: nobody real is made, invited or written to."""

from __future__ import annotations

import pytest
from django.core import mail as outbox
from django.test import Client

from accounts import imports
from accounts import tasks as account_tasks
from accounts.models import Import
from console.lib.jobs import leases
from console.lib.jobs.kinds import KINDS, work
from console.models import User
from providers import kept, sandbox
from providers.models import Customer, Mail, Membership, Provider
from servers import sync
from tests.sandbox.acts import deliver_mails, push, put

pytestmark = pytest.mark.django_db(transaction=True)
PASSWORD = {"password": "a long enough word"}


def test_mail_of_a_sandbox_goes_to_nobody_and_its_link_works(test, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    put(test)
    deliver_mails()
    assert outbox.outbox == []
    assert put(test)["mail"] | {"queued_at": 0, "ended_at": 0} == {
        "state": "sent", "reason": kept.OUTCOME, "queued_at": 0, "ended_at": 0,
    }  # fmt: skip
    [letter] = test("GET", "sandbox/mails").json()["results"]
    assert (letter["to"], letter["kind"], letter["customer"]) == ("ada@example.com", "welcome", "c-1")
    assert letter["link"] in letter["text"] and "North Cloud (sandbox)" in letter["text"]
    row = Mail.objects.get()
    assert letter["link"].rsplit("/", 2)[-2] not in str(row.params)
    browser, address = Client(), letter["link"].removeprefix(settings.PUBLIC_URL)
    assert browser.post(address, PASSWORD).status_code == 302
    assert "North Cloud (sandbox)" in browser.get("/servers/").content.decode()


def test_a_sandbox_never_makes_nor_invites_a_real_person(test, live):
    victim = User.objects.create_user("ceo@victim.example")
    put(test, "c-1", email="CEO@victim.example")
    put(test, "c-2", email="new@victim.example")
    assert not victim.memberships.exists()
    assert not User.objects.filter(email__iendswith="victim.example").exclude(pk=victim.pk).exists()
    put(live, "c-2", email="new@victim.example")
    person = User.objects.get(email="new@victim.example")
    assert Membership.objects.get(user=person).founding
    assert [one.customer.provider.name for one in person.memberships.all()] == ["North Cloud"]
    deliver_mails()
    assert {one["to"] for one in test("GET", "sandbox/mails").json()["results"]} == {
        "CEO@victim.example", "new@victim.example",
    }  # fmt: skip


def test_the_same_person_at_two_sandbox_customers_is_invited_by_the_second(test):
    put(test, "c-1")
    put(test, "c-2", email="ADA@example.com")
    deliver_mails()
    assert [one["kind"] for one in test("GET", "sandbox/mails").json()["results"]] == ["invitation", "welcome"]
    assert User.objects.get().email == "ada=example.com@north-sandbox.sandbox.invalid"


@pytest.mark.parametrize("email", ["a" * 64 + "@example.com", '"odd one"@example.com', "\u00e4@example.com"])
def test_any_address_has_a_person_of_its_own_in_a_sandbox(north, email):
    twin = sandbox.twin(north)
    made = sandbox.sign_in_address(twin, email)
    assert made.endswith("@north-sandbox.sandbox.invalid") and len(made) <= 254 and made.isascii()
    assert made == sandbox.sign_in_address(twin, email.upper().lower())
    assert sandbox.sign_in_address(north, email) == sandbox.sign_in_address(None, email) == email


def test_a_mail_that_is_to_fail_fails_in_words(test):
    put(test, email=f"ada@{kept.REFUSING}")
    deliver_mails()
    told = put(test, email=f"ada@{kept.REFUSING}")["mail"]
    assert told["state"] == "failed" and "550" in told["reason"]


def test_an_import_in_a_sandbox_makes_nobody_real_even_without_a_quota(test, north):
    Provider.objects.filter(pk=sandbox.twin(north).pk).update(max_customers=None)
    line = {"external_id": "c-9", "email": "real@victim.example", "first_name": "R", "last_name": "L",
            "organization": ""}  # fmt: skip
    assert test("POST", "imports", {"customers": [line]}).status_code == 202
    for row, lease in leases.claim(Import.objects.all(), 60, take_abandoned=True):
        assert account_tasks.run.name == imports.TASK
        work(KINDS[imports.TASK], imports.perform, row, lease)
    assert Customer.objects.get(external_id="c-9").provider.sandbox_of == north
    assert not User.objects.filter(email="real@victim.example").exists()


def test_a_person_of_a_sandbox_gets_no_mail_of_a_new_password(test, settings):
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    put(test)
    person = User.objects.get()
    person.set_password("a long enough word")
    person.save()
    real = User.objects.create_user("real@example.com", "a long enough word")
    for one in (person, real):
        assert Client().post("/auth/password/reset/", {"email": one.email}).status_code == 302
    assert [message.to for message in outbox.outbox] == [["real@example.com"]]


def test_a_hand_off_of_a_sandbox_shows_its_customer(test, settings):
    put(test)
    sync.now(push(test))
    made = test("POST", "customers/c-1/handoff").json()["url"]
    page = Client().post(made.removeprefix(settings.PUBLIC_URL), follow=True)
    assert "web-1" in page.content.decode()
