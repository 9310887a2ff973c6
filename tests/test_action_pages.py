"""The pages about actions: who is frozen and shown, what cannot be done says why, progress survives a reload."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from console.lib import audit
from providers import customers
from servers.actions import ability, actions
from servers.actions.models import Action, ActionBatch
from servers.models import Server
from tests.acting import served, settle
from tests.conftest import People
from tests.factories import AccountFactory, MembershipFactory, ServerFactory
from tests.pages import text

pytestmark = pytest.mark.django_db


@pytest.fixture
def account(people: People) -> Any:
    """Alice's account, with credentials that passed, at a cloud that can do everything."""
    type(people.account).objects.filter(pk=people.account.pk).update(generation="modern", credentials_version=1)
    people.account.refresh_from_db()
    return people.account


def server(people: People, **fields: Any) -> Server:
    return ServerFactory(**{"account": people.account} | fields)


def frozen(content: str) -> set[str]:
    """The ids that the form would send."""
    found = re.search(r'name="targets" value="([^"]*)"', content)
    return set(found[1].split(",")) if found and found[1] else set()


def ask(people: People, kind: str, *servers: Server, **more: Any) -> Any:
    given = {"kind": kind, "targets": ",".join(str(one.pk) for one in servers), **more}
    return people.browser(people.alice).post("/actions/new", given)


def test_the_confirm_page_lists_exactly_the_ticked_and_says_why_others_cannot(people: People, account: Any) -> None:
    runs, stopped, other = server(people), server(people, state="stopped"), server(people, name="other")
    lost = server(people, missing_since=timezone.now())
    page = people.browser(people.alice).get(
        "/actions/new", {"kind": "stop", "ids": [one.pk for one in (runs, stopped, lost)]}
    )
    assert frozen(page.content.decode()) == {str(runs.pk)}
    said = text(page)
    for words in ("2 are left out", "Start it first.", ability.MISSING):
        assert words in said
    assert other.name not in said
    assert "btn-danger" not in page.content.decode()


def test_all_that_match_means_the_query_and_what_was_frozen_is_what_is_done(people: People, account: Any) -> None:
    matching = {str(server(people, name=f"web-{number}").pk) for number in range(3)}
    server(people, name="db")
    browser = people.browser(people.bob)
    content = browser.get("/actions/new", {"kind": "stop", "q": "web", "all_matching": "1"}).content.decode()
    assert frozen(content) == matching
    server(people, name="web-9")
    answer = browser.post("/actions/new", {"kind": "stop", "targets": ",".join(frozen(content))})
    batch = ActionBatch.objects.get()
    assert answer["Location"] == f"/actions/{batch.pk}/"
    assert {str(row.server_id) for row in batch.actions.all()} == matching
    assert batch.by == people.bob
    refused = browser.get("/actions/new", {"kind": "stop", "q": "colour:red"}, follow=True)
    assert 'There is no key "colour:"' in text(refused)


def test_delete_is_red_and_only_there(people: People, account: Any) -> None:
    chosen = server(people)
    browser = people.browser(people.alice)
    assert "btn-danger" in browser.get("/actions/new", {"kind": "delete", "ids": chosen.pk}).content.decode()
    for address in ("/servers/", f"/servers/{chosen.pk}/"):
        assert "danger" not in browser.get(address).content.decode()


def test_what_became_impossible_meanwhile_keeps_its_row_with_the_reason(people: People, account: Any) -> None:
    chosen, other = server(people), server(people)
    Server.objects.filter(pk=chosen.pk).update(state="stopped")
    answer = ask(people, "stop", chosen, other)
    assert answer.status_code == 302
    assert Action.objects.get(server=chosen).outcome == "Start it first."
    assert Action.objects.get(server=other).state == "queued"


@pytest.mark.parametrize(
    ("kind", "more", "words"),
    [
        ("rename", {"name": ""}, "This field is required."),
        ("rename", {"name": " "}, "This field is required."),
        ("revert_snapshot", {"snapshot_id": ""}, "This field is required."),
    ],
)
def test_a_wrong_field_says_what_is_wrong(people: People, account: Any, kind: str, more: Any, words: str) -> None:
    answer = ask(people, kind, server(people), **more)
    assert answer.status_code == 422
    assert words in text(answer) or kind == "revert_snapshot"
    assert not ActionBatch.objects.exists()


def test_nothing_selected_is_said(people: People, account: Any) -> None:
    answer = ask(people, "stop")
    assert answer.status_code == 422
    assert "There is nothing to do it to. Select servers in the list." in text(answer)
    assert people.browser(people.alice).get("/actions/new", {"kind": "fly"}).status_code == 404


def test_foreign_servers_are_left_out_and_not_told_of(people: People, account: Any) -> None:
    mine, foreign = server(people), ServerFactory(name="foreign")
    assert ask(people, "stop", foreign).status_code == 404
    assert "foreign" not in text(
        people.browser(people.alice).get("/actions/new", {"kind": "stop", "ids": [mine.pk, foreign.pk]})
    )
    ask(people, "stop", mine, foreign)
    assert [row.server_id for row in Action.objects.all()] == [mine.pk]


def test_servers_of_two_customers_become_one_action_each(people: People, account: Any) -> None:
    other = AccountFactory(generation="modern", credentials_version=1)
    MembershipFactory(customer=other.customer, user=people.alice)
    answer = ask(people, "stop", server(people), server(people, account=other))
    assert answer["Location"] == "/activity/"
    assert {batch.customer_id for batch in ActionBatch.objects.all()} == {people.customer.pk, other.customer_id}


def test_a_servers_page_shows_every_deed_and_why_some_cannot_be(people: People, account: Any) -> None:
    chosen = server(people, state="stopped")
    content = people.browser(people.alice).get(f"/servers/{chosen.pk}/").content.decode()
    assert f'href="/actions/new?kind=start&amp;ids={chosen.pk}"' in content
    assert 'data-tip="Start it first."' in content
    for label in ("Reset", "Suspend", "Resume", "Resize", "Confirm resize", "Rename", "Snapshot", "Delete"):
        assert label in content
    customers.suspend(people.customer, audit.SYSTEM)
    assert ability.SUSPENDED in people.browser(people.alice).get(f"/servers/{chosen.pk}/").content.decode()


def test_while_one_is_under_way_the_servers_page_leads_to_it(people: People, account: Any) -> None:
    chosen = server(people)
    batch = actions.start([chosen], kind="reboot", by=people.alice, customer=people.customer)
    page = people.browser(people.bob).get(f"/servers/{chosen.pk}/")
    assert f"Rebooting {chosen.name}" in text(page)
    assert f'href="/actions/{batch.pk}/"' in page.content.decode()
    assert "Another action is under way on this server: reboot, asked for by" in page.content.decode()


def test_the_list_offers_deeds_for_a_selection(people: People, account: Any) -> None:
    server(people)
    content = people.browser(people.alice).get("/servers/").content.decode()
    for kind in ("start", "stop", "reboot", "reset", "suspend", "resume", "resize", "snapshot", "delete"):
        assert f'name="kind" value="{kind}" formaction="/actions/new"' in content


def test_progress_is_told_row_by_row_and_activity_finds_it_again(people: People) -> None:
    with served(people, 2) as (site, _):
        first, second = Server.objects.order_by("name")
        site.cloud.act(second.external_id, "lock")
        batch = actions.start([first, second], kind="stop", by=people.alice, customer=people.customer)
        browser = people.browser(people.bob)
        assert "Stop 2 servers" in text(browser.get("/activity/"))
        assert "2 under way" in text(browser.get(f"/actions/{batch.pk}/"))
        settle(batch.actions)
    page = text(browser.get(f"/actions/{batch.pk}/"))
    assert "Stop 2 servers Ended with failures" in page
    assert "1 done, 1 not." in page
    assert "is locked" in page
    row = batch.actions.get(server=first)
    assert f'id="action-{row.pk}"' in browser.get(f"/actions/rows/{row.pk}").content.decode()
    assert "web-1" in text(browser.get(f"/actions/{batch.pk}/?show=failed"))
    assert "web-0" not in text(browser.get(f"/actions/{batch.pk}/?show=failed"))
    told = text(browser.get("/activity/"))
    assert "Stopped web-0" in told
    assert "Stop did not go through on web-1" in told
    assert "Stopped" in text(browser.get(f"/servers/{first.pk}/"))


def test_sizes_and_snapshots_are_asked_of_the_cloud(people: People) -> None:
    with served(people, 1) as (site, _):
        chosen = Server.objects.get()
        browser = people.browser(people.alice)
        page = browser.get("/actions/new", {"kind": "resize", "ids": chosen.pk})
        assert "m1.tiny 1 CPU 512 MB 1 GB disk" in text(page)
        assert "There is no snapshot of this server." in text(browser.get(f"/actions/snapshots/{chosen.pk}/"))
        ask(people, "snapshot", chosen, name="before")
        settle(Action.objects.all())
        content = browser.get(f"/actions/snapshots/{chosen.pk}/").content.decode()
        assert "before" in content
        assert "kind=delete_snapshot&amp;ids=" in content
        site.faults.inject("unavailable", path="/", times=20)
        assert "The snapshots cannot be shown" in text(browser.get(f"/actions/snapshots/{chosen.pk}/"))


def test_the_snapshot_that_is_deleted_is_named_before_in_progress_and_after(people: People) -> None:
    with served(people, 1) as (site, _):
        chosen = Server.objects.get()
        browser = people.browser(people.alice)
        ask(people, "snapshot", chosen, name="before the upgrade")
        settle(Action.objects.all())
        [image] = [one for one in site.cloud.images.values() if one.name == "before the upgrade"]
        about = {"kind": "delete_snapshot", "ids": chosen.pk, "snapshot_id": image.id}
        page = text(browser.get("/actions/new", about))
        assert "The snapshot before the upgrade , taken" in page
        gone = browser.get("/actions/new", about | {"snapshot_id": "no-such"})
        assert "Its cloud has no such snapshot of this server." in text(gone)
        assert "aria-disabled" in gone.content.decode()
        refused = ask(people, "delete_snapshot", chosen, snapshot_id="no-such")
        assert (refused.status_code, ActionBatch.objects.count()) == (422, 1)
        assert ask(people, "delete_snapshot", chosen, snapshot_id=image.id).status_code == 302
        batch = ActionBatch.objects.get(kind="delete_snapshot")
        assert batch.params == {"snapshot_id": image.id, "snapshot_name": "before the upgrade"}
        settle(batch.actions)
        assert "before the upgrade" in text(browser.get(f"/actions/{batch.pk}/"))
        told = text(browser.get("/activity/"))
        assert "on 1 server, before the upgrade" in told, told
        assert re.search(r"Deleted a snapshot of web-0\W+before the upgrade\.", told), told
        site.faults.inject("unavailable", path="/", times=20)
        page = text(browser.get("/actions/new", about))
        assert "The snapshot is not known" in page
        assert "503" in page


METHODS = {"actions:new": "get post", "actions:batch": "get", "actions:line": "get", "actions:snapshots": "get"}


@pytest.fixture
def addresses(people: People, account: Any) -> Iterator[dict[str, str]]:
    chosen = server(people)
    batch = actions.start([chosen], kind="stop", by=people.alice, customer=people.customer)
    yield {
        "actions:new": f"{reverse('actions:new')}?kind=stop&ids={chosen.pk}",
        "actions:batch": reverse("actions:batch", args=[batch.pk]),
        "actions:line": reverse("actions:line", args=[batch.actions.get().pk]),
        "actions:snapshots": reverse("actions:snapshots", args=[chosen.pk]),
    }


@pytest.mark.parametrize("name", METHODS)
def test_her_team_may_charlie_finds_nothing_and_a_stranger_must_sign_in(
    people: People, addresses: dict[str, str], name: str
) -> None:
    for method in ("get", "post"):
        nobody = getattr(Client(), method)(addresses[name])
        assert nobody.status_code == 302
        assert nobody["Location"].startswith("/auth/login/?next=")
        fragment = getattr(Client(headers={"HX-Request": "true"}), method)(addresses[name])
        assert fragment.status_code == 401
        mine = getattr(people.browser(people.bob), method)(addresses[name])
        theirs = getattr(people.browser(people.charlie), method)(addresses[name])
        if method not in METHODS[name].split():
            assert (mine.status_code, theirs.status_code) == (405, 405)
        elif method == "get":
            assert (mine.status_code, theirs.status_code) == (200, 404)


def test_a_post_without_the_token_of_the_page_does_nothing(people: People, account: Any) -> None:
    chosen = server(people)
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(people.alice, backend="django.contrib.auth.backends.ModelBackend")
    assert browser.post("/actions/new", {"kind": "delete", "targets": str(chosen.pk)}).status_code == 403
    assert not ActionBatch.objects.exists()
