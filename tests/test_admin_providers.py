"""Staff run providers: limits, effects seen before they happen, the API log, identity servers, members, health."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from allauth.socialaccount.models import SocialAccount
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from accounts.models import CloudAccount, Import, ImportLine, SyncRun
from console.lib import audit
from console.lib.denials import Wrong
from console.models import AuditEntry
from console.portal import providerhealth
from providers import enabling, identity, keys, legacy, quotas, webhooks
from providers.models import ApiCall, Delivery, IdentityServer, Mail, ProviderMember, Webhook
from servers.agents.models import Agent
from tests.factories import AccountFactory, CustomerFactory, ProviderFactory, ServerFactory, UserFactory
from tests.identity_server import identity_server
from tests.pages import text

SECRET = "client-secret-of-north"


@pytest.fixture
def staff(db):
    return UserFactory(email="boss@example.com", is_staff=True, is_superuser=True)


@pytest.fixture
def browser(people, staff):
    return people.browser(staff)


@pytest.fixture
def north(db):
    return ProviderFactory(slug="north", name="North Cloud")


def deed(row, name):
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_{name}", args=[row.pk])


def said(reply):
    return text(reply)


class TestLimits:
    FORM = {"max_customers": "10", "max_servers": "", "max_agents": "0", "calls_per_minute": "120"}

    def test_they_are_set_by_a_deed_and_noted_with_before_and_after(self, browser, staff, north):
        assert browser.post(deed(north, "set_limits"), self.FORM).status_code == 302
        north.refresh_from_db()
        assert [getattr(north, name) for name in quotas.FIELDS] == [10, None, 0, 120]
        entry = AuditEntry.objects.get(verb="provider.limits_set")
        assert (entry.actor_kind, entry.actor_name) == ("staff", staff.email)
        assert entry.detail == {"max_customers": [None, 10], "max_agents": [None, 0], "calls_per_minute": [600, 120]}

    def test_the_same_again_is_no_change(self, browser, north):
        for _ in range(2):
            browser.post(deed(north, "set_limits"), self.FORM)
        assert AuditEntry.objects.filter(verb="provider.limits_set").count() == 1

    def test_the_form_shows_what_stands_and_the_provider_page_too(self, browser, north):
        quotas.put(north, {"max_customers": 4711}, audit.SYSTEM)
        assert b'value="4711"' in browser.get(deed(north, "set_limits")).content
        assert "4711" in said(browser.get(deed(north, "change")))

    @pytest.mark.parametrize(
        "change",
        [
            {"max_customers": "-1"},
            {"calls_per_minute": ""},
            {"calls_per_minute": "0"},
            {"max_agents": "9" * 11},
            {"max_servers": "many"},
        ],
    )
    def test_a_wrong_number_is_refused_at_its_field(self, browser, north, change):
        page = browser.post(deed(north, "set_limits"), {**self.FORM, **change})
        assert page.status_code == 200
        assert not AuditEntry.objects.filter(verb="provider.limits_set").exists()

    @pytest.mark.parametrize("limits", [{"max_customers": -1}, {"calls_per_minute": None}, {"slug": 3}])
    def test_the_deed_holds_them_too(self, north, limits):
        with pytest.raises(Wrong):
            quotas.put(north, limits, audit.SYSTEM)

    def test_the_plain_form_of_the_provider_does_not_change_them(self, browser, north):
        browser.post(deed(north, "change"), {"name": "North", "slug": "north", "max_customers": "3"})
        north.refresh_from_db()
        assert north.max_customers is None


class TestTurning:
    def test_what_a_suspension_would_stop_is_counted_before(self, browser, people):
        provider = people.customer.provider
        people.account.sealed = "v1:x"
        people.account.save()
        SyncRun.objects.create(account=people.account)
        for _ in range(2):
            keys.issue(provider, actor=audit.SYSTEM)
        keys.issue(provider, actor=audit.SYSTEM, expires_at=timezone.now() - timedelta(minutes=1))  # opens nothing
        webhooks.add(provider, "http://127.0.0.1:9/", [], audit.SYSTEM)
        page = said(browser.get(deed(provider, "suspend")))
        for words in ("1 customer sees what was read last", "2 keys get 403", "1 webhook hears of no new reading",
                      "1 cloud account is read no more", "1 sync waits and will read nothing"):  # fmt: skip
            assert words in page
        provider.refresh_from_db()
        assert provider.status == "enabled"

    def test_and_what_enabling_would_start(self, browser, people):
        provider = people.customer.provider
        enabling.suspend(provider, audit.SYSTEM)
        page = said(browser.get(deed(provider, "enable")))
        assert "0 keys open the API" in page and "1 customer sees fresh servers" in page

    def test_nothing_is_said_to_happen_when_nothing_would(self, browser, north):
        assert "North Cloud is enabled already" in said(browser.get(deed(north, "enable")))

    def test_counting_costs_the_same_for_a_big_provider(self, browser, people):
        provider = people.customer.provider
        browser.get(deed(provider, "suspend"))
        with CaptureQueriesContext(
            connection,
        ) as few:
            browser.get(deed(provider, "suspend"))
        for _ in range(5):
            AccountFactory(customer=CustomerFactory(provider=provider), endpoint=people.account.endpoint)
            keys.issue(provider, actor=audit.SYSTEM)
        with CaptureQueriesContext(connection) as many:
            browser.get(deed(provider, "suspend"))
        assert len(many) == len(few)


class TestKeys:
    def test_a_key_is_rotated_and_both_are_live(self, browser, north):
        key, text_of_old = keys.issue(north, actor=audit.SYSTEM, scopes=["customers:read"])
        assert browser.get(deed(key, "rotate")).status_code == 200
        page = browser.post(deed(key, "rotate"), {"days": 3})
        [new] = re.findall(r"mst_live_\w+_[\w-]+", page.content.decode())
        assert "no-store" in page["Cache-Control"]
        assert keys.find(new).scopes == ["customers:read"]
        assert keys.find(text_of_old)
        key.refresh_from_db()
        assert key.expires_at < timezone.now() + timedelta(days=3, minutes=1)

    def test_what_cannot_be_rotated_says_why(self, browser, north):
        key, _ = keys.issue(north, actor=audit.SYSTEM)
        keys.revoke(key, audit.SYSTEM)
        page = browser.post(deed(key, "rotate"), {"days": 3})
        assert "This key is not live" in said(page)


class TestLegacyCalls:
    def test_on_shows_key_and_secret_once_and_off_ends_them(self, browser, north):
        assert browser.get(deed(north, "legacy_on")).status_code == 200
        north.refresh_from_db()
        assert not north.legacy_calls
        page = browser.post(deed(north, "legacy_on"))
        assert "no-store" in page["Cache-Control"]
        key, secret = re.findall(r'readonly value="([^"]+)"', page.content.decode())
        assert legacy.find(key, legacy.hashed(secret)) == north
        for path in (deed(north, "change"), deed(north, "legacy_on")):
            assert secret not in browser.get(path).content.decode()
        assert secret not in str(list(AuditEntry.objects.values()))
        browser.post(deed(north, "legacy_off"))
        assert legacy.find(key, legacy.hashed(secret)) is None


class TestApiLog:
    @pytest.fixture
    def calls(self, north):
        return [
            ApiCall.objects.create(
                provider=north, request_id=f"req-{number}", key_name="mst_live_a_…", method="GET",
                path=f"/api/provider/v1/customers/c-{number}", status=status, milliseconds=3,
            )
            for number, status in enumerate((200, 404, 500))
        ]  # fmt: skip

    def test_it_is_found_by_its_request_id_and_by_no_part_of_it(self, browser, calls):
        where = reverse("admin:providers_apicall_changelist")
        assert "c-1" in said(browser.get(where, {"q": "req-1"}))
        found = said(browser.get(where, {"q": "req-1"}))
        assert "c-0" not in found and "c-2" not in found
        assert "c-1" not in said(browser.get(where, {"q": "req"}))

    @pytest.mark.parametrize(("first", "shown"), [("2", "c-0"), ("4", "c-1"), ("5", "c-2")])
    def test_it_is_narrowed_by_how_it_went(self, browser, calls, first, shown):
        page = said(browser.get(reverse("admin:providers_apicall_changelist"), {"status": first}))
        assert [f"c-{number}" for number in range(3) if f"customers/c-{number}" in page] == [shown]

    def test_a_log_of_millions_is_not_counted(self, browser, calls):
        with CaptureQueriesContext(connection) as asked:
            browser.get(reverse("admin:providers_apicall_changelist"))
        counts = [one["sql"] for one in asked if "COUNT(*)" in one["sql"] and "providers_apicall" in one["sql"]]
        assert counts and all("LIMIT 10000" in sql for sql in counts)


@pytest.mark.filterwarnings("ignore::authlib.deprecate.AuthlibDeprecationWarning")
@pytest.mark.filterwarnings("ignore:get_jwt_config:DeprecationWarning")
class TestIdentityServers:
    @pytest.fixture
    def site(self, settings):
        settings.DEMO_NETWORKS = ["127.0.0.0/8"]
        cache.clear()
        with identity_server() as made:
            yield made

    def form(self, site, **change):
        return {"issuer": site.url, "client_id": "muster", "secret": SECRET, "customer_claim": "sub", **change}

    def test_it_is_set_enabled_disabled_and_removed_and_its_secret_is_never_shown(self, browser, north, site):
        reply = browser.post(deed(north, "set_identity"), self.form(site))
        row = IdentityServer.objects.get()
        assert reply["Location"] == deed(row, "change")
        assert (row.enabled, identity.secret_of(row)) == (False, SECRET)
        browser.post(deed(row, "enable"))
        row.refresh_from_db()
        assert row.enabled
        for path in (deed(row, "change"), deed(north, "set_identity"), deed(north, "change")):
            assert SECRET not in browser.get(path).content.decode()
        browser.post(deed(row, "disable"))
        row.refresh_from_db()
        assert not row.enabled
        assert browser.post(deed(row, "remove"))["Location"] == deed(north, "change")
        assert not IdentityServer.objects.exists() and not SocialAccount.objects.exists()
        assert AuditEntry.objects.filter(verb__startswith="identity_server.", actor_kind="staff").count() == 4

    def test_an_empty_secret_leaves_it_and_no_secret_takes_it_away(self, browser, north, site):
        browser.post(deed(north, "set_identity"), self.form(site))
        browser.post(deed(north, "set_identity"), self.form(site, secret="", client_id="other"))
        row = IdentityServer.objects.get()
        assert (row.client_id, identity.secret_of(row)) == ("other", SECRET)
        browser.post(deed(north, "set_identity"), self.form(site, secret="", no_secret="on"))
        assert identity.secret_of(IdentityServer.objects.get()) == ""

    def test_a_server_that_does_not_fit_is_refused_at_its_field(self, browser, north, site):
        site.description = lambda told: told | {"issuer": "https://evil.example"}
        page = browser.post(deed(north, "set_identity"), self.form(site))
        assert page.status_code == 200
        assert "says that its issuer is https://evil.example" in said(page)
        assert not IdentityServer.objects.exists()


class TestMembers:
    def test_staff_invite_one_change_the_role_and_remove(self, browser, north):
        browser.post(deed(north, "invite"), {"email": "ada@north.example", "role": "viewer"})
        member = ProviderMember.objects.get()
        assert (member.user.email, member.role, member.accepted_at) == ("ada@north.example", "viewer", None)
        assert Mail.objects.get().kind == "member"
        browser.post(deed(member, "change_role"), {"role": "admin"})
        member.refresh_from_db()
        assert member.role == "admin"
        browser.post(deed(member, "mail_again"))
        browser.post(deed(member, "remove"))
        assert not ProviderMember.objects.exists()

    def test_the_same_person_twice_is_told_at_the_form(self, browser, north):
        for _ in range(2):
            page = browser.post(deed(north, "invite"), {"email": "ada@north.example", "role": "viewer"})
        assert "belongs to North Cloud already" in said(page)


class TestWebhooks:
    def test_a_test_is_sent_it_is_turned_off_and_on_and_an_event_goes_again(self, browser, north):
        hook, _ = webhooks.add(north, "http://127.0.0.1:9/", [], audit.SYSTEM)
        browser.post(deed(hook, "ping"))
        delivery = Delivery.objects.get()
        Delivery.objects.update(state="failed", ended_at=timezone.now())
        browser.post(deed(delivery, "send_again"))
        assert Delivery.objects.filter(event=delivery.event).count() == 2
        browser.post(deed(hook, "turn_off"))
        hook.refresh_from_db()
        assert not hook.enabled
        page = browser.post(deed(hook, "ping"), follow=True)
        assert Delivery.objects.count() == 2 and "off" in said(page)
        browser.post(deed(hook, "turn_on"))
        hook.refresh_from_db()
        assert hook.enabled


@pytest.mark.parametrize(("fields", "tone"), [
    ({"state": "done"}, "running"), ({"state": "done", "bounced_at": timezone.now()}, "failed"),
    ({"state": "canceled"}, "failed"), ({"state": "queued"}, "changing"),
])  # fmt: skip
def test_a_mail_that_came_back_is_not_green_though_the_mail_server_took_it(fields, tone):
    assert Mail(kind="welcome", to="a@b.example", **fields).tone == tone


class TestHealth:
    def of(self, provider):
        return providerhealth.of([provider])[0]

    @pytest.fixture
    def north(self, people):
        return people.customer.provider

    def test_a_calm_provider_is_well(self, people, north):
        CloudAccount.objects.update(status="ok", last_sync_at=timezone.now())
        health = self.of(north)
        assert (health.tone, health.word, health.customers, health.accounts) == ("running", "Well", 1, {"ok": 1})

    def test_it_counts_what_is_wrong_and_whose(self, people, north):
        old = timezone.now() - timedelta(hours=3)
        CloudAccount.objects.filter(pk=people.account.pk).update(status="ok", last_sync_at=old, server_count=3)
        AccountFactory(
            customer=people.customer, endpoint=people.account.endpoint, status="bad_credentials", status_reason="401"
        )
        AccountFactory(customer=people.elsewhere, status="unreachable")
        Mail.objects.all().delete()
        Mail.objects.create(customer=people.customer, to="a@example.com", kind="welcome", state="failed")
        Mail.objects.create(provider=north, to="b@example.com", kind="notice", state="queued")
        Mail.objects.create(customer=people.elsewhere, to="c@example.com", kind="welcome", state="failed")
        server = ServerFactory(account=people.account)
        Agent.objects.create(server=server, public_key="p" * 43, version="1", last_seen_at=old)
        webhooks.add(north, "http://127.0.0.1:9/a", [], audit.SYSTEM)
        webhooks.add(north, "http://127.0.0.1:9/b", [], audit.SYSTEM)
        Webhook.objects.filter(url__endswith="a").update(failing_since=old)
        Webhook.objects.filter(url__endswith="b").update(enabled=False, disabled_at=old)
        for status in (200, 404, 500):
            ApiCall.objects.create(provider=north, request_id="r", key_name="k", method="GET", path="/", status=status,
                                   milliseconds=1)  # fmt: skip
        health = self.of(north)
        assert health.accounts == {"ok": 1, "bad_credentials": 1}
        assert (health.unwell, health.stale, health.never, health.oldest, health.servers) == (1, 1, 1, old, 3)
        assert (health.mails, health.mails_lost, health.mails_waiting) == (2, 1, 1)
        assert (health.agents, health.agents_offline) == (1, 1)
        assert (health.webhooks, health.webhooks_failing, health.webhooks_off) == (2, 1, 1)
        assert (health.calls, health.calls_refused, health.calls_failed) == (3, 1, 1)
        assert health.tone == "failed"

    def test_the_table_puts_the_worst_first_and_each_leads_to_its_page(self, browser, people, north):
        broken = ProviderFactory(name="Zebra Cloud")
        ApiCall.objects.create(provider=broken, request_id="r", key_name="k", method="GET", path="/", status=500,
                               milliseconds=1)  # fmt: skip
        ProviderFactory(name="Asleep", status="suspended")
        page = browser.get(reverse("portal:providers-health"))
        assert page.status_code == 200
        names = re.findall(r"/admin/health/([0-9a-f-]{36})/", page.content.decode())
        assert names[0] == str(broken.pk)
        assert said(page).index("Zebra Cloud") < said(page).index("Asleep")

    def test_one_provider_shows_the_words_of_what_went_wrong(self, browser, people, north):
        AccountFactory(customer=people.customer, endpoint=people.account.endpoint, name="Essex", status="refused",
                       status_reason="Quota <exceeded>")  # fmt: skip
        Mail.objects.create(customer=people.customer, to="a@example.com", kind="welcome", state="failed",
                            outcome="550 No such person")  # fmt: skip
        page = browser.get(reverse("portal:provider-health", args=[north.pk]))
        for words in ("Essex of Orchard Ltd", "Quota <exceeded>", "550 No such person"):
            assert words in said(page)
        assert browser.get(deed(north, "health"))["Location"] == reverse("portal:provider-health", args=[north.pk])

    def test_only_staff_who_may_see_providers_open_them(self, people, north):
        paths = (reverse("portal:providers-health"), reverse("portal:provider-health", args=[north.pk]))
        clerk = UserFactory(is_staff=True)
        for path in paths:
            assert people.browser(people.alice).get(path).status_code == 302
            assert people.browser(clerk).get(path).status_code == 403
            assert people.browser(UserFactory(is_staff=True, is_superuser=True)).post(path).status_code == 405

    def test_many_providers_cost_as_many_reads_as_few(self, people, north):
        with CaptureQueriesContext(connection) as few:
            providerhealth.of([north])
        many_of_them = [ProviderFactory() for _ in range(6)]
        for provider in many_of_them:
            AccountFactory(customer=CustomerFactory(provider=provider))
        with CaptureQueriesContext(connection) as many:
            assert len(providerhealth.of(many_of_them)) == 6
        assert len(many) == len(few) <= 8

    def test_a_closed_customer_and_a_removed_account_count_no_more(self, people, north):
        CloudAccount.objects.filter(pk=people.account.pk).update(removed_at=timezone.now())
        gone = CustomerFactory(provider=north, status="closed")
        AccountFactory(customer=gone, endpoint=people.account.endpoint)
        health = self.of(north)
        assert (health.customers, health.total) == (1, 0)


def test_an_import_shows_its_lines(browser, north):
    batch = Import.objects.create(
        provider=north, form="csv", actor_kind="provider", actor_id="1", actor_name="k", total=1
    )
    ImportLine.objects.create(
        batch=batch, number=1, external_id="c-77", outcome="refused", errors={"email": ["Wrong."]}
    )
    page = said(browser.get(reverse("admin:accounts_import_change", args=[batch.pk])))
    assert "c-77" in page and "Wrong." in page
