"""Staff pages: every one opens for staff and for nobody else, none shows a secret, and what they do deeds do."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import CloudAccount, CredentialPush, SyncRun
from console.lib import audit, seal
from console.models import AuditEntry, User
from providers import customers, keys, tokens, webhooks
from providers.models import ApiToken, CloudEndpoint, Customer, Mail, Membership, Provider, ProviderKey, SignInLink
from servers.actions import passwords
from servers.actions.models import Action, ActionBatch
from servers.agents.models import Agent, JoinToken
from servers.installs.models import HostKey, Install, InstallBatch, JumpHostKey
from servers.models import Server
from tests import staffrows
from tests.factories import AccountFactory, EndpointFactory, ProviderFactory, ServerFactory, UserFactory

SECRETS = ("correct horse", "battery staple")


@pytest.fixture
def staff(db):
    return UserFactory(email="boss@example.com", is_staff=True, is_superuser=True)


@pytest.fixture
def browser(people, staff):
    return people.browser(staff)


@pytest.fixture
def everything(people, staff):
    """A row of every kind, with secrets in it. Returns what must never be shown."""
    besides = staffrows.make(people.customer, staff)
    fields = {"email": "ada@example.com", "first_name": "Ada", "last_name": "B", "organization": "Engines"}
    customer = customers.put(people.customer.provider, "c-1", fields, audit.SYSTEM).customer
    webhook, webhook_secret = webhooks.add(customer.provider, "http://127.0.0.1:9/?key=receivers", [], audit.SYSTEM)
    webhook, newer_secret = webhooks.rotate_secret(webhook, audit.SYSTEM)
    webhooks.ping(webhook, audit.SYSTEM)
    key, text = keys.issue(customer.provider, actor=audit.SYSTEM)
    account = AccountFactory(customer=customer, endpoint=people.account.endpoint)
    account.close_pending({"username": "ada", "password": SECRETS[0]}, 1)
    account.promote_pending()
    account.close_pending({"username": "ada", "password": SECRETS[0]}, 2)
    account.save()
    CredentialPush.objects.create(account=account, version=1, actor_name="billing")
    SyncRun.objects.create(account=account, state="failed", outcome="The cloud refused the credentials.")
    server = ServerFactory(account=account)
    agent = Agent.objects.create(server=server, public_key="p" * 43, session_key="a" * 64, version="1.0")
    Group.objects.create(name="Clerks")
    JoinToken.objects.create(digest="b" * 64, account=account, expires_at=timezone.now())
    batch = InstallBatch(customer=customer, by=people.alice, ssh_user="root")
    batch.close_credentials({"private_key": SECRETS[1]})
    batch.save()
    Install.objects.create(batch=batch, server=server)
    HostKey.objects.create(server=server, key_type="ssh-ed25519", key="AAAA", fingerprint="SHA256:x", source="person")
    JumpHostKey.objects.create(
        customer=customer, host="bastion.example.com", port=22, key_type="ssh-ed25519", key="A", fingerprint="SHA256:y"
    )
    _, bearer = tokens.issue(people.customer, by=people.alice, name="nightly", scopes=["servers:read"],
                             expires_at=timezone.now() + timedelta(days=1))  # fmt: skip
    acted = ActionBatch.objects.create(customer=customer, by=people.alice, kind="create", params={"name": "web-1"})
    made = Action(batch=acted, customer=customer, account=account, name="web-1", kind="create", state="done")
    made.order_sealed = seal.close({"user_data": SECRETS[1]}, made.place("order_sealed"))
    made.save()
    Action.objects.filter(pk=made.pk).update(**passwords.sealed(made, SECRETS[0]))
    made.refresh_from_db()
    people.alice.set_password(SECRETS[0])
    people.alice.save()
    return [
        *SECRETS,
        *besides,
        text,
        webhook_secret,
        newer_secret,
        webhook.sealed,
        webhook.previous_sealed,
        "key=receivers",
        key.digest,
        account.sealed,
        account.pending_sealed,
        batch.sealed,
        agent.session_key,
        bearer,
        ApiToken.objects.get().digest,
        made.order_sealed,
        made.password_sealed,
        people.alice.password,
        people.alice.password.split("$")[-1],
    ]


def pages():
    """The models that staff have pages of."""
    return list(admin.site._registry)


def test_staff_see_the_kinds_of_rows_they_help_with():
    wanted = {Provider, ProviderKey, CloudEndpoint, Customer, Mail, CloudAccount, SyncRun, Install, Agent, User}
    wanted |= {Action, ActionBatch, ApiToken}
    assert wanted | {AuditEntry} <= set(pages())
    assert not {SignInLink, Membership} & set(pages())


@pytest.mark.parametrize("model", pages(), ids=lambda model: model._meta.label_lower)
def test_every_page_opens_for_staff_alone_and_shows_no_secret(model, everything, browser, people):
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    paths = [reverse(f"{name}_changelist"), f"{reverse(f'{name}_changelist')}?q=x"]
    paths += [reverse(f"{name}_change", args=[row.pk]) for row in model._default_manager.all()[:2]]
    paths += [reverse(f"{name}_history", args=[row.pk]) for row in model._default_manager.all()[:1]]
    assert len(paths) > 2, "the test made no row of this kind"
    for path in paths:
        page = browser.get(path)
        assert page.status_code == 200, path
        for secret in everything:
            assert secret not in page.content.decode(), path
        for other in (people.browser(people.alice), Client()):
            assert other.get(path).status_code == 302, path


def test_rows_that_deeds_write_can_be_neither_added_changed_nor_deleted(everything, browser):
    for model in (
        Customer,
        CloudAccount,
        SyncRun,
        Mail,
        ProviderKey,
        Server,
        Install,
        Agent,
        AuditEntry,
        Action,
        ApiToken,
    ):
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        row = model._default_manager.first()
        assert browser.get(reverse(f"{name}_add")).status_code == 403
        assert browser.post(reverse(f"{name}_change", args=[row.pk]), {"name": "x"}).status_code == 403
        assert browser.post(reverse(f"{name}_delete", args=[row.pk]), {"post": "yes"}).status_code == 403
        assert model._default_manager.filter(pk=row.pk).exists()


def test_a_list_costs_a_bounded_number_of_queries(everything, browser, django_assert_max_num_queries):
    account = CloudAccount.objects.exclude(sealed="").get()
    for number in range(8):
        ServerFactory(account=account)
        customers.put(account.customer.provider, f"n-{number}", {"email": f"n{number}@example.com"}, audit.SYSTEM)
        SyncRun.objects.create(account=account, state="done")
    for model in (Customer, CloudAccount, SyncRun, Mail, Server, Provider, AuditEntry):
        path = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        with django_assert_max_num_queries(12):
            assert browser.get(path).status_code == 200


def deed(row, name):
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_{name}", args=[row.pk])


class TestDeeds:
    @pytest.mark.parametrize(
        ("name", "status", "verb"),
        [
            ("enable", "enabled", "provider.enabled"),
            ("suspend", "suspended", "provider.suspended"),
        ],
    )
    def test_a_provider_is_enabled_and_suspended_by_a_press_and_not_by_a_link(self, browser, staff, name, status, verb):
        provider = ProviderFactory(status="pending")
        assert browser.get(deed(provider, name)).status_code == 200
        provider.refresh_from_db()
        assert provider.status == "pending"
        assert browser.post(deed(provider, name)).status_code == 302
        provider.refresh_from_db()
        assert provider.status == status
        entry = AuditEntry.objects.get(verb=verb)
        assert (entry.actor_kind, entry.actor_id) == ("staff", str(staff.pk))

    def test_a_press_from_another_site_does_nothing(self, people, staff):
        provider = ProviderFactory(status="pending")
        strict = Client(enforce_csrf_checks=True)
        strict.force_login(staff, backend="django.contrib.auth.backends.ModelBackend")
        assert strict.post(deed(provider, "enable")).status_code == 403
        provider.refresh_from_db()
        assert provider.status == "pending"

    def test_an_issued_key_is_shown_once_and_works(self, browser, client):
        provider = ProviderFactory()
        assert browser.get(deed(provider, "issue_key")).status_code == 200
        page = browser.post(deed(provider, "issue_key"), {"name": "billing", "scopes": ["customers:read"]})
        [text] = re.findall(r"mst_live_\w+_[\w-]+", page.content.decode())
        assert keys.find(text).scopes == ["customers:read"]
        assert "no-store" in page["Cache-Control"]
        assert text not in browser.get(deed(provider, "change")).content.decode()
        assert text not in str(list(AuditEntry.objects.values()))

    def test_a_revoked_key_says_so(self, browser):
        key, text = keys.issue(ProviderFactory(), actor=audit.SYSTEM)
        browser.post(deed(key, "revoke"))
        with pytest.raises(keys.KeyRefused, match="revoked"):
            keys.find(text)
        assert b"Revoked" in browser.get(reverse("admin:providers_providerkey_changelist")).content

    def test_a_customer_is_suspended_resumed_mailed_and_closed(self, browser, people):
        Mail.objects.all().delete()
        steps = {"suspend": "suspended", "resume": "active", "resend_mail": "active", "close": "closed"}
        for name, status in steps.items():
            assert browser.post(deed(people.customer, name)).status_code == 302
            people.customer.refresh_from_db()
            assert people.customer.status == status
        assert Mail.objects.count() == 1
        page = browser.post(deed(people.customer, "suspend"), follow=True)
        assert b"This customer is closed" in page.content

    def test_a_failed_mail_shows_the_servers_words_and_is_sent_again(self, browser, people):
        mail = customers.resend_mail(people.customer, audit.SYSTEM)
        Mail.objects.update(state="failed", outcome="The mail server refused it: 550 No such person")
        assert b"550 No such person" in browser.get(reverse("admin:providers_mail_changelist")).content
        browser.post(deed(mail, "resend"))
        assert Mail.objects.filter(state="queued").count() == 1

    def test_an_account_is_read_when_asked_for(self, browser, people):
        page = browser.post(deed(people.account, "sync_now"), follow=True)
        assert b"no credentials" in page.content
        people.account.close_pending({"username": "a", "password": "b", "project": "c"}, 1)
        people.account.save()
        browser.post(deed(people.account, "sync_now"))
        assert SyncRun.objects.get(account=people.account).trigger == "person"

    def test_staff_without_the_right_to_change_press_nothing(self, people):
        looker = UserFactory(is_staff=True)
        looker.user_permissions.add(Permission.objects.get(codename="view_provider"))
        provider = ProviderFactory(status="pending")
        browser = people.browser(looker)
        assert browser.get(deed(provider, "change")).status_code == 200
        for name in ("enable", "suspend", "issue_key"):
            assert browser.post(deed(provider, name)).status_code == 403
        provider.refresh_from_db()
        assert provider.status == "pending"


class TestEndpoints:
    def form(self, provider, **change):
        return {
            "provider": provider.pk,
            "slug": "nova",
            "name": "Nova",
            "platform": "openstack",
            "url": "https://cloud.example:5000/v3",
            "enabled": "on",
            **change,
        }

    def test_one_is_registered_and_noted(self, browser, staff):
        provider = ProviderFactory()
        reply = browser.post(reverse("admin:providers_cloudendpoint_add"), self.form(provider))
        assert reply.status_code == 302
        assert CloudEndpoint.objects.get(slug="nova").url == "https://cloud.example:5000/v3"
        assert AuditEntry.objects.get(verb="cloudendpoint.added").actor_name == staff.email

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"url": "http://cloud.example/"}, "Plain HTTP"),
            ({"networks": "10.0.0.1/8"}, "host part zero"),
            ({"ca": "hello"}, "BEGIN CERTIFICATE"),
        ],
    )
    def test_a_loose_one_is_refused_in_words(self, browser, change, words):
        page = browser.post(reverse("admin:providers_cloudendpoint_add"), self.form(ProviderFactory(), **change))
        assert page.status_code == 200
        assert words in page.content.decode()
        assert not CloudEndpoint.objects.filter(slug="nova").exists()

    def test_the_same_name_twice_is_refused_in_words(self, browser):
        endpoint = EndpointFactory(slug="nova")
        page = browser.post(reverse("admin:providers_cloudendpoint_add"), self.form(endpoint.provider))
        assert "already has an endpoint of that name" in page.content.decode()

    def test_one_that_accounts_use_is_not_deleted(self, browser, people):
        endpoint = people.account.endpoint
        path = reverse("admin:providers_cloudendpoint_delete", args=[endpoint.pk])
        assert browser.post(path, {"post": "yes"}).status_code == 403


class TestPeople:
    def test_a_new_person_has_no_password_until_they_set_one(self, browser):
        reply = browser.post(reverse("admin:console_user_add"), {"email": "New@Example.com", "is_active": "on"})
        assert reply.status_code == 302
        person = User.objects.get(email="new@example.com")
        assert not person.has_usable_password()

    def test_staff_who_are_no_superusers_can_make_nobody_staff_and_touch_no_superuser(self, people, staff):
        clerk = UserFactory(is_staff=True)
        clerk.user_permissions.add(*Permission.objects.filter(codename__in=("view_user", "change_user")))
        browser = people.browser(clerk)
        form = {"email": "alice@example.com", "is_active": "on", "is_staff": "on", "is_superuser": "on"}
        browser.post(reverse("admin:console_user_change", args=[people.alice.pk]), form)
        people.alice.refresh_from_db()
        assert not people.alice.is_staff and not people.alice.is_superuser
        form["email"] = "evil@example.com"
        reply = browser.post(reverse("admin:console_user_change", args=[staff.pk]), form)
        assert reply.status_code == 403
        staff.refresh_from_db()
        assert staff.email == "boss@example.com"


def test_an_expired_key_is_shown_as_expired(browser):
    keys.issue(ProviderFactory(), actor=audit.SYSTEM, expires_at=timezone.now() - timedelta(days=1))
    assert b"Expired" in browser.get(reverse("admin:providers_providerkey_changelist")).content


def test_the_first_page_counts_what_wants_attention(everything, browser):
    ProviderFactory(status="pending")
    SyncRun.objects.update(ended_at=timezone.now())
    page = browser.get("/admin/").content.decode()
    counts = dict(re.findall(r"<span>([^<]+)</span>\s*<span[^>]*>(\d+)</span>", page))
    assert counts["Providers that wait to be enabled"] == "1"
    assert counts["Syncs that failed in a day"] == "1"
    assert counts["Mails that failed in a day"] == "0"


def test_the_sidebar_leads_to_every_page_and_to_those_alone_that_one_may_open(everything, browser, people):
    page = browser.get("/admin/").content.decode()
    for model in pages():
        assert reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist") in page
    looker = UserFactory(is_staff=True)
    looker.user_permissions.add(Permission.objects.get(codename="view_provider"))
    page = people.browser(looker).get("/admin/").content.decode()
    assert "/admin/providers/provider/" in page
    assert "/admin/providers/mail/" not in page
