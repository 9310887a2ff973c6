"""The accounts: each one's health in words, its readings, its credentials' history, and "Sync now"."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts import linking
from accounts.models import CloudAccount, CredentialPush, SyncRun
from console.lib import audit
from console.models import AuditEntry
from providers import customers
from tests.conftest import People
from tests.factories import AccountFactory, ServerFactory
from tests.pages import link, text


def runs(account: CloudAccount, *outcomes: tuple[str, str], every: timedelta = timedelta(minutes=5)) -> None:
    """Ended readings, the first one newest."""
    now = timezone.now()
    for number, (state, outcome) in enumerate(outcomes):
        run = SyncRun.objects.create(account=account, state=state, outcome=outcome, seen=48, calls=3, seconds=0.4)
        SyncRun.objects.filter(pk=run.pk).update(queued_at=now - number * every, ended_at=now - number * every)


def with_credentials(account: CloudAccount) -> CloudAccount:
    linking.push(account.customer, account.external_id, endpoint=account.endpoint, name=account.name, version=1,
                 credentials={"username": "u", "password": "hunter2", "project": "p"}, actor=audit.SYSTEM)  # fmt: skip
    SyncRun.objects.all().delete()
    account.refresh_from_db()
    return account


@pytest.mark.parametrize(
    ("status", "reason", "age", "words"),
    [
        ("ok", "", 3, "OK Every server was read."),
        ("ok", "", 60, "Stale It answered last time, but has not been read for a while."),
        ("ok", "", None, "Reading The first reading is under way."),
        ("bad_credentials", "The cloud said: no.", 60, "Credentials refused The cloud said: no. Ask North Cloud"),
        ("unreachable", "", 60, "Unreachable Essex Lab does not answer. Muster tries again by itself."),
        (
            "refused",
            "Quota.",
            3,
            "Refused by the cloud Quota. Ask North Cloud whether this account may list",
        ),
        ("error", "", 3, "Answered rubbish Essex Lab answered something that could not be read."),
    ],
)
def test_each_account_says_in_words_how_it_is(
    people: People, status: str, reason: str, age: int | None, words: str
) -> None:
    read = timezone.now() - timedelta(minutes=age) if age else None
    CloudAccount.objects.filter(pk=people.account.pk).update(status=status, status_reason=reason, last_sync_at=read)
    assert words in text(people.browser(people.alice).get("/accounts/"))


def test_refused_credentials_are_told_above_everything_with_what_to_do(people: People) -> None:
    CloudAccount.objects.filter(pk=people.account.pk).update(status="bad_credentials", status_reason="It said no.")
    said = text(people.browser(people.bob).get("/accounts/"))
    assert "The credentials of “Main account” are refused It said no. Ask North Cloud to send new ones" in said


@pytest.mark.parametrize(
    ("unread", "words"),
    [
        (1, "1 server could not be read: the cloud left it out of its listing, and did not tell of it by id."
            " It stands as it was."),
        (1200, "1,200 servers could not be read: the cloud left them out of its listing, and did not tell of them by"
               " id. They stand as they were."),
    ],
)  # fmt: skip
def test_an_account_of_which_a_part_could_not_be_read_says_how_many_and_doubts_no_other_server(
    people: People, unread: int, words: str
) -> None:
    here = people.account
    CloudAccount.objects.filter(pk=here.pk).update(status="ok", last_sync_at=timezone.now(), unread_count=unread)
    server = ServerFactory(account=here)
    alice, bob, charlie = (people.browser(one) for one in (people.alice, people.bob, people.charlie))
    for page in ("/accounts/", f"/accounts/{here.pk}/"):
        said = text(bob.get(page))
        assert "Partly read" in said
        assert f"{words} Muster tries again by itself." in said
    listed = alice.get("/servers/")
    title = f"{unread:,} {'server' if unread == 1 else 'servers'} could not be read"
    assert f"{title} Main account : {words} Muster tries again by itself." in text(listed).replace(
        "account:", "account :"
    )
    assert "Stale" not in text(listed)
    assert "may be out of date" not in text(alice.get(f"/servers/{server.pk}/"))
    assert "could not be read" not in text(charlie.get("/servers/"))


def test_what_is_not_read_at_all_comes_before_what_is_read_in_part(people: People) -> None:
    CloudAccount.objects.filter(pk=people.account.pk).update(
        status="ok", last_sync_at=timezone.now(), unread_count=2, name="A"
    )
    AccountFactory(
        customer=people.customer,
        endpoint=people.account.endpoint,
        name="B",
        status="unreachable",
        status_reason="No answer.",
    )
    said = text(people.browser(people.alice).get("/servers/"))
    assert "1 of 2 accounts and 2 servers could not be read B" in said


def test_an_account_that_is_not_read_any_more_says_that_and_not_what_was_missing_then(people: People) -> None:
    CloudAccount.objects.filter(pk=people.account.pk).update(
        status="ok", last_sync_at=timezone.now() - timedelta(hours=1), unread_count=2
    )
    said = text(people.browser(people.alice).get("/accounts/"))
    assert "Stale It answered last time" in said
    assert "Partly read" not in said


def test_the_history_tells_each_reading_and_goes_on_by_time(people: People) -> None:
    outcomes = [("failed", "The cloud did not answer.")] + [("done", f"reading {number}") for number in range(30)]
    runs(people.account, *outcomes)
    browser = people.browser(people.alice)
    first = browser.get(f"/accounts/{people.account.pk}/")
    assert "The cloud did not answer." in text(first)
    assert "reading 23" in text(first)
    assert "reading 24" not in text(first)
    older = next(part for part in first.content.decode().split('"') if "?before=" in part)
    second = text(browser.get(older))
    assert "reading 24" in second
    assert "reading 29" in second
    assert link(first, "next") == ""
    assert browser.get(f"/accounts/{people.account.pk}/?before=rubbish").status_code == 200


def test_the_history_of_credentials_tells_versions_and_never_a_secret(people: People) -> None:
    account = with_credentials(people.account)
    CredentialPush.objects.filter(account=account).update(outcome="refused", reason="Invalid password.")
    page = people.browser(people.alice).get(f"/accounts/{account.pk}/")
    assert "Version 1 refused Invalid password. by Muster" in text(page)
    assert "hunter2" not in page.content.decode()


def test_sync_now_queues_one_reading_and_a_second_click_none(people: People) -> None:
    account, browser = with_credentials(people.account), people.browser(people.bob)
    for _ in range(2):
        browser.post(f"/accounts/{account.pk}/sync")
    run = SyncRun.objects.get(account=account)
    assert (run.state, run.trigger) == ("queued", "person")
    entry = AuditEntry.objects.get(verb="account.sync_asked")
    assert (entry.actor_name, entry.customer_id) == ("bob@example.com", people.customer.pk)
    assert 'data-tip="A sync is under way."' in browser.get("/accounts/").content.decode()


def test_an_account_without_credentials_cannot_be_read_and_says_why(people: People) -> None:
    browser = people.browser(people.alice)
    words = "There are no credentials. Ask North Cloud to send them."
    assert f'data-tip="{words}"' in browser.get("/accounts/").content.decode()
    assert words in text(browser.post(f"/accounts/{people.account.pk}/sync", follow=True))
    assert not SyncRun.objects.exists()


def test_a_suspended_workspace_reads_nothing_and_says_so(people: People) -> None:
    account = with_credentials(people.account)
    customers.suspend(people.customer, audit.SYSTEM)
    browser = people.browser(people.alice)
    assert "This workspace is suspended: accounts are not read." in text(browser.get("/accounts/"))
    assert "This workspace is suspended" in text(browser.post(f"/accounts/{account.pk}/sync", follow=True))
    assert not SyncRun.objects.filter(trigger="person").exists()


def test_a_removed_account_is_gone(people: People) -> None:
    linking.remove(people.account, audit.SYSTEM)
    browser = people.browser(people.alice)
    assert browser.get(f"/accounts/{people.account.pk}/").status_code == 404
    assert "No cloud account is connected yet." in text(browser.get("/accounts/"))


def test_charlie_sees_his_own_accounts_only(people: People) -> None:
    AccountFactory(customer=people.elsewhere, name="Charlies")
    said = text(people.browser(people.charlie).get("/accounts/"))
    assert "Charlies" in said
    assert "Main account" not in said
