"""Mail as a provider words it: a language without code, revisions, and what a mail service tells afterwards."""

from __future__ import annotations

import base64
import json
import re
from email import policy
from email.parser import BytesParser

import pytest
from django.test import Client, override_settings
from django.urls import include, path
from hypothesis import given
from hypothesis import settings as pace
from hypothesis import strategies as st

from console.lib import audit
from console.lib.denials import Wrong
from providers import branding, customers, letters, mail, reports, wording
from providers.models import Event, Mail, MailTemplate, Webhook
from tests.factories import CustomerFactory, ProviderFactory, UserFactory

ADA = {"email": "ada@example.com", "first_name": "Ada", "last_name": "Byron", "organization": "Engines & Söhne"}
GIVEN = {
    "sender_name": "North Cloud", "reply_to": "help@north.example", "subject": "Hi {{ first_name }}",
    "greeting": "Dear {{ first_name }} {{ last_name }},", "body": "One.\n\nTwo <b>bold</b> {{ organization }}.",
    "footer": "North Cloud Ltd, Oslo",
}  # fmt: skip
urlpatterns = [path("mail/events/", include("anymail.urls"))]


@pytest.fixture
def provider(db):
    return ProviderFactory(name="North Cloud")


def live(provider, kind="welcome", locale="", **fields):
    made = wording.save(provider, kind, {**GIVEN, **fields}, audit.SYSTEM, locale)
    wording.publish(made, audit.SYSTEM)
    return made


def sent(provider, **fields):
    """The message to a new customer."""
    customers.put(provider, "c-1", {**ADA, **fields}, audit.SYSTEM)
    return mail.compose(Mail.objects.get())


class TestLanguage:
    def test_variables_are_put_in_and_nothing_else_is(self):
        assert wording.fill("Hi {{ first_name }} of {{organization}}", {"first_name": "Ada", "organization": "X"}) == (
            "Hi Ada of X"
        )

    def test_an_empty_one_takes_the_space_before_it_along(self):
        assert wording.fill("Hello {{ first_name }},", {}) == "Hello,"

    @given(st.text(max_size=60))
    def test_what_a_value_holds_is_never_read_again(self, value):
        told = wording.fill("{{ first_name }}", {"first_name": "{{ last_name }}" + value, "last_name": "leak"})
        assert "leak" not in told or "leak" in value

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("{{ user.password }}", "Only variables"),
            ("{% load x %}", "Only variables"),
            ("{{ first_name|safe }}", "Only variables"),
            ("{{ first_name", "Only variables"),
            ("{{ __class__ }}", "no variable __class__"),
            ("{{ link }}", "no variable link"),
            ("{# x #}", "Only variables"),
            ("", "cannot be empty"),
            ("x" * 10_001, "10000 characters"),
            ("a\x00b", "control characters"),
            ("{{" * 5000, "Only variables"),
        ],
    )
    def test_code_and_unknown_variables_are_refused_in_words(self, provider, text, words):
        with pytest.raises(Wrong) as refused:
            wording.save(provider, "welcome", {**GIVEN, "body": text}, audit.SYSTEM)
        assert words in refused.value.fields["body"][0]

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("subject", "a\nBcc: eve@example.com"), ("subject", "x" * 201), ("reply_to", "nobody"),
            ("reply_to", "a@b.example\nBcc: eve@example.com"), ("sender_name", "North <evil@example.com>"),
            ("sender_name", "{{ first_name }}"), ("kind", "reset"), ("locale", "english"), ("script", "x"),
        ],
    )  # fmt: skip
    def test_what_cannot_be_names_its_field(self, provider, field, value):
        fields = {**GIVEN} if field in ("kind", "locale") else {**GIVEN, field: value}
        kind, locale = (value if field == "kind" else "welcome"), (value if field == "locale" else "")
        with pytest.raises(Wrong) as refused:
            wording.save(provider, kind, fields, audit.SYSTEM, locale)
        assert list(refused.value.fields) == [field]

    @given(st.text(alphabet="{}%#|_ab \n", max_size=80))
    @pace(deadline=None)
    def test_whatever_passes_the_check_is_filled_without_braces_left(self, text):
        try:
            values = wording.checked("welcome", {"subject": "x", "body": text})
        except Wrong:
            return
        assert "{{" not in wording.fill(values["body"], {})


class TestLetters:
    def test_the_providers_words_go_out_in_text_and_html(self, provider):
        live(provider)
        message = sent(provider)
        [html] = [body for body, kind in message.alternatives if kind == "text/html"]
        assert message.subject == "Hi Ada" and message.reply_to == ["help@north.example"]
        assert message.from_email.startswith("North Cloud <")
        assert "Dear Ada Byron," in message.body and "Two <b>bold</b> Engines & Söhne." in message.body
        assert "<p>One.</p>" in html and "Two &lt;b&gt;bold&lt;/b&gt; Engines &amp; Söhne." in html
        assert "North Cloud Ltd, Oslo" in message.body and "North Cloud Ltd, Oslo" in html
        assert "/welcome/" in message.body and "/welcome/" in html

    def test_a_draft_changes_no_mail(self, provider):
        wording.save(provider, "welcome", GIVEN, audit.SYSTEM)
        assert "Hi Ada" not in sent(provider).subject

    def test_the_language_that_fits_best_is_taken(self, provider):
        for locale in ("", "de", "de-at"):
            live(provider, locale=locale, subject=f"In {locale or 'any'}")
        for wanted, subject in (("de-AT", "de-at"), ("de_CH", "de"), ("fr", "any"), ("", "any")):
            found = wording.live(provider, "welcome", wanted)
            assert found.subject == f"In {subject}"

    def test_an_older_revision_can_come_back_and_all_be_withdrawn(self, provider):
        first, second = live(provider, subject="One"), live(provider, subject="Two")
        assert (first.revision, second.revision) == (1, 2)
        wording.publish(first, audit.SYSTEM)
        assert wording.live(provider, "welcome").subject == "One"
        wording.withdraw(provider, "welcome", "", audit.SYSTEM)
        assert wording.live(provider, "welcome") is None

    def test_another_providers_words_are_its_own(self, provider):
        live(ProviderFactory(), subject="South")
        assert wording.live(provider, "welcome") is None

    def test_a_customer_cannot_write_headers_or_markup_into_the_mail(self, provider):
        live(provider)
        message = sent(provider, first_name="Eve\r\nBcc: all@example.com", organization="<script>x</script>")
        parsed = BytesParser(policy=policy.default).parsebytes(message.message().as_bytes())
        assert "Bcc" not in parsed and parsed["Subject"] == "Hi Eve Bcc: all@example.com"
        assert "<script>" not in message.alternatives[0][0]

    def test_it_wears_the_brand(self, provider):
        branding.publish(branding.save(provider, {"name": "North", "accent": "#0a7f5a"}, audit.SYSTEM), audit.SYSTEM)
        html = sent(provider).alternatives[0][0]
        assert branding.live(provider).shades.light in html and ">North<" in html

    def test_a_preview_holds_no_link_that_opens(self, provider):
        letter = letters.preview(provider, "welcome", wording.of(live(provider), "welcome"))
        assert letter.subject == "Hi Ada" and "/welcome/example/" in letter.html
        assert Client().get("/welcome/example/").status_code == 410

    def test_a_test_mail_goes_to_who_wrote_it_and_says_so(self, provider):
        writer = UserFactory(email="dev@north.example")
        row = mail.test(wording.save(provider, "invitation", GIVEN, audit.SYSTEM), writer, provider)
        message = mail.compose(row)
        assert (message.to, message.subject) == (["dev@north.example"], "[Test] Hi Ada")

    def test_the_row_remembers_by_which_revision_it_went(self, provider):
        made = live(provider)
        customers.put(provider, "c-1", ADA, audit.SYSTEM)
        row = Mail.objects.get()
        mail.send(row)
        row.refresh_from_db()
        assert row.template == made
        assert MailTemplate.objects.count() == 1


class TestReports:
    @pytest.fixture
    def row(self, db):
        customer = CustomerFactory(email="ada@example.com")
        return Mail.objects.create(kind="welcome", to="ada@example.com", customer=customer,
                                   state="done", outcome="The mail server took it.", service_id="pm-1")  # fmt: skip

    def told(self, credentials="user:word", **event):
        """As Postmark tells it (its documentation, "Webhooks")."""
        with override_settings(
            ROOT_URLCONF=__name__, ANYMAIL={"WEBHOOK_SECRET": "user:word", "POSTMARK_SERVER_TOKEN": "x"}
        ):
            return Client().post(
                "/mail/events/postmark/tracking/", json.dumps({"MessageID": "pm-1", **event}), "application/json",
                headers={"Authorization": "Basic " + base64.b64encode(credentials.encode()).decode()},
            )  # fmt: skip

    def test_a_delivery_is_seen(self, row):
        self.told(RecordType="Delivery", DeliveredAt="2026-01-01T10:00:00Z", Details="250 OK", Recipient="a@b.example")
        row.refresh_from_db()
        assert row.delivery == "delivered" and row.delivered_at.year == 2026

    def test_a_bounce_says_why(self, row):
        self.told(RecordType="Bounce", Type="HardBounce", Description="The server said no such user",
                  Details="550 5.1.1", BouncedAt="2026-01-01T10:00:00Z", Email="ada@example.com", ID=1)  # fmt: skip
        row.refresh_from_db()
        assert row.delivery == "bounced" and "no such user" in row.report.lower()

    def test_a_bounce_is_told_to_webhooks_once(self, row):
        Webhook.objects.create(provider=row.customer.provider, url="https://north.example/hook", sealed="x")
        for _ in range(2):
            self.told(RecordType="Bounce", Type="HardBounce", Description="No such user", ID=1)
        assert Event.objects.get(type="mail.failed").data["to"] == "ada@example.com"

    def test_nobody_else_can_report(self, row):
        assert self.told("user:guess", RecordType="Bounce", Type="HardBounce", ID=1).status_code == 400
        row.refresh_from_db()
        assert row.delivery == "sent"

    def test_a_mail_of_somebody_else_is_no_matter(self, row):
        class Event:
            message_id, event_type, timestamp = "other", "bounced", None
            description = mta_response = reject_reason = ""

        reports.take(Event())
        row.refresh_from_db()
        assert row.delivery == "sent"


class TestEveryWordInThePersonsLanguage:
    WORDS = {
        "subject": "Willkommen", "greeting": "Guten Tag {{ first_name }}", "body": "Ihre Konsole ist bereit.",
        "button": "Passwort setzen", "note": "Der Link gilt einmal, bis {{ valid_until }}.",
    }  # fmt: skip

    def test_button_note_and_language_are_the_wordings(self, provider):
        wording.publish(wording.save(provider, "welcome", self.WORDS, audit.SYSTEM, "de"), audit.SYSTEM)
        message = sent(provider, locale="de-AT")
        [(html, _)] = message.alternatives
        assert '<html lang="de">' in html
        for part in (message.body, html):
            assert "Passwort setzen" in part and re.search(r"bis \d{4}-\d\d-\d\d \d\d:\d\d UTC\.", part)
            for english in ("Set a password", "Set your password", "The link works", "copy this address", "If you"):
                assert english not in part

    def test_without_them_they_are_in_english(self, provider):
        live(provider)
        [(html, _)] = sent(provider).alternatives
        assert '<html lang="en">' in html and "Set your password" in html and "The link works once" in html

    def test_an_invitations_mail_says_until_when_its_link_works(self, provider):
        UserFactory(email=ADA["email"])
        message = sent(provider)
        assert "The link works until" in message.body and "See the invitation" in message.body
