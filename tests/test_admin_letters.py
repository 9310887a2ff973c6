"""Staff see how a mail would read before anybody gets it, and send it to themselves."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import Permission
from django.core import mail as outbox
from django.urls import reverse

from console.lib import audit
from providers import branding, mail, wording
from providers.models import Mail
from tests.factories import ProviderFactory, UserFactory

WORDS = {
    "subject": "Ahoy from {{ provider }}", "greeting": "Hi {{ first_name }},", "body": "<script>x</script>See.",
    "reply_to": "help@north.example",
}  # fmt: skip


@pytest.fixture
def north(db):
    return ProviderFactory(slug="north", name="North Cloud")


@pytest.fixture
def boss(db):
    return UserFactory(email="boss@example.com", is_staff=True, is_superuser=True)


@pytest.fixture
def rows(north):
    """A draft of a wording, and one of a brand."""
    template = wording.save(north, "welcome", WORDS, audit.SYSTEM)
    return {"wording": template, "brand": branding.save(north, {"name": "Nordsky", "accent": "#0a7f5a"}, audit.SYSTEM)}


def at(row, what):
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_{what}", args=[row.pk])


@pytest.mark.parametrize(("kind", "told"), [("wording", "Ahoy from North Cloud"), ("brand", "Nordsky")])
def test_a_draft_is_previewed_in_a_frame_in_which_nothing_runs(people, boss, rows, kind, told):
    browser, address = people.browser(boss), at(rows[kind], "preview")
    page = browser.get(address)
    assert page.status_code == 200 and told in page.content.decode()
    assert re.search(r'<iframe [^>]*src="\?framed" [^>]*sandbox="allow-same-origin"', page.content.decode())
    letter = browser.get(f"{address}?framed")
    assert told in letter.content.decode() and "<script>x" not in letter.content.decode()
    assert letter["X-Frame-Options"] == "SAMEORIGIN"
    assert "sandbox allow-same-origin" in letter["Content-Security-Policy"]
    assert (
        "default-src 'none'" in letter["Content-Security-Policy"]
        and "script-src" not in letter["Content-Security-Policy"]
    )
    assert not Mail.objects.exists()


@pytest.mark.parametrize(("kind", "told"), [("wording", "Ahoy from North Cloud"), ("brand", "Nordsky")])
def test_a_test_mail_goes_to_who_asks_after_one_question(people, boss, rows, kind, told):
    browser, address = people.browser(boss), at(rows[kind], "send_test")
    assert "boss@example.com" in browser.get(address).content.decode()
    assert not Mail.objects.exists()  # looking sends nothing
    assert browser.post(address).status_code == 302
    row = Mail.objects.get()
    assert (row.kind, row.to, row.provider) == ("test", "boss@example.com", rows[kind].provider)
    mail.send(row)
    [sent] = outbox.outbox
    assert sent.to == ["boss@example.com"] and sent.subject.startswith("[Test]")
    assert told in sent.subject + sent.body + str(sent.alternatives[0])


@pytest.mark.parametrize("what", ["preview", "send_test"])
def test_who_may_only_look_sees_the_preview_and_sends_nothing_and_strangers_get_neither(people, rows, what):
    viewer = UserFactory(email="viewer@example.com", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_mailtemplate"))
    address = at(rows["wording"], what)
    assert people.browser(viewer).get(address).status_code == (200 if what == "preview" else 403)
    assert people.browser(viewer).post(address).status_code in (200, 403)
    assert people.browser(people.charlie).get(address).status_code == 302  # to the sign-in of staff
    assert not Mail.objects.exists()
