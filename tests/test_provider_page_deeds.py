"""What people do at a provider's own pages: the same deeds as by API, in words, and secrets shown once."""

from __future__ import annotations

import io
import re
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.utils import timezone
from PIL import Image

from accounts.models import CredentialPush
from console.lib import audit
from console.models import AuditEntry
from providers import branding, keys, webhooks, wording
from providers.calls import Call, keep
from providers.models import Delivery, Mail, MailTemplate, ProviderKey
from tests.desks import Desk, browser, desk
from tests.factories import AccountFactory, CustomerFactory
from tests.pages import link, text

DRAFT = {"subject": "Welcome to {{ provider }}", "greeting": "Hi {{ first_name }},", "body": "Your servers wait."}


@pytest.fixture
def house(db) -> Desk:
    return desk()


def noted(verb: str) -> AuditEntry:
    return AuditEntry.objects.get(verb=verb)


class TestKeys:
    def test_a_key_is_issued_shown_once_and_never_again(self, house):
        page = house.post("issue-key", name="Billing", scopes=["customers:read"], allowed_networks="192.0.2.0/24, ",
                          days="30")  # fmt: skip
        [shown] = set(re.findall(r"mst_live_[a-z0-9]{12}_[\w-]{43}", page.content.decode()))
        assert keys._digest(shown) == ProviderKey.objects.get().digest
        key = ProviderKey.objects.get()
        assert (key.name, key.scopes, key.allowed_networks) == ("Billing", ["customers:read"], ["192.0.2.0/24"])
        assert timedelta(days=29) < key.expires_at - timezone.now() < timedelta(days=31)
        listed = house.get("keys")
        assert shown not in listed.content.decode() and "Billing" in text(listed)
        assert noted("provider_key.issued").actor_name == house.admin.email

    @pytest.mark.parametrize(("field", "value"), [("allowed_networks", "office"), ("scopes", "root"), ("name", "")])
    def test_what_cannot_be_stands_beside_its_field(self, house, field, value):
        page = house.post("issue-key", **{"name": "x", field: value})
        assert page.status_code == 422 and "invalid-feedback" in page.content.decode()
        assert not ProviderKey.objects.exists()

    def test_a_rotation_leaves_two_live_and_a_third_is_denied_in_words(self, house):
        key, _ = keys.issue(house.north, actor=audit.SYSTEM, name="Billing")
        page = house.post("rotate-key", key.pk, hours="24")
        assert page.status_code == 200 and "It is shown this once" in text(page)
        key.refresh_from_db()
        assert timedelta(hours=23) < key.expires_at - timezone.now() <= timedelta(hours=24)
        again = house.post("rotate-key", key.pk, hours="24")
        assert again.status_code == 422 and "This key was rotated already" in text(again)

    def test_revoking_asks_first(self, house):
        key, _ = keys.issue(house.north, actor=audit.SYSTEM, name="Billing")
        assert "btn-danger" in house.get("revoke-key", key.pk).content.decode()
        house.post("revoke-key", key.pk)
        assert "Revoked" in text(house.get("keys"))
        assert not ProviderKey.objects.live().exists()

    def test_a_test_key_stands_at_the_sandbox_and_where_none_runs_among_the_others(self, house, settings):
        settings.SANDBOX = False
        keys.issue(house.north, actor=audit.SYSTEM, name="Trial", sandbox=True)
        assert "Trial sandbox" in text(house.get("keys"))
        settings.SANDBOX = True
        assert "Trial" not in text(house.get("keys"))

    def test_a_viewer_changes_nothing(self, house):
        key, _ = keys.issue(house.north, actor=audit.SYSTEM)
        assert house.post("issue-key", by=house.viewer, name="x").status_code == 403
        assert house.post("revoke-key", key.pk, by=house.viewer).status_code == 403
        assert ProviderKey.objects.live().count() == 1


class TestCustomers:
    def test_they_are_found_by_any_of_their_names(self, house):
        CustomerFactory(provider=house.north, external_id="zz-9", organization="Engines", email="ada@engines.example")
        for words in ("zz-9", "engin", "ADA@"):
            page = text(house.get("customers", q=words))
            assert "Engines" in page and "Orchard" not in page
        assert "No customer matches" in text(house.get("customers", q="100%"))
        assert house.get("customers", q="\x00").status_code == 200

    def test_pages_follow_each_other_without_a_gap_and_a_strange_cursor_is_the_first_page(self, house):
        for number in range(120):
            CustomerFactory(provider=house.north, external_id=f"n-{number}", organization=f"Firm {number}")
        seen, address = [], house.at("customers")
        inside = browser(house.admin)
        while address:
            page = inside.get(address)
            seen += re.findall(r'title="(Firm \d+|Orchard Ltd)"', page.content.decode())
            address = link(page, "next")
        assert len(seen) == len(set(seen)) == 121
        for strange in ("x", "2026~1", "2026-01-01T00:00:00~zz", "9" * 400 + "~1"):
            assert "Firm 119" in text(house.get("customers", before=strange))

    def test_health_and_mail_stand_in_the_list_and_narrow_it(self, house):
        sick = CustomerFactory(provider=house.north, external_id="sick", organization="Sick Ltd")
        endpoint = house.customer.accounts.get().endpoint
        AccountFactory(customer=sick, endpoint=endpoint, status="bad_credentials", server_count=3)
        Mail.objects.create(kind="welcome", to=sick.email, customer=sick, state="failed", outcome="550 no such user")
        for having in ("refused", "trouble", "mail"):
            page = text(house.get("customers", **{"with": having}))
            assert "Sick Ltd" in page and "Orchard" not in page
        page = house.get("customers")
        assert "Credentials refused" in text(page) and "550 no such user" in page.content.decode()

    def test_a_customers_page_tells_accounts_pushes_and_mails_but_nobodys_own_address(self, house):
        account = house.customer.accounts.get()
        account.status, account.status_reason = "bad_credentials", "The cloud said 'Invalid user / password'."
        account.save()
        CredentialPush.objects.create(account=account, version=7, actor_name="mst_live_abc_…", outcome="refused",
                                      reason="Invalid user")  # fmt: skip
        given, own = house.customer.email, "alice@home.example"
        for to, said in ((given, "It bounced: full"), (own, f"It bounced: <{own}> is away")):
            Mail.objects.create(kind="welcome", to=to, customer=house.customer, state="done", report=said,
                                bounced_at=timezone.now())  # fmt: skip
        page = text(house.get("customer", house.customer.pk))
        for words in ("Invalid user / password", "version 7", "refused", "mst_live_abc_…"):
            assert words in page
        told = house.get("customer", house.customer.pk).content.decode()
        assert "It bounced: full" in told and own not in told and "is away" not in told

    def test_suspend_resume_close_and_the_mail_again(self, house):
        pk = house.customer.pk
        assert "Orchard Ltd" in text(house.get("suspend-customer", pk))
        house.post("suspend-customer", pk)
        assert "This customer is suspended" in text(house.get("customer", pk))
        house.post("resume-customer", pk)
        house.post("resend-mail", pk)
        assert Mail.objects.filter(customer=pk).count() == 1
        house.post("close-customer", pk)
        assert "This customer is closed" in text(house.get("customer", pk))
        refused = house.post("resend-mail", pk)
        assert "Send the mail again" not in text(house.get("customer", pk))
        assert refused.status_code == 302
        assert noted("customer.suspended").actor_name == house.admin.email


class TestMail:
    def test_it_is_drafted_previewed_tested_published_and_withdrawn(self, house):
        assert "Your servers at {{ provider }}" in house.get("mail-one", "welcome", "-").content.decode()
        house.post("mail-one", "welcome", "-", **DRAFT)
        row = MailTemplate.objects.get()
        assert wording.live(house.north, "welcome") is None
        house.post("test-mail", row.pk)
        assert Mail.objects.get(kind="test").to == house.admin.email
        house.post("publish-mail", row.pk)
        assert wording.live(house.north, "welcome") == row
        house.post("withdraw-mail", "welcome", "-")
        assert wording.live(house.north, "welcome") is None

    def test_what_is_typed_is_previewed_and_framed_without_a_script(self, house):
        asked = {**DRAFT, "body": "<script>alert(1)</script> {{ provider }}"}
        page = house.post("preview-mail", "welcome", "-", **asked)
        assert "Welcome to North Cloud" in text(page)
        [name] = re.findall(r"/frames/(\w+)", page.content.decode())
        framed = house.get("frame", name)
        assert "<script" not in framed.content.decode() and "Hi Ada," in text(framed)
        assert "default-src 'none'" in framed["Content-Security-Policy"]
        assert "sandbox" in framed["Content-Security-Policy"] and framed["X-Frame-Options"] == "SAMEORIGIN"
        theirs = browser(house.stranger).get(f"/provider/south/frames/{name}")
        assert theirs.status_code == 404

    @pytest.mark.parametrize("body", ["{% load x %}", "{{ password }}", "", "x" * 10_001])
    def test_what_cannot_be_is_said_in_the_preview_and_beside_the_field(self, house, body):
        asked = {**DRAFT, "body": body}
        assert "invalid-feedback" in house.post("preview-mail", "welcome", "-", **asked).content.decode()
        saved = house.post("mail-one", "welcome", "-", **asked)
        assert saved.status_code == 422 and not MailTemplate.objects.exists()

    def test_another_language_has_its_own_page_and_nonsense_none(self, house):
        there = house.get("mail", kind="welcome", locale="DE")
        assert there["Location"].endswith("/mail/welcome/de/")
        assert "Write a language tag" in text(house.get("mail", kind="welcome", locale="d!"))
        assert house.get("mail-one", "welcome", "d!").status_code == 404
        assert house.get("mail-one", "notice", "-").status_code == 404
        house.post("mail-one", "welcome", "de", **DRAFT)
        assert "Draft, not live" in text(house.get("mail"))


def picture() -> io.BytesIO:
    made = io.BytesIO()
    Image.new("RGB", (300, 100), (10, 90, 60)).save(made, "PNG")
    made.name = "logo.png"
    made.seek(0)
    return made


class TestBrand:
    def test_a_draft_is_previewed_by_day_and_night_then_published_and_withdrawn(self, house):
        given = {"name": "North", "accent": "#ffd500", "logo": picture(), "support_email": "help@north.example"}
        house.post("brand", **given)
        brand = house.north.brands.get()
        page = house.get("brand")
        assert "the nearest shade that can be read takes its place by day" in text(page)
        assert "frame-src 'self'" in page["Content-Security-Policy"]
        for what in ("door", "console"):
            for mode in ("light", "dark"):
                drawn = house.get("brand-look", brand.pk, what, mode)
                assert f'data-bs-theme="{mode}"' in drawn.content.decode()
                assert f"/brand/{brand.pk}/logo.png" in drawn.content.decode()
                assert drawn["X-Frame-Options"] == "SAMEORIGIN"
                assert "script-src 'none'" in drawn["Content-Security-Policy"]
        assert "Hello Ada," in text(house.get("brand-look", brand.pk, "mail", "light"))
        assert house.get("brand-look", brand.pk, "nothing", "light").status_code == 404
        assert branding.live(house.north).name == "North Cloud"
        house.post("publish-brand", brand.pk)
        assert branding.live(house.north).name == "North"
        house.post("withdraw-brand")
        cache.clear()
        assert branding.live(house.north).name == "North Cloud"

    def test_a_bad_logo_or_colour_is_said_beside_its_field(self, house):
        bad = io.BytesIO(b"<svg onload=alert(1)>")
        bad.name = "x.svg"
        page = house.post("brand", name="North", accent="red", logo=bad)
        assert page.status_code == 422 and "Write a colour as #rrggbb" in text(page)
        bad.seek(0)
        assert "SVG can hold programs" in text(house.post("brand", name="North", logo=bad))

    def test_the_logo_can_be_taken_off(self, house):
        house.post("brand", name="North", logo=picture())
        house.post("brand", name="North", no_logo="on")
        assert [bool(row.logo) for row in house.north.brands.order_by("revision")] == [True, False]


class TestWebhooks:
    ADDRESS = "http://127.0.0.1:9/hook"

    def test_one_is_added_with_a_secret_shown_once(self, house):
        page = house.post("add-webhook", url=self.ADDRESS, events=["customer.created"])
        [secret] = set(re.findall(r"whsec_[A-Za-z0-9+/=]+", page.content.decode()))
        hook = house.north.webhooks.get()
        assert webhooks.live_secrets(hook) == [secret]
        assert "whsec_" not in house.get("webhook", hook.pk).content.decode()
        rotated = house.post("rotate-webhook", hook.pk)
        assert secret not in rotated.content.decode() and "whsec_" in rotated.content.decode()
        hook.refresh_from_db()
        assert len(webhooks.live_secrets(hook)) == 2
        again = browser(house.admin).post(house.at("rotate-webhook", hook.pk), follow=True)
        assert "Two secrets are live" in text(again) and "whsec_" not in again.content.decode()

    @pytest.mark.parametrize("url", ["ftp://a.example", "https://user:pw@a.example", "nonsense", "https://10.0.0.1/x"])
    def test_an_address_that_cannot_be_is_said_beside_its_field(self, house, url):
        page = house.post("add-webhook", url=url)
        assert page.status_code == 422 and "invalid-feedback" in page.content.decode()

    def test_events_change_a_test_goes_out_and_it_turns_off_and_on_and_goes(self, house):
        hook, _ = webhooks.add(house.north, self.ADDRESS, [], audit.SYSTEM)
        house.post("change-webhook", hook.pk, url=self.ADDRESS, events=["server.lost"])
        hook.refresh_from_db()
        assert hook.events == ["server.lost"]
        house.post("test-webhook", hook.pk)
        delivery = Delivery.objects.get()
        assert "This is a test." in text(house.get("delivery", delivery.pk))
        house.post("turn-webhook", hook.pk)
        assert "Off" in text(house.get("webhook", hook.pk))
        house.post("redeliver", delivery.pk)
        assert Delivery.objects.count() == 1
        house.post("turn-webhook", hook.pk, on="1")
        Delivery.objects.update(state="done", tries=[{"at": timezone.now().isoformat(), "status": 204, "seconds": 0.1,
                                                      "words": "The endpoint answered 204 No Content."}])  # fmt: skip
        assert "204 No Content" in text(house.get("delivery", delivery.pk))
        house.post("redeliver", delivery.pk)
        assert Delivery.objects.count() == 2
        house.post("remove-webhook", hook.pk)
        assert not house.north.webhooks.exists()


class TestLogAndOverview:
    def call(self, provider, status=200, code="", path="/api/provider/v1/customers", method="GET", request_id="r-1"):
        keep(Call(request_id, provider, None, "mst_live_x", method, path, status, code, 0.012, "192.0.2.7"))

    def test_the_log_is_narrowed_by_status_method_path_and_request_id(self, house):
        self.call(house.north, 404, "customer_unknown", "/api/provider/v1/customers/c-9", request_id="lost-1")
        self.call(house.north, 201, method="POST", request_id="made-1")
        self.call(house.south, 200, request_id="theirs-1")
        for query, shown, hidden in (
            ({"status": "4xx"}, "lost-1", "made-1"), ({"method": "POST"}, "made-1", "lost-1"),
            ({"q": "/c-9"}, "customer_unknown", "made-1"), ({"q": "made-1"}, "12 ms", "lost-1"),
        ):  # fmt: skip
            page = text(house.get("calls", **query))
            assert shown in page and hidden not in page
        assert "theirs-1" not in text(house.get("calls"))
        assert "No call of the last 30 days matches" in text(house.get("calls", q="theirs-1"))

    def test_the_overview_says_what_wants_attention_first(self, house):
        assert "Nothing wants attention" in text(house.get("overview"))
        house.customer.accounts.update(status="bad_credentials")
        self.call(house.north, 500)
        Mail.objects.create(kind="welcome", to="x@y.example", customer=house.customer, state="failed")
        hook, _ = webhooks.add(house.north, "http://127.0.0.1:9/hook", [], audit.SYSTEM)
        type(hook).objects.update(enabled=False, disabled_at=timezone.now())
        house.north.status = "suspended"
        house.north.save()
        page = text(house.get("overview"))
        for words in ("North Cloud is suspended", "1 account's credentials are refused", "1 webhook was turned off",
                      "1 mail failed in 7 days", "1 recent API call failed at our side"):  # fmt: skip
            assert words in page, page
