"""Staff pages of actions and of API tokens: found, narrowed, counted, and revoked by the deed that people use."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse
from django.utils import timezone

from console.models import AuditEntry
from providers import tokens
from providers.keys import KeyRefused
from providers.models import ApiToken
from servers.actions import actions
from servers.actions.models import Action, ActionBatch
from tests.conftest import People
from tests.factories import AccountFactory, ServerFactory, UserFactory
from tests.pages import text

pytestmark = pytest.mark.django_db


@pytest.fixture
def browser(people: People) -> Any:
    return people.browser(UserFactory(email="boss@example.com", is_staff=True, is_superuser=True))


@pytest.fixture
def account(people: People) -> Any:
    type(people.account).objects.filter(pk=people.account.pk).update(generation="modern", credentials_version=1)
    people.account.refresh_from_db()
    return people.account


def listed(model: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def started(people: People, account: Any, kind: str = "stop", **server: Any) -> ActionBatch:
    return actions.start(
        [ServerFactory(account=account, **server)], kind=kind, by=people.alice, customer=account.customer
    )


def issued(people: People, name: str = "nightly") -> tuple[ApiToken, str]:
    until = timezone.now() + timedelta(days=7)
    return tokens.issue(people.customer, by=people.alice, name=name, scopes=["actions:write"], expires_at=until)


def test_an_action_is_found_by_server_and_narrowed_by_state_kind_and_provider(
    people: People, account: Any, browser: Any
) -> None:
    started(people, account, name="web-alpha")
    started(people, account, "start", name="db-beta")  # it runs already: it fails at once
    other = AccountFactory(generation="modern", credentials_version=1)
    started(people, other, name="mail-gamma")

    def names(**asked: str) -> set[str]:
        said = text(browser.get(listed(Action), asked))
        return {name for name in ("web-alpha", "db-beta", "mail-gamma") if name in said}

    assert names() == {"web-alpha", "db-beta", "mail-gamma"}
    assert names(q="web") == {"web-alpha"}
    assert names(state__exact="failed") == {"db-beta"}
    assert names(kind__exact="stop") == {"web-alpha", "mail-gamma"}
    provider = str(other.customer.provider_id)
    assert names(customer__provider__id__exact=provider) == {"mail-gamma"}
    assert "It must be stopped to be started." in text(browser.get(listed(Action)))


def test_a_batch_shows_its_servers_and_how_far_it_is(people: People, account: Any, browser: Any) -> None:
    batch = started(people, account, name="web-alpha")
    failed = started(people, account, "start", name="db-beta")
    said = text(browser.get(listed(ActionBatch)))
    assert "1 under way" in said
    assert "1 not done" in said
    one = text(browser.get(reverse("admin:actions_actionbatch_change", args=[failed.pk])))
    assert "db-beta" in one
    assert "1: 0 done, 0 under way, 1 not" in one
    assert "It must be stopped to be started." in one
    assert str(batch.pk) in browser.get(listed(ActionBatch), {"ended_at__isempty": "1"}).content.decode()
    assert str(failed.pk) not in browser.get(listed(ActionBatch), {"ended_at__isempty": "1"}).content.decode()


@pytest.mark.parametrize("model", [Action, ActionBatch, ApiToken])
def test_a_longer_list_costs_no_more_queries(
    people: People, account: Any, browser: Any, model: Any, django_assert_max_num_queries: Any
) -> None:
    for number in range(8):
        started(people, account)
        issued(people, f"token-{number}")
    with django_assert_max_num_queries(14):
        assert browser.get(listed(model)).status_code == 200


def test_a_token_is_revoked_by_the_deed_that_its_person_uses(people: People, browser: Any) -> None:
    token, bearer = issued(people)
    said = text(browser.get(listed(ApiToken)))
    for words in ("nightly", "alice@example.com", "actions:write", "Live"):
        assert words in said
    path = reverse("admin:providers_apitoken_revoke", args=[token.pk])
    assert browser.get(path).status_code == 200
    assert tokens.find(bearer).pk == token.pk
    assert browser.post(path).status_code == 302
    with pytest.raises(KeyRefused, match="revoked"):
        tokens.find(bearer)
    entry = AuditEntry.objects.get(verb="token.revoked")
    assert (entry.actor_kind, entry.actor_name, entry.customer_id) == ("staff", "boss@example.com", people.customer.pk)
    assert "Revoked" in text(browser.get(listed(ApiToken)))
    assert bearer not in browser.get(reverse("admin:providers_apitoken_change", args=[token.pk])).content.decode()


def test_staff_who_may_only_look_revoke_nothing(people: People) -> None:
    token, _ = issued(people)
    looker = UserFactory(is_staff=True)
    looker.user_permissions.add(Permission.objects.get(codename="view_apitoken"))
    browser = people.browser(looker)
    assert browser.get(reverse("admin:providers_apitoken_change", args=[token.pk])).status_code == 200
    assert browser.post(reverse("admin:providers_apitoken_revoke", args=[token.pk])).status_code == 403
    assert ApiToken.objects.get(pk=token.pk).revoked_at is None


def test_the_first_page_counts_actions_that_went_wrong(people: People, account: Any, browser: Any) -> None:
    started(people, account, "start")
    assert "Actions that went wrong in a day 1" in text(browser.get("/admin/"))
    assert "It must be stopped" in text(browser.get(f"{listed(Action)}?state__in=failed,interrupted"))
