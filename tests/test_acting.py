"""Staff act for a customer: under their own name, for a while, with a reason that the customer reads."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console.lib import audit
from console.lib.denials import Denied, Wrong
from console.models import AuditEntry
from providers import acting, customers
from providers.models import ActingFor
from providers.scope import DOOR, customers_in
from servers.actions.models import ActionBatch
from tests.factories import AccountFactory, CustomerFactory, MembershipFactory, ServerFactory, UserFactory
from tests.pages import text

WHY = "Ticket 4711: the list stays empty"


@pytest.fixture
def boss(db):
    return UserFactory(email="boss@muster.example", is_staff=True, is_superuser=True)


@pytest.fixture
def browser(people, boss):
    """A member of staff's browser that acts for alice's customer."""
    made = people.browser(boss)
    reply = made.post(act(people.customer), {"reason": WHY, "minutes": 30})
    assert (reply.status_code, reply["Location"]) == (302, "/servers/")
    return made


def act(customer):
    return reverse("admin:providers_customer_act_for", args=[customer.pk])


def over():
    ActingFor.objects.update(ends_at=timezone.now() - timedelta(seconds=1))


class TestBeginning:
    def test_a_form_asks_for_the_reason_and_the_time_and_a_get_begins_nothing(self, people, boss):
        page = people.browser(boss).get(act(people.customer))
        assert page.status_code == 200
        assert b'name="reason"' in page.content and b'name="minutes"' in page.content
        assert not ActingFor.objects.exists()

    @pytest.mark.parametrize(
        ("given", "words"),
        [
            ({"reason": "", "minutes": 30}, "required"),
            ({"reason": "because", "minutes": 30}, "10 to 500 characters"),
            ({"reason": " . " * 9, "minutes": 61}, "less than or equal to 60"),
            ({"reason": WHY, "minutes": 0}, "greater than or equal to 1"),
            ({"reason": WHY}, "required"),
        ],
    )
    def test_without_a_reason_or_with_no_end_it_does_not_begin(self, people, boss, given, words):
        browser = people.browser(boss)
        page = browser.post(act(people.customer), given)
        assert page.status_code == 200
        assert words in text(page)
        assert acting.ACTING not in browser.session
        assert not ActingFor.objects.exists()

    @pytest.mark.parametrize("minutes", [0, -5, 61, 10**9])
    def test_the_deed_holds_the_limit_too(self, people, boss, minutes):
        with pytest.raises(Wrong):
            acting.begin(people.customer, boss, WHY, minutes, audit.Actor.staff(boss))

    def test_it_wants_the_right(self, people):
        clerk = UserFactory(is_staff=True)
        clerk.user_permissions.add(*Permission.objects.filter(codename__in=("view_customer", "change_customer")))
        assert people.browser(clerk).post(act(people.customer), {"reason": WHY, "minutes": 5}).status_code == 403
        with pytest.raises(Denied):
            acting.begin(people.customer, clerk, WHY, 5, audit.SYSTEM)
        with pytest.raises(Denied):
            acting.begin(people.customer, people.charlie, WHY, 5, audit.SYSTEM)
        clerk.user_permissions.add(Permission.objects.get(codename="add_actingfor"))
        assert people.browser(clerk).post(act(people.customer), {"reason": WHY, "minutes": 5}).status_code == 302

    def test_nobody_acts_for_a_closed_customer(self, people, boss):
        customers.close(people.customer, audit.SYSTEM)
        page = people.browser(boss).post(act(people.customer), {"reason": WHY, "minutes": 5})
        assert "closed" in text(page)
        assert not ActingFor.objects.exists()

    def test_another_customer_ends_the_one_before(self, people, browser, boss):
        browser.post(act(people.elsewhere), {"reason": WHY, "minutes": 30})
        assert ActingFor.objects.get(customer=people.customer).ended_at
        assert ActingFor.objects.get(customer=people.elsewhere).ended_at is None


class TestMeanwhile:
    def test_every_page_says_so(self, people, browser):
        server = ServerFactory(account=people.account)
        for path in ("/servers/", f"/servers/{server.pk}/", "/accounts/", "/activity/", "/installs/new"):
            page = browser.get(path)
            assert page.status_code == 200, path
            assert "You act for Orchard Ltd until" in text(page)
            assert f"Reason: {WHY}" in text(page)
            assert b'action="/acting/stop"' in page.content

    def test_they_see_that_customer_and_not_their_own(self, people, browser, boss):
        ServerFactory(account=people.account, name="orchard-1")
        own = MembershipFactory(customer=CustomerFactory(), user=boss).customer
        mine = ServerFactory(account=AccountFactory(customer=own), name="own-1")
        theirs = ServerFactory(account=AccountFactory(customer=people.elsewhere), name="elsewhere-1")
        page = browser.get("/servers/").content
        assert b"orchard-1" in page
        assert b"own-1" not in page and b"elsewhere-1" not in page
        for hidden in (mine, theirs):
            assert browser.get(f"/servers/{hidden.pk}/").status_code == 404
        assert [one.pk for one in customers_in(boss, browser.session)] == [people.customer.pk]

    def test_what_they_do_is_noted_under_both_names_with_the_reason(self, people, browser, boss):
        people.account.close_pending({"username": "a", "password": "b", "project": "c"}, 1)
        people.account.save()
        assert browser.post(reverse("accounts:sync", args=[people.account.pk])).status_code == 302
        entry = AuditEntry.objects.get(verb="account.sync_asked")
        assert (entry.actor_kind, entry.actor_id, entry.actor_name) == ("staff", str(boss.pk), boss.email)
        assert entry.on_behalf_of == "Orchard Ltd"
        assert entry.detail["reason"] == WHY

    def test_an_action_on_servers_too(self, people, browser, boss):
        people.account.generation = "modern"
        people.account.sealed = "v1:x"
        people.account.save()
        server = ServerFactory(account=people.account)
        browser.post("/actions/new", {"kind": "stop", "targets": str(server.pk)})
        assert ActionBatch.objects.get().by == boss
        entry = AuditEntry.objects.get(verb="action.started")
        assert (entry.actor_name, entry.on_behalf_of) == (boss.email, "Orchard Ltd")

    def test_the_customer_reads_who_and_why(self, people, browser, boss):
        page = text(people.browser(people.alice).get("/activity/"))
        assert "Staff began to act for" in page
        assert boss.email in page and WHY in page
        assert WHY not in text(people.browser(people.charlie).get("/activity/"))

    def test_how_people_sign_in_their_tokens_and_invitations_are_closed(self, people, browser):
        for path in ("/me/", "/me/tokens/", "/auth/password/change/", "/auth/2fa/", "/auth/email/", "/invitations/",
                     "/provider/", "/auth/sessions/"):  # fmt: skip
            for method in ("get", "post"):
                page = getattr(browser, method)(path)
                assert page.status_code == 403, path
                assert "Closed while you act for Orchard Ltd" in text(page)

    def test_their_own_staff_pages_stay_open_and_are_noted_as_their_own(self, people, browser, boss):
        assert browser.get("/admin/").status_code == 200
        browser.post(reverse("admin:accounts_cloudaccount_sync_now", args=[people.account.pk]))
        browser.post(reverse("admin:providers_customer_suspend", args=[people.elsewhere.pk]))
        entry = AuditEntry.objects.get(verb="customer.suspended")
        assert (entry.actor_name, entry.on_behalf_of) == (boss.email, "")

    def test_the_customers_own_people_act_as_before(self, people, browser):
        page = people.browser(people.alice).get("/servers/")
        assert "You act for" not in text(page)
        assert people.browser(people.alice).get("/me/").status_code == 200

    def test_the_activity_holds_no_sign_ins_of_staff(self, people, browser, boss):
        audit.note(audit.Actor.of(boss), "person.signed_in", target=boss)
        assert "Signed in" not in text(browser.get("/activity/"))


class TestEnding:
    def test_by_a_press(self, people, browser, boss):
        reply = browser.post("/acting/stop")
        assert reply["Location"] == reverse("admin:providers_customer_change", args=[people.customer.pk])
        assert not customers_in(boss, browser.session).exists()
        assert "You act for Orchard Ltd no longer." in text(browser.get("/servers/"))
        assert "You act for" not in text(browser.get("/servers/"))
        verbs = list(
            AuditEntry.objects.filter(customer_id=people.customer.pk).order_by("pk").values_list("verb", flat=True)
        )
        assert verbs == ["customer.acting_begun", "customer.acting_ended"]
        assert set(AuditEntry.objects.values_list("on_behalf_of", flat=True)) == {"Orchard Ltd"}

    def test_by_itself_when_the_time_is_over(self, people, browser, boss):
        server = ServerFactory(account=people.account)
        over()
        page = browser.get("/servers/")
        assert "Your time to act for the customer is over" in text(page)
        assert browser.get(f"/servers/{server.pk}/").status_code == 404
        assert acting.ACTING not in browser.session
        assert browser.get("/me/").status_code == 200

    def test_what_the_page_refetches_by_itself_does_not_use_the_notice_up(self, people, browser):
        over()
        browser.get("/servers/", headers={"HX-Request": "true"})
        assert "Your time to act for the customer is over" in text(browser.get("/servers/"))

    def test_a_deed_after_the_end_is_none(self, people, browser):
        over()
        assert browser.post(reverse("accounts:sync", args=[people.account.pk])).status_code == 404
        assert not AuditEntry.objects.filter(verb="account.sync_asked").exists()

    def test_who_is_staff_no_longer_acts_no_longer(self, people, browser, boss):
        boss.is_staff = boss.is_superuser = False
        boss.save()
        assert not customers_in(boss, browser.session).exists()
        assert "You act for" not in text(browser.get("/servers/"))

    def test_it_ends_with_the_customer(self, people, browser, boss):
        customers.close(people.customer, audit.SYSTEM)
        assert not customers_in(boss, browser.session).exists()

    def test_other_staff_can_stop_it(self, people, browser):
        other = people.browser(UserFactory(is_staff=True, is_superuser=True))
        other.post(reverse("admin:providers_actingfor_stop", args=[ActingFor.objects.get().pk]))
        assert "You act for" not in text(browser.get("/servers/"))

    def test_a_sign_in_acts_for_nobody(self, people, browser, boss):
        from django.test import RequestFactory

        from console.portal.doors import AccountAdapter

        request = RequestFactory().get("/")
        request.session = browser.session
        request.user = boss
        AccountAdapter(request).post_login(
            request, boss, email_verification="none", signal_kwargs={}, email="", signup=False, redirect_url="/"
        )
        assert acting.ACTING not in request.session

    def test_stopping_is_a_press_of_our_own_pages(self, people, boss):
        strict = Client(enforce_csrf_checks=True)
        strict.force_login(boss, backend="django.contrib.auth.backends.ModelBackend")
        assert strict.post("/acting/stop").status_code == 403
        assert strict.get("/acting/stop").status_code == 405
        assert Client().post("/acting/stop").status_code == 302

    def test_somebody_elses_session_key_opens_nothing(self, people, browser):
        thief = people.browser(people.charlie)
        session = thief.session
        session[acting.ACTING] = str(ActingFor.objects.get().pk)
        session.save()
        assert (
            not customers_in(people.charlie, {acting.ACTING: session[acting.ACTING]})
            .filter(pk=people.customer.pk)
            .exists()
        )
        assert "Orchard" not in text(thief.get("/servers/"))

    def test_nobody_is_signed_in_as_the_customers_person(self, people, browser, boss):
        assert browser.session["_auth_user_id"] == str(boss.pk)
        assert DOOR not in browser.session
