"""The sandbox on the provider's own pages: alice and bob work at North, charlie at South."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.urls import reverse

from console.lib import audit
from console.lib.denials import Denied
from console.models import AuditEntry
from providers import members, sandbox, webhooks
from providers.models import Customer, Mail, Provider, ProviderKey, ProviderMember
from tests.desks import browser, member
from tests.factories import CustomerFactory, ProviderFactory, UserFactory
from tests.pages import text
from tests.receiver import receiving
from tests.sandbox.acts import deliver_mails, put

PAGES = ("overview", "customers", "keys", "webhooks", "calls", "mail", "brand")
ASKS = ("issue-key", "add-webhook", "reset-sandbox", "sandbox-mails")


@pytest.fixture
def alice(north):
    return member(north, "alice@north.example", "admin")


@pytest.fixture
def bob(north):
    return member(north, "bob@north.example", "viewer")


@pytest.fixture
def charlie(db):
    return member(ProviderFactory(slug="south", name="South Host"), "charlie@south.example", "admin")


@pytest.fixture
def twin(north):
    return sandbox.twin(north)


def at(name, *args, slug="north-sandbox"):
    return reverse(f"provider:{name}", args=[slug, *args])


class TestGettingThere:
    def test_the_first_one_who_wants_it_makes_it(self, north, alice, bob):
        assert "There is no sandbox yet" in text(browser(alice).get(at("sandbox", slug="north")))
        assert browser(bob).get(at("sandbox", slug="north")).status_code == 200
        assert browser(bob).post(at("sandbox", slug="north")).status_code == 403
        assert not Provider.objects.filter(sandbox_of=north).exists()
        assert browser(alice).post(at("sandbox", slug="north"))["Location"] == at("overview")
        assert browser(bob).get(at("sandbox", slug="north"))["Location"] == at("overview")
        assert browser(alice).post(at("sandbox", slug="north"))["Location"] == at("overview")
        assert AuditEntry.objects.filter(verb="provider.sandbox_made").count() == 1

    def test_a_switch_leads_there_and_back(self, twin, alice):
        live, there = (browser(alice).get(at("overview", slug=slug)) for slug in ("north", "north-sandbox"))
        assert f'<a href="{at("sandbox", slug="north")}">Sandbox</a>' in live.content.decode()
        assert f'<a href="{at("overview", slug="north")}">Live</a>' in there.content.decode()
        assert "Sandbox. Simulated clouds" in text(there) and "Simulated clouds" not in text(live)

    def test_without_simulated_clouds_there_is_no_switch(self, north, alice, settings):
        settings.SANDBOX = False
        assert "Live or sandbox" not in browser(alice).get(at("overview", slug="north")).content.decode()
        assert browser(alice).get(at("sandbox", slug="north")).status_code == 404


class TestWhoMay:
    @pytest.mark.parametrize("name", [*PAGES, *ASKS])
    def test_members_of_the_owner_as_they_may_at_home_and_nobody_else(self, twin, alice, bob, charlie, name):
        asked = {person: one.get(at(name)).status_code for person, one in (
            ("alice", browser(alice)), ("bob", browser(bob)), ("charlie", browser(charlie)),
            ("renter", browser(UserFactory())), ("staff", browser(UserFactory(is_staff=True, is_superuser=True))),
            ("nobody", Client()))}  # fmt: skip
        assert asked == {"alice": 200, "bob": 403 if name in ASKS else 200, "charlie": 404, "renter": 404,
                         "staff": 404, "nobody": 302}  # fmt: skip

    def test_who_was_removed_or_never_said_yes_is_out_of_both(self, north, twin, alice, bob):
        waiting = UserFactory()
        ProviderMember.objects.create(provider=north, user=waiting, role="admin")
        members.remove(ProviderMember.objects.get(user=bob), audit.SYSTEM)
        for person in (waiting, bob):
            assert browser(person).get(at("overview")).status_code == 404

    def test_it_has_no_members_of_its_own(self, twin, alice):
        assert browser(alice).get(at("members")).status_code == 404
        assert browser(alice).post(at("members"), {"email": "x@y.example", "role": "admin"}).status_code == 404
        assert at("members") not in browser(alice).get(at("overview")).content.decode()
        with pytest.raises(Denied) as denied:
            members.add(twin, "x@y.example", "admin", audit.SYSTEM)
        assert "Invite the person to North Cloud" in denied.value.words

    def test_a_viewer_reads_who_of_the_owner_can_act(self, twin, alice, bob):
        page = text(browser(bob).get(at("reset-sandbox")))
        assert "Only administrators of North Cloud can do this. Ask alice@north.example." in page

    def test_neither_side_finds_the_others_rows(self, north, twin, alice):
        live, trial = CustomerFactory(provider=north, external_id="real"), CustomerFactory(provider=twin)
        inside = browser(alice)
        assert inside.get(at("customer", trial.pk)).status_code == 200
        assert inside.get(at("customer", live.pk)).status_code == 404
        assert inside.get(at("customer", trial.pk, slug="north")).status_code == 404
        assert inside.get(at("customer", live.pk, slug="north")).status_code == 200

    def test_the_sandbox_is_named_after_its_owner_whatever_that_is_called_now(self, north, twin, alice):
        north.name, north.status = "Northern Sky", "suspended"
        north.save()
        page = text(browser(alice).get(at("overview")))
        assert "Northern Sky (sandbox) is suspended" in page


class TestWhatIsThere:
    def test_customers_calls_webhooks_and_keys_of_the_sandbox(self, test, live, alice):
        put(live, "live-1", organization="Live Ltd"), put(test, "test-1", organization="Trial Ltd")
        inside = browser(alice)
        assert "Trial Ltd" in text(inside.get(at("customers"))) and "Live Ltd" not in text(inside.get(at("customers")))
        assert "customers/test-1" in text(inside.get(at("calls"))) and "live-1" not in text(inside.get(at("calls")))
        test_key, live_key = test.key.prefix, live.key.prefix
        for slug, here, away in (("north-sandbox", test_key, live_key), ("north", live_key, test_key)):
            page = text(inside.get(at("keys", slug=slug)))
            assert here in page and away not in page
        assert inside.get(at("revoke-key", live.key.pk)).status_code == 404
        assert inside.get(at("revoke-key", test.key.pk)).status_code == 200

    def test_a_key_issued_there_acts_there(self, north, twin, alice):
        page = browser(alice).post(at("issue-key"), {"name": "Trial"})
        [shown] = set(re.findall(r"mst_test_[a-z0-9]{12}_[\w-]{43}", page.content.decode()))
        key = ProviderKey.objects.get()
        assert (key.provider, key.sandbox) == (north, True)
        told = Client().get("/api/provider/v1/sandbox", headers={"Authorization": f"Bearer {shown}"}).json()
        assert told["provider"] == "North Cloud (sandbox)"
        browser(alice).post(at("issue-key", slug="north"), {"name": "Real", "sandbox": "on"})
        assert not ProviderKey.objects.get(name="Real").sandbox

    def test_a_webhook_added_there_is_told_what_happens_there(self, test, twin, alice):
        with receiving() as site:
            browser(alice).post(at("add-webhook"), {"url": site.url})
            assert webhooks.ping(twin.webhooks.get(), audit.SYSTEM)
            page = browser(alice).get(at("webhook", twin.webhooks.get().pk))
        assert "ping" in text(page)

    def test_the_credentials_to_push_stand_on_its_first_page_alone(self, twin, alice):
        page = text(browser(alice).get(at("overview")))
        assert "passes ok They pass, and the account has servers. wrong bad_credentials" in page
        assert "forbidden refused The cloud knows them, and refuses what we ask. Not at vcloud." in page
        assert "slow ok They pass after some seconds, in which the account is pending. At openstack alone." in page
        assert "Credentials to push" not in text(browser(alice).get(at("overview", slug="north")))

    def test_kept_mails_stand_with_their_links(self, test, twin, alice):
        assert "No mail was kept yet" in text(browser(alice).get(at("sandbox-mails")))
        put(test)
        deliver_mails()
        page = browser(alice).get(at("sandbox-mails"))
        [link] = set(re.findall(r'data-copy="http://127.0.0.1:8000(/welcome/\S+?/)"', page.content.decode()))
        assert Client().get(link).status_code == 200
        assert "no-store" in page["Cache-Control"]


class TestReset:
    def test_it_asks_first_and_then_says_what_went(self, test, live, north, twin, alice):
        put(live, "real"), put(test, "one"), put(test, "two")
        page = browser(alice).get(at("reset-sandbox"))
        assert "btn-danger" in page.content.decode()
        assert re.search(r"Customers with all that is theirs\s+2", text(page))
        done = browser(alice).post(at("reset-sandbox"), follow=True)
        assert "The sandbox is empty: 2 customers" in text(done)
        assert [one.external_id for one in Customer.objects.all()] == ["real"]
        assert Mail.objects.count() == 1
        assert AuditEntry.objects.get(verb="provider.sandbox_reset").actor_name == alice.email
        again = browser(alice).post(at("reset-sandbox"), follow=True)
        assert "The sandbox was empty already" in text(again)

    def test_the_live_side_cannot_be_reset(self, north, alice):
        CustomerFactory(provider=north)
        assert browser(alice).post(at("reset-sandbox", slug="north")).status_code == 404
        assert Customer.objects.count() == 1
