"""Links that let a person in: used once, never by looking, never logged, and never further than they should reach."""

from __future__ import annotations

import io
import json
import logging
import re
import threading
from datetime import timedelta

import pytest
from allauth.mfa.adapter import get_adapter
from allauth.mfa.models import Authenticator
from django.core import signing
from django.db import connection
from django.test import Client
from django.utils import timezone

from console.lib import audit
from console.models import AuditEntry, User
from providers import customers, links, mail
from providers.models import Customer, Mail, Membership, SignInLink
from providers.scope import DOOR
from tests.factories import CustomerFactory, MembershipFactory, ProviderFactory, UserFactory

SET, SIGN_IN = SignInLink.Purpose.SET_PASSWORD, SignInLink.Purpose.SIGN_IN
ADA = {"email": "ada@example.com", "first_name": "Ada", "last_name": "Byron", "organization": "Engines"}
PASSWORD = "a long enough password"


@pytest.fixture
def customer(db):
    return customers.put(ProviderFactory(), "c-1", ADA, audit.SYSTEM).customer


@pytest.fixture
def mailed(customer):
    """The address in the welcome mail."""
    return re.search(r"http://\S+(/welcome/\S+)", mail.compose(Mail.objects.get()).body).group(1)


def test_looking_at_a_mailed_link_uses_nothing_up(mailed):
    for _ in range(3):
        reply = Client().get(mailed)
        assert reply.status_code == 200
        assert b"Set the password" in reply.content
    assert not SignInLink.objects.filter(used_at__isnull=False).exists()


def test_the_first_password_lets_the_person_in_and_accepts_the_membership(customer, mailed):
    browser = Client()
    reply = browser.post(mailed, {"password": PASSWORD})
    assert (reply.status_code, reply["Location"]) == (302, "/servers/")
    person = User.objects.get(email="ada@example.com")
    assert person.check_password(PASSWORD)
    assert browser.session["_auth_user_id"] == str(person.pk)
    assert DOOR not in browser.session
    assert Customer.objects.open_to(person).get() == customer
    assert AuditEntry.objects.filter(verb="person.password_set").count() == 1


def test_a_link_works_once_and_then_says_so(mailed):
    Client().post(mailed, {"password": PASSWORD})
    reply = Client().post(mailed, {"password": "another long password"})
    assert reply.status_code == 410
    assert b"no longer works" in reply.content
    assert User.objects.get().check_password(PASSWORD)


def test_a_weak_password_is_refused_in_words_and_the_link_stays_good(mailed):
    for weak in ("short", "password123", "ada@example.com", ""):
        reply = Client().post(mailed, {"password": weak})
        assert reply.status_code == 422, weak
        assert not User.objects.get().has_usable_password()
    assert Client().post(mailed, {"password": PASSWORD}).status_code == 302


@pytest.mark.django_db(transaction=True)
def test_of_many_that_redeem_at_once_one_gets_in():
    token = links.issue(UserFactory(), SIGN_IN)
    barrier, got = threading.Barrier(8), []

    def redeem():
        barrier.wait(30)
        got.append(links.redeem(token, SIGN_IN))
        connection.close()

    threads = [threading.Thread(target=redeem) for _ in range(8)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len([link for link in got if link]) == 1


@pytest.mark.parametrize(
    "spoil",
    [
        lambda link: SignInLink.objects.update(expires_at=timezone.now() - timedelta(seconds=1)),
        lambda link: SignInLink.objects.update(used_at=timezone.now()),
        lambda link: User.objects.update(is_active=False),
        lambda link: Customer.objects.update(status="closed"),
    ],
    ids=["expired", "used", "inactive", "closed"],
)
def test_a_link_that_is_over_opens_nothing(customer, spoil):
    person = User.objects.get()
    for purpose in (SET, SIGN_IN):
        SignInLink.objects.all().delete()
        token = links.issue(person, purpose, customer)
        assert links.peek(token, purpose)
        spoil(token)
        assert links.redeem(token, purpose) is None
        User.objects.update(is_active=True)
        Customer.objects.update(status="active")


def test_a_token_of_one_purpose_opens_no_other_door(people):
    token = links.issue(people.alice, SIGN_IN)
    assert links.redeem(token, SET) is None
    assert Client().get(f"/welcome/{token}/").status_code == 410


def test_only_a_hash_of_the_token_is_kept(people):
    token = links.issue(people.alice, SIGN_IN)
    assert token not in json.dumps(list(SignInLink.objects.values()), default=str)


def test_an_old_link_sends_a_new_mail_once_a_minute_and_says_the_same_to_everybody(customer, mailed):
    SignInLink.objects.update(expires_at=timezone.now())
    page = Client().get(mailed)
    assert page.status_code == 410 and f"{mailed}again/".encode() in page.content
    Mail.objects.update(state="done", queued_at=timezone.now() - timedelta(hours=1))
    replies = [Client().post(f"{mailed}again/") for _ in range(3)] + [Client().post("/welcome/nonsense/again/")]
    assert {reply.status_code for reply in replies} == {200}
    assert len({re.sub(rb'"X-CSRFToken": "[^"]+"', b"", reply.content) for reply in replies}) == 1
    assert Mail.objects.filter(state="queued").count() == 1


def test_somebody_with_a_password_gets_no_further_set_password_mail(customer, mailed):
    Client().post(mailed, {"password": PASSWORD})
    Mail.objects.update(state="done", queued_at=timezone.now() - timedelta(hours=1))
    Client().post(f"{mailed}again/")
    assert Mail.objects.count() == 1


def test_a_first_password_of_somebody_who_belongs_elsewhere_too_opens_that_one_customer_only(customer, mailed):
    elsewhere = MembershipFactory(user=User.objects.get()).customer
    browser = Client()
    browser.post(mailed, {"password": PASSWORD})
    assert browser.session[DOOR] == str(customer.pk) != str(elsewhere.pk)


class TestSigningInByLink:
    def test_a_link_of_staff_opens_all_of_the_persons_customers_and_leads_where_it_says(self, people):
        token = links.issue(people.alice, SIGN_IN)
        browser = Client()
        assert browser.get(f"/in/{token}/?next=/accounts/").status_code == 200
        reply = browser.post(f"/in/{token}/?next=/accounts/")
        assert (reply.status_code, reply["Location"]) == (302, "/accounts/")
        assert DOOR not in browser.session

    def test_it_leads_nowhere_else(self, people):
        token = links.issue(people.alice, SIGN_IN)
        assert Client().post(f"/in/{token}/?next=https://evil.example/")["Location"] == "/servers/"

    def test_a_link_of_a_provider_opens_its_customer_only(self, people):
        other = MembershipFactory(user=people.alice).customer
        browser = Client()
        browser.post(f"/in/{links.issue(people.alice, SIGN_IN, people.customer)}/")
        assert browser.session[DOOR] == str(people.customer.pk)
        seen = Customer.objects.open_to(people.alice, browser.session[DOOR])
        assert list(seen) == [people.customer] != [other]

    @pytest.mark.parametrize(
        "path",
        [
            "/auth/password/set/",
            "/auth/password/change/",
            "/auth/email/",
            "/auth/2fa/",
            "/me/",
            "/invitations/",
            "/admin/",
        ],
    )
    def test_a_provider_cannot_take_a_person_over_through_it(self, people, path):
        people.alice.is_staff = people.alice.is_superuser = True
        people.alice.save()
        browser = Client()
        browser.post(f"/in/{links.issue(people.alice, SIGN_IN, people.customer)}/")
        for ask in (browser.get, browser.post):
            reply = ask(path)
            assert reply.status_code == 403
            assert b"sign-in" in reply.content
        assert browser.post("/auth/logout/").status_code == 302

    def test_the_persons_own_sign_in_afterwards_sees_everything(self, people):
        people.alice.set_password(PASSWORD)
        people.alice.save()
        browser = Client()
        browser.post(f"/in/{links.issue(people.alice, SIGN_IN, people.customer)}/")
        browser.post("/auth/logout/")
        browser.post("/auth/login/", {"login": "alice@example.com", "password": PASSWORD})
        assert browser.session["_auth_user_id"] == str(people.alice.pk)
        assert DOOR not in browser.session

    def test_somebody_else_who_was_signed_in_is_signed_out_first(self, people):
        browser = people.browser(people.charlie)
        browser.post(f"/in/{links.issue(people.alice, SIGN_IN)}/")
        assert browser.session["_auth_user_id"] == str(people.alice.pk)

    def test_a_second_factor_is_asked_for_and_the_door_holds_behind_it(self, people, settings):
        settings.MFA_TOTP_TOLERANCE = 1  # a code's time may end on its way
        secret = "JBSWY3DPEHPK3PXP"
        Authenticator.objects.create(
            user=people.alice, type=Authenticator.Type.TOTP, data={"secret": get_adapter().encrypt(secret)}
        )
        browser = Client()
        reply = browser.post(f"/in/{links.issue(people.alice, SIGN_IN, people.customer)}/")
        assert "2fa" in reply["Location"]
        assert "_auth_user_id" not in browser.session
        from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value, yield_hotp_counters_from_time

        code = format_hotp_value(hotp_value(secret, next(iter(yield_hotp_counters_from_time()))))
        browser.post(reply["Location"], {"code": code})
        assert browser.session["_auth_user_id"] == str(people.alice.pk)
        assert browser.session[DOOR] == str(people.customer.pk)


class TestInvitations:
    @pytest.fixture
    def invitation(self, people):
        return MembershipFactory(customer=people.elsewhere, user=people.alice, accepted_at=None)

    @pytest.fixture
    def mailed(self, people, invitation):
        """The path of the link in the invitation's mail, as the worker renders it."""
        body = mail.compose(mail.queue(people.elsewhere, invitation)).body
        return re.search(r"http://127\.0\.0\.1:8000(/invitations/join/\S+)", body).group(1)

    def test_accepting_by_the_mailed_link_opens_the_customer(self, people, mailed):
        assert Client().get(mailed)["Location"].startswith("/auth/login/?next=/invitations/join/")
        browser = people.browser(people.alice)
        page = browser.get(mailed)
        assert b"Elsewhere" in page.content and page["Cache-Control"] == "no-store"
        assert people.elsewhere not in Customer.objects.open_to(people.alice)  # looking accepts nothing
        assert browser.post(mailed)["Location"] == "/servers/"
        assert people.elsewhere in Customer.objects.open_to(people.alice)
        assert browser.get(mailed)["Location"] == browser.post(mailed)["Location"] == "/servers/"
        assert AuditEntry.objects.get(verb="invitation.accepted").customer_id == people.elsewhere.pk

    def test_a_sign_in_alone_does_not_accept_it_but_has_the_mail_sent_again(self, people, invitation):
        browser = people.browser(people.alice)
        page = browser.get("/invitations/").content
        assert b"Elsewhere" in page and b"The link in the mail" in page and b'value="accept"' not in page
        for answer in ("accept", "again", "again"):
            reply = browser.post(f"/invitations/{invitation.pk}/", {"answer": answer})
            assert reply["Location"] == "/invitations/"
        assert people.elsewhere not in Customer.objects.open_to(people.alice)
        assert Mail.objects.get().to == people.alice.email  # once a minute
        assert b"its link accepts the invitation" in browser.get("/invitations/").content

    def test_a_link_that_is_somebody_elses_or_withdrawn_or_too_old_accepts_nothing(
        self, people, invitation, mailed, monkeypatch
    ):
        for person in (people.bob, people.charlie):
            browser = people.browser(person)
            assert browser.get(mailed).status_code == browser.post(mailed).status_code == 404
        monkeypatch.setattr(links, "_ACCEPTABLE", timedelta(seconds=-1))
        assert people.browser(people.alice).post(mailed).status_code == 404
        monkeypatch.undo()
        assert people.browser(people.alice).post(f"{mailed[:-3]}xy/").status_code == 404
        Customer.objects.filter(pk=people.elsewhere.pk).update(status="closed")
        assert people.browser(people.alice).post(mailed).status_code == 404
        Customer.objects.filter(pk=people.elsewhere.pk).update(status="active")
        people.browser(people.alice).post(f"/invitations/{invitation.pk}/", {"answer": "decline"})
        assert people.browser(people.alice).post(mailed).status_code == 404
        assert not Membership.objects.filter(customer=people.elsewhere, user=people.alice).exists()

    def test_a_link_of_a_provider_member_is_none_of_a_customers(self, people, invitation):
        stray = signing.dumps(str(invitation.pk), salt="provider.member")
        assert people.browser(people.alice).post(f"/invitations/join/{stray}/").status_code == 404

    def test_declining_ends_it(self, people, invitation):
        people.browser(people.alice).post(f"/invitations/{invitation.pk}/", {"answer": "decline"})
        assert not Membership.objects.filter(pk=invitation.pk).exists()

    def test_nobody_answers_for_somebody_else(self, people, invitation):
        for person in (people.bob, people.charlie):
            for answer in ("accept", "decline", "again"):
                people.browser(person).post(f"/invitations/{invitation.pk}/", {"answer": answer})
        assert not Mail.objects.exists()
        invitation.refresh_from_db()
        assert invitation.accepted_at is None
        assert Client().get("/invitations/").status_code == 302

    def test_an_invitation_of_a_closed_customer_is_over(self, people, invitation):
        Customer.objects.filter(pk=people.elsewhere.pk).update(status="closed")
        browser = people.browser(people.alice)
        assert b"Elsewhere" not in browser.get("/invitations/").content
        browser.post(f"/invitations/{invitation.pk}/", {"answer": "again"})
        assert not Mail.objects.exists()
        invitation.refresh_from_db()
        assert invitation.accepted_at is None


def test_no_cache_keeps_a_link_page_and_no_other_site_is_told_its_address(customer, mailed, people):
    for path in (mailed, f"/in/{links.issue(people.alice, SIGN_IN)}/", "/welcome/unknown/", "/in/unknown/"):
        reply = Client().get(path)
        assert reply["Cache-Control"] == "no-store"
        assert reply["Referrer-Policy"] == "strict-origin"


def test_no_log_line_holds_a_token(customer, mailed, people):
    tokens = [mailed.split("/")[2], links.issue(people.alice, SIGN_IN)]
    heard, handler = io.StringIO(), logging.StreamHandler()
    handler.setStream(heard)
    ours = next(known for known in logging.getLogger().handlers if type(known) is logging.StreamHandler)
    handler.setFormatter(ours.formatter)
    logging.getLogger().addHandler(handler)
    Client().get(mailed)
    Client().post(mailed, {"password": PASSWORD})
    Client().get(mailed)  # 410: Django logs the path of refused requests by itself
    Client().post(f"/in/{tokens[1]}/")
    logging.getLogger().removeHandler(handler)
    said = heard.getvalue()
    assert "[redacted]" in said
    for token in tokens:
        assert token not in said


def test_a_customer_of_no_provider_can_have_links_too(db):
    customer = CustomerFactory(provider=None, external_id="")
    person = MembershipFactory(customer=customer, accepted_at=None).user
    person.set_unusable_password()
    person.save()
    reply = Client().get(f"/welcome/{links.issue(person, SET, customer)}/")
    assert reply.status_code == 200
