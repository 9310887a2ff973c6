"""How mails are worded, by the provider API: drafts, previews, a test, and what is live."""

from __future__ import annotations

import pytest

from providers import mail
from providers.models import Mail
from tests.factories import ProviderFactory
from tests.provider_api.calls import ADA, Api, shaped

TEXT = {"kind": "welcome", "subject": "Hi {{ first_name }}", "body": "See {{ organization }}."}


@pytest.fixture
def made(api):
    reply = api("POST", "mail-templates", TEXT)
    assert reply.status_code == 201, reply.content
    return reply.json()


def test_a_draft_is_published_and_words_the_next_mail(api, made):
    assert (made["revision"], made["live"]) == (1, False)
    told = api("POST", f"mail-templates/{made['id']}/publish").json()
    assert told["live"] and told["published_at"]
    api("PUT", "customers/c-1", ADA)
    assert mail.compose(Mail.objects.get()).subject == "Hi Ada"
    assert api("POST", f"mail-templates/{made['id']}/withdraw").json()["live"] is False


def test_of_two_revisions_the_published_one_is_live(api, made):
    second = api("POST", "mail-templates", TEXT | {"subject": "Hello"}).json()
    api("POST", f"mail-templates/{made['id']}/publish")
    told = api("GET", "mail-templates?kind=welcome").json()["results"]
    assert [(row["revision"], row["live"]) for row in told] == [(2, False), (1, True)]
    assert api("GET", f"mail-templates/{second['id']}").json()["subject"] == "Hello"


def test_a_preview_keeps_nothing(api):
    told = api("POST", "mail-templates/preview", TEXT).json()
    assert (
        told["subject"] == "Hi Ada" and "See Engines Ltd." in told["text"] and "<p>See Engines Ltd.</p>" in told["html"]
    )
    assert api("GET", "mail-templates").json()["results"] == []


@pytest.mark.parametrize(
    ("field", "value"), [("body", "{% debug %}"), ("kind", "reset"), ("locale", "german"), ("x", 1)]
)
def test_what_cannot_be_is_400_by_field(api, field, value):
    for path in ("mail-templates", "mail-templates/preview"):
        assert field in shaped(api("POST", path, TEXT | {field: value}), 400)["fields"]


def test_a_test_goes_to_the_providers_own_address_only(api, made):
    shaped(api("POST", f"mail-templates/{made['id']}/test"), 409, "contact_missing")
    api.provider.contact_email = "dev@north.example"
    api.provider.save()
    reply = api("POST", f"mail-templates/{made['id']}/test")
    assert (reply.status_code, reply.json()["state"]) == (202, "queued")
    assert mail.compose(Mail.objects.get()).to == ["dev@north.example"]


def test_another_providers_wording_is_a_404(api, made):
    rival = Api(ProviderFactory())
    for call in (("GET", ""), ("POST", "/publish"), ("POST", "/withdraw"), ("POST", "/test")):
        assert rival(call[0], f"mail-templates/{made['id']}{call[1]}").status_code == 404
    assert rival("GET", "mail-templates").json()["results"] == []
