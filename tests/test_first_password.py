"""The button for a new server's first password: for whoever asked, by POST, once, and kept by nobody on the way."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from servers.actions import passwords
from servers.actions.models import Action, ActionBatch
from tests.conftest import People
from tests.factories import ServerFactory
from tests.pages import text

pytestmark = pytest.mark.django_db
SECRET = "correct horse battery"


@pytest.fixture
def row(people: People) -> Action:
    """A server that alice created, whose cloud told a first password."""
    batch = ActionBatch.objects.create(customer=people.customer, by=people.alice, kind="create", params={})
    made = Action.objects.create(batch=batch, customer=people.customer, account=people.account, name="web-9",
                                 kind="create", state="done", outcome="Created.",
                                 server=ServerFactory(account=people.account, name="web-9"))  # fmt: skip
    Action.objects.filter(pk=made.pk).update(**passwords.sealed(made, SECRET))
    return made


def batch_page(person: Client, row: Action) -> Any:
    return person.get(f"/actions/{row.batch_id}/")


def test_it_is_shown_once_and_the_button_is_gone_then(people: People, row: Action) -> None:
    alice = people.browser(people.alice)
    assert "Show first password" in text(batch_page(alice, row))
    assert "Show first password" in text(alice.get(f"/actions/rows/{row.pk}"))
    answer = alice.post(f"/actions/rows/{row.pk}/password")
    assert answer.status_code == 200
    assert f'data-copy="{SECRET}"' in answer.content.decode()
    assert "It is shown this once and kept nowhere" in text(answer)
    assert "no-store" in answer["Cache-Control"]
    assert f'href="/actions/{row.batch_id}/"' in answer.content.decode()
    assert "Show first password" not in text(batch_page(alice, row))
    again = alice.post(f"/actions/rows/{row.pk}/password", follow=True)
    assert again.redirect_chain == [(f"/actions/{row.batch_id}/", 302)]
    assert "This password was told already" in text(again)
    assert SECRET not in again.content.decode()


def test_no_page_carries_it_before_somebody_asks(people: People, row: Action) -> None:
    alice = people.browser(people.alice)
    for address in (f"/actions/{row.batch_id}/", f"/actions/rows/{row.pk}", f"/servers/{row.server_id}/", "/activity/"):
        assert SECRET not in alice.get(address).content.decode()
    assert alice.get(f"/actions/rows/{row.pk}/password").status_code == 405


def test_only_who_asked_for_the_server_is_shown_it(people: People, row: Action) -> None:
    bob, charlie = people.browser(people.bob), people.browser(people.charlie)
    assert "Show first password" not in text(batch_page(bob, row))
    for other in (bob, charlie):
        assert other.post(f"/actions/rows/{row.pk}/password").status_code == 404
    assert Client().post(f"/actions/rows/{row.pk}/password").status_code == 302
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(people.alice, backend="django.contrib.auth.backends.ModelBackend")
    assert strict.post(f"/actions/rows/{row.pk}/password").status_code == 403
    row.refresh_from_db()
    assert passwords.has_one(row)


def test_a_server_that_is_being_created_has_a_line_and_then_a_link(people: People, row: Action) -> None:
    alice = people.browser(people.alice)
    assert f'href="/servers/{row.server_id}/"' in batch_page(alice, row).content.decode()
    fresh = {"outcome": "", "password_sealed": "", "phase": "BUILD", "called_at": "2026-01-01T00:00Z"}
    Action.objects.filter(pk=row.pk).update(server=None, state="waiting", **fresh)
    page = batch_page(alice, row)
    assert "web-9 BUILD Creating" in text(page)
    assert "/servers/None" not in page.content.decode()
